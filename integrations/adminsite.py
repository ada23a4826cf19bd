"""The Django admin: for superusers only. Secrets never shown, logs read-only, every change in the activity log."""

from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import activity, actor
from integrations.models import Integration

if TYPE_CHECKING:
    from integrations.pages import PageRequest

M = TypeVar("M", bound=Model)

LISTED = 10_000
"""Rows of a log that its list goes through, the newest."""


class SuperuserSite(admin.AdminSite):
    site_header = gettext_lazy("Integrations: database")
    site_title = gettext_lazy("Database")
    index_title = gettext_lazy("Everything that is stored")
    site_url = "/admin/integrations"

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.is_superuser

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """One login for all of it: what guards and records that one guards this too."""
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Whatever is changed here wants a fresh login, and is done with its entries in the activity log or not at
        all: Django has no transaction around actions and passwords."""
        from integrations.accounts import fresh

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.method != "POST" or not self.has_permission(request) or request.path == reverse("admin:logout"):
                return view(request, *args, **kwargs)
            if not fresh.is_fresh(request, timezone.now()):
                return fresh.ask(cast("PageRequest", request), back="admin:index")
            with transaction.atomic():
                return view(request, *args, **kwargs)

        return super().admin_view(guarded, cacheable)

    def logout(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        if request.method == "POST" and request.user.is_authenticated:
            activity.record(actor=actor.of(request), action="logout")
        return super().logout(request, extra_context)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        response = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
            get_user_model().objects.filter(pk=request.user.pk).update(password_given_by="")  # type: ignore[misc]
            activity.record(actor=actor.of(request), action="password_changed")
        return response


class AuditedAdmin(admin.ModelAdmin[M]):
    """What a superuser changes here is told in the activity log as well."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._tell(request, obj, "added", message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._tell(request, obj, "changed", message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._tell(request, obj, "deleted", "")
        return super().log_deletions(request, queryset)

    def _tell(self, request: HttpRequest, obj: Model, what: str, message: Any) -> None:
        activity.record(
            actor=actor.of(request),
            action=f"admin_{what}",
            integration=obj if isinstance(obj, Integration) else getattr(obj, "integration", None),
            details={"model": obj._meta.label, "id": obj.pk, "object": str(obj), "message": message},
        )


class ReadOnlyAdmin(admin.ModelAdmin[M]):
    """To look at, never to touch. Lists the newest rows and no others, so that every filter, search and order of
    theirs costs the same however big the table is; keys grow with time, and their index is what that takes."""

    ordering = ["-pk"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        rows = super().get_queryset(request)
        oldest = self._oldest_listed(request)
        return rows if oldest is None else rows.filter(pk__gte=oldest)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        newest = _("The newest {number} only").format(number=f"{LISTED:,}")
        told = {} if self._oldest_listed(request) is None else {"subtitle": newest}
        return super().changelist_view(request, {**told, **(extra_context or {})})

    def _oldest_listed(self, request: HttpRequest) -> Any:
        """The key of the last row that the list shows; None when it shows all, and for a page of one row."""
        match = request.resolver_match
        if match is None or not (match.url_name or "").endswith("_changelist"):
            return None
        newest = super().get_queryset(request).order_by("-pk").values_list("pk", flat=True)
        last_and_next = list(newest[LISTED - 1 : LISTED + 1])
        return last_and_next[0] if len(last_and_next) > 1 else None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False
