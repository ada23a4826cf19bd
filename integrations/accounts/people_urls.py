from django.urls import path

from integrations.accounts import people_views as views

app_name = "people"
urlpatterns = [
    path("", views.index, name="index"),
    path("/add", views.add, name="add"),
    path("/<uuid:person_id>", views.person, name="person"),
    path("/<uuid:person_id>/disable", views.disable, name="disable"),
    path("/<uuid:person_id>/enable", views.enable, name="enable"),
    path("/<uuid:person_id>/tokens", views.revoke_tokens, name="revoke-tokens"),
    path("/<uuid:person_id>/password", views.new_password, name="password"),
    path("/<uuid:person_id>/factors", views.reset_factors, name="factors"),
    path("/<uuid:person_id>/roles", views.choose_roles, name="roles"),
    path("/<uuid:person_id>/grants/give", views.give, name="give"),
    path("/<uuid:person_id>/grants/take", views.take, name="take"),
]
