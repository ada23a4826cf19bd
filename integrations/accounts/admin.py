from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations.accounts.models import ApiToken, User
from integrations.adminsite import AuditedAdmin


@admin.register(User)
class PersonAdmin(UserAdmin, AuditedAdmin[User]):  # type: ignore[type-arg]  # Django's class takes no argument
    list_display = ["username", "email", "first_name", "last_name", "is_superuser", "is_active", "last_login"]
    fieldsets = [*(UserAdmin.fieldsets or ()), (_("Pages"), {"fields": ["single_keys"]})]
    add_fieldsets = [(None, {"fields": ["username", "email", "password1", "password2"]})]


for model in (Group, Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken, UserSession):
    if admin.site.is_registered(model):
        admin.site.unregister(model)  # allauth's own pages would show what is in them


@admin.register(Group)
class RoleAdmin(GroupAdmin, AuditedAdmin[Group]):
    """Roles. The five declared ones get their permissions back at the next migrate (`integrations/permissions.py`)."""


@admin.register(Authenticator)
class FactorAdmin(AuditedAdmin[Authenticator]):
    """Second factors: whose there are. Deleting takes one off an account whose person has lost it."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_select_related = ["user"]
    list_filter = ["type"]
    search_fields = ["user__username"]
    fields = ("user", "type", "created_at", "last_used_at")
    readonly_fields = ("user", "type", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(SocialAccount)
class CompanyAccountAdmin(AuditedAdmin[SocialAccount]):
    """Who of the company's sign-in is who here."""

    list_display = ["user", "uid", "last_login"]
    list_select_related = ["user"]
    search_fields = ["user__username", "uid"]
    fields = ("user", "uid", "last_login", "date_joined")
    readonly_fields = ("user", "uid", "last_login", "date_joined")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(AuditedAdmin[ApiToken]):
    """Made by whom they are for, or by `manage.py create_api_token`: here it can only be looked at and revoked."""

    list_display = ["name", "hint", "user", "expires_at", "last_used_at", "revoked_at"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username"]
    readonly_fields = [
        "user",
        "name",
        "hint",
        "scopes",
        "only_on",
        "expires_at",
        "last_used_at",
        "created_at",
        "revoked_at",
    ]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(description=_("Revoke the selected tokens"))
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiToken]) -> None:
        for token in chosen.filter(revoked_at=None):
            ApiToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
            self.log_change(request, token, "revoked")
