from django.urls import path

from healthchecks import views

app_name = "apis"
urlpatterns = [
    path("", views.index, name="index"),
    path("/maintenance", views.maintenance, name="maintenance"),
    path("/maintenance/declare", views.declare, name="declare"),
    path("/maintenance/<uuid:maintenance_id>/end", views.end, name="end"),
]
