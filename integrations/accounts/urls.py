from django.urls import path

from integrations.accounts import views

app_name = "accounts"
urlpatterns = [
    path("login/", views.Login.as_view(), name="login"),
    path("prove/", views.prove, name="prove"),
    path("logout/", views.sign_out, name="logout"),
]
