from django.urls import path

from integrations.accounts.login import views

app_name = "accounts"
urlpatterns = [
    path("prove/", views.prove, name="prove"),
]
