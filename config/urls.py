"""Every address of the Django side. The webhook receivers are not here: see `config/asgi.py`."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required, login_required
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

from config import metrics, probes, schedulers, views
from integrations.api import problems


class Schema(SpectacularAPIView):
    """The document of the one version there is. `?version=` would otherwise end up in a header."""

    http_method_names = ["get", "head"]

    def _get_version_parameter(self, request: Request) -> None:
        return None


urlpatterns = [
    path("", include("config.urls_pages")),
    path("", include("config.api")),
    path("api/schema", Schema.as_view(), name="api-schema"),
    path("api/docs", login_required(views.api_docs), name="api-docs"),
    path("django-admin/", admin.site.urls),
    path("healthz", login_not_required(probes.healthz), name="healthz"),
    path("readyz", login_not_required(probes.readyz), name="readyz"),
    path("api/cron/integrations-health-check", login_not_required(schedulers.health_check), name="cron-health-check"),
    path("api/cron/cleanup-webhook-logs", login_not_required(schedulers.clean_up), name="cron-clean-up"),
    path("metrics", login_not_required(metrics.metrics), name="metrics"),
]


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problems.not_found(request) if request.path.startswith("/api/") else views.not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return problems.server_error(request) if request.path.startswith("/api/") else views.server_error(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problems.bad_request(request) if request.path.startswith("/api/") else views.bad_request(request)


handler400 = bad_request
handler403 = views.forbidden
handler404 = not_found
handler500 = server_error
