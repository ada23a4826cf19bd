from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from guardian.models import GroupObjectPermission, UserObjectPermission

from integrations.accounts.models import GrantNote
from integrations.adminsite import AuditedAdmin, ReadOnlyAdmin
from integrations.models import Activity, ActivityAnchor, ApiMetric, Integration


@admin.register(Integration)
class IntegrationAdmin(AuditedAdmin[Integration]):
    list_display = ["name", "slug", "category", "provider", "health_status", "last_health_check_at", "is_active"]
    list_filter = ["health_status", "category", "is_active", "requires_oauth"]
    search_fields = ["name", "slug", "provider"]
    readonly_fields = [
        "health_status",
        "health_reason",
        "health_since",
        "last_health_check_at",
        "consecutive_failures",
        "thresholds",  # the API checks them (PATCH); raw JSON could hold anything
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # integrations come from the code that knows their provider

    def has_delete_permission(self, request: HttpRequest, obj: Integration | None = None) -> bool:
        """One by one, and only when the provider holds nothing for us any more that we would forget with it."""
        token = getattr(obj, "token", None)
        return obj is not None and not (token and (token.access_sealed or token.refresh_sealed))


@admin.register(Activity)
class ActivityAdmin(ReadOnlyAdmin[Activity]):
    list_display = ["seq", "created_at", "username", "action", "outcome", "integration_slug", "ip_address"]
    list_filter = ["outcome", "action"]
    search_fields = ["username", "action", "integration_slug"]
    ordering = ["-seq"]


@admin.register(ActivityAnchor)
class ActivityAnchorAdmin(ReadOnlyAdmin[ActivityAnchor]):
    list_display = ["seq", "created_at"]


@admin.register(ApiMetric)
class ApiMetricAdmin(ReadOnlyAdmin[ApiMetric]):
    list_display = ["created_at", "integration", "method", "endpoint", "status_code", "response_time_ms", "source"]
    list_filter = ["integration", "source", "status_code"]
    list_select_related = ["integration"]


# --- Grants on one integration (django-guardian) ---------------------------------------------------------------------


class GrantForm(forms.ModelForm[Any]):
    """A permission of ours, on one integration."""

    integration = forms.ModelChoiceField(Integration.objects.all())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = ContentType.objects.get_for_model(Integration)
        self.fields["permission"] = forms.ModelChoiceField(Permission.objects.filter(content_type=kind))

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        holder = {name: given[name] for name in ("user", "group") if given.get(name)}
        if holder and given.get("permission") and given.get("integration"):
            same = self._meta.model.objects.filter(
                **holder, permission=given["permission"], object_pk=str(given["integration"].pk)
            )
            if same.exists():
                raise forms.ValidationError(_("That has been granted already."), code="granted")
        return given

    def save(self, commit: bool = True) -> Any:
        self.instance.content_type = ContentType.objects.get_for_model(Integration)
        self.instance.object_pk = str(self.cleaned_data["integration"].pk)
        return super().save(commit)


class GrantAdmin(AuditedAdmin[Any]):
    """Who may do what on a single integration. A grant is given or taken, never changed."""

    form = GrantForm
    list_select_related = ["permission"]

    @admin.display(description=gettext_lazy("integration"))
    def on(self, grant: Any) -> str:
        return str(Integration.objects.filter(pk=grant.object_pk).first() or _("one that is gone"))

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(UserObjectPermission)
class PersonGrantAdmin(GrantAdmin):
    fields = ["user", "permission", "integration"]
    list_display = ["user", "permission", "on"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        GrantNote.objects.get_or_create(grant=obj, defaults={"given_by": request.user.get_username()})


@admin.register(GroupObjectPermission)
class RoleGrantAdmin(GrantAdmin):
    fields = ["group", "permission", "integration"]
    list_display = ["group", "permission", "on"]
