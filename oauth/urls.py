from django.urls import path

from oauth import views

app_name = "oauth"
urlpatterns = [
    path("admin/integrations/oauth", views.index, name="tokens"),
    path("admin/integrations/oauth/<slug:slug>", views.story, name="story"),
    path("admin/integrations/oauth/<slug:slug>/renewal", views.renewal, name="renewal"),
    path("admin/integrations/<slug:slug>/connect", views.connect, name="connect"),
    path("oauth/result", views.result, name="result"),
]
