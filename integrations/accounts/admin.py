from collections.abc import Callable
from typing import Any, TypeVar

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations import activity, actor, permissions
from integrations.accounts import people
from integrations.accounts.models import ApiToken, User
from integrations.adminsite import AuditedAdmin

M = TypeVar("M", bound=Model)


class KeepsASuperAdmin(AuditedAdmin[M]):
    """Whatever is done here to people or roles, somebody stays who could undo it (`people.keeping_a_super_admin`)."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._kept(request, lambda: super(KeepsASuperAdmin, self).changeform_view(request, *args, **kwargs))

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._kept(request, lambda: super(KeepsASuperAdmin, self).delete_view(request, *args, **kwargs))

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._kept(request, lambda: super(KeepsASuperAdmin, self).changelist_view(request, *args, **kwargs))

    def _kept(self, request: HttpRequest, do: Callable[[], HttpResponse]) -> HttpResponse:
        if request.method != "POST":
            return do()
        try:
            with people.keeping_a_super_admin():
                return do()
        except people.Refused as refused:
            details = {"what": f"changing {request.path}"[:300], "words": str(refused)}
            activity.record_refusal(actor=actor.of(request), where="admin:super-admin", details=details)
            self.message_user(request, str(refused), messages.ERROR)
            return redirect(request.path)


@admin.register(User)
class PersonAdmin(UserAdmin, KeepsASuperAdmin[User]):  # type: ignore[type-arg]  # Django's class takes no argument
    list_display = ["username", "email", "first_name", "last_name", "is_superuser", "is_active", "last_login"]
    fieldsets = [*(UserAdmin.fieldsets or ()), (_("Pages"), {"fields": ["single_keys"]})]
    add_fieldsets = [(None, {"fields": ["username", "email", "password1", "password2"]})]


for model in (Group, Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken, UserSession):
    if admin.site.is_registered(model):
        admin.site.unregister(model)  # allauth's own pages would show what is in them


@admin.register(Group)
class RoleAdmin(GroupAdmin, KeepsASuperAdmin[Group]):
    """Roles. The five declared ones stay, keep their names, and get their permissions back at the next migrate
    (`integrations/permissions.py`)."""

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.name not in permissions.ROLES)

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> list[str]:
        return ["name"] if obj and obj.name in permissions.ROLES else []


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
