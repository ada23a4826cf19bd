from collections.abc import Callable
from uuid import UUID

from django.urls import URLPattern, path

from integrations.cron import views
from integrations.cron.board import Runnable

app_name = "cron"


def routes(
    *, runnable: Runnable, held: views.Held, start: Callable[[UUID], object], beside: views.Beside
) -> tuple[list[URLPattern], str]:
    """What pages need from other apps, `config` hands in."""
    able = {"runnable": runnable}
    return [
        path("", views.index, able | {"beside": beside}, name="index"),
        path("/add", views.add, name="add"),
        path("/check", views.check, name="check"),
        path("/named/<str:name>", views.named, name="named"),
        path("/<uuid:job_id>", views.job, able | {"held": held}, name="job"),
        path("/<uuid:job_id>/edit", views.edit, able, name="edit"),
        path("/<uuid:job_id>/remove", views.remove, name="remove"),
        path("/<uuid:job_id>/switch", views.switch, able, name="switch"),
        path("/<uuid:job_id>/start", views.start, able | {"start": start}, name="start"),
        path("/<uuid:job_id>/runs/<uuid:run_id>", views.run, name="run"),
        path("/<uuid:job_id>/runs/<uuid:run_id>/cancel", views.cancel, name="cancel"),
    ], app_name  # fmt: skip
