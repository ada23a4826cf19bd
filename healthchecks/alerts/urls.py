from django.urls import path

from healthchecks.alerts import views

app_name = "alerts"
urlpatterns = [
    path("", views.index, name="index"),
    path("/bell", views.bell, name="bell"),
    path("/seen", views.seen, name="seen"),
    path("/test", views.test, name="test"),
]
