from django.urls import path

from healthchecks import views

app_name = "apis"
urlpatterns = [
    path("", views.index, name="index"),
]
