"""The pages of scheduled jobs: all of them, the runs of one, what can be done about them, what a schedule means."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from integrations import actor, pages, permissions, seek
from integrations.accounts.models import User
from integrations.cron import board as boards
from integrations.cron import forms, journal, preview, schedules, services
from integrations.cron.board import Runnable
from integrations.cron.models import CronJob, CronRun
from integrations.pages import PageRequest
from integrations.permissions import Perm

Held = Callable[[CronJob], str]
"""Why a job wouldn't be done just now, "" where nothing speaks against it; it comes from `config`."""
Beside = Callable[[User], str]
"""The address of a card of another app's that stands beside the jobs, "" for who may not see it."""


def _job(request: PageRequest, job_id: UUID, perm: Perm) -> CronJob:
    """One that the reader may see, and do `perm` to; those of no integration need the permission for all."""
    rows = permissions.readable(request.user, CronJob.objects.select_related("integration"))
    job = get_object_or_404(rows, pk=job_id)
    pages.demand(request, perm, job.integration)
    return job


def _run(request: PageRequest, job_id: UUID, run_id: UUID, perm: Perm) -> CronRun:
    job = _job(request, job_id, perm)
    return get_object_or_404(CronRun.objects.select_related("job__integration"), job=job, pk=run_id)


# --- Looking ---------------------------------------------------------------------------------------------------------


@require_GET
@pages.requires(Perm.READ)
def index(request: PageRequest, runnable: Runnable, beside: Beside) -> HttpResponse:
    now = timezone.now()
    shown = {
        "board": boards.read(request.user, now=now, runnable=runnable), "now": now,
        "zone": timezone.get_current_timezone_name(), "beside": "" if request.htmx else beside(request.user),
        "zones": schedules.zones(), "can_add": permissions.may_somewhere(request.user, Perm.MANAGE),
    }  # fmt: skip
    return pages.render_page(request, "cron/index.html", shown, fragment="live")


@require_GET
@pages.requires(Perm.READ)
def job(request: PageRequest, job_id: UUID, runnable: Runnable, held: Held) -> HttpResponse:
    now, (before, floor) = timezone.now(), (seek.place(request.GET.get(name, "")) for name in ("before", "floor"))
    board = boards.read(request.user, now=now, runnable=runnable, only=job_id)
    if not board.lines:
        raise Http404
    line = board.lines[0]
    runs = journal.read(line.job, request.GET.get("status", ""), before=before, floor=floor)
    shown = {
        "line": line, "marks": board.marks, "journal": runs, "before": before, "now": now,
        "upcoming": journal.upcoming(line.job, now), "held": held(line.job) if line.job.is_active else "",
        "address": line.job.job_url if line.can_change else line.job.job_url.partition("?")[0],
    }  # fmt: skip
    return pages.render_page(request, "cron/job.html", shown, fragment="older" if before else "live")


@require_GET
@pages.requires(Perm.READ)
def named(request: PageRequest, name: str) -> HttpResponse:
    """The job of that name: alerts know no other."""
    rows = permissions.readable(request.user, CronJob.objects.all())
    return redirect("cron:job", get_object_or_404(rows, job_name=name).pk)


@require_GET
@pages.requires(Perm.READ)
def run(request: PageRequest, job_id: UUID, run_id: UUID) -> HttpResponse:
    found = _run(request, job_id, run_id, Perm.READ)
    may_manage = permissions.may(request.user, Perm.MANAGE, found.job.integration)
    shown = {"told": journal.tell(found, may_manage=may_manage), "job": found.job, "now": timezone.now()}
    return pages.render_page(request, "cron/run.html", shown, fragment="body")


@require_GET
@pages.requires(Perm.READ)
def check(request: PageRequest) -> HttpResponse:
    """What a schedule means. Nothing is stored."""
    asked = {name: request.GET.get(name, "").replace("\x00", "")[:1000] for name in ("schedule", "timezone", "job")}
    zone = asked["timezone"].strip() or forms.ZONE
    told = preview.of(
        asked["schedule"], zone, user=request.user, now=timezone.now(), job_id=_uuid(asked["job"])
    ) if asked["schedule"].strip() else None  # fmt: skip
    shown = {"preview": told, "schedule": asked["schedule"], "zone": zone, "zones": schedules.zones()}
    return pages.render_page(request, "cron/check.html", shown, fragment="answer")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# --- Doing -----------------------------------------------------------------------------------------------------------


@require_POST
@pages.requires(Perm.READ)
def start(request: PageRequest, job_id: UUID, runnable: Runnable, start: Callable[[UUID], object]) -> HttpResponse:
    """Where the page could not ask first, for want of scripts, a page of its own does."""
    job = _job(request, job_id, Perm.CRON_TRIGGER)
    if pages.unsure(request):
        return render(request, "cron/sure.html", {"job": job, "what": "start"})
    if not runnable(job):
        text = _("This version has no work for {name}.").format(name=job.job_name)
        return _told(request, job, _("Not started"), text, "warning")
    reason = request.POST.get("reason", "").replace("\x00", "").strip()[:300]
    who, by_hand = actor.of(request), CronRun.Trigger.MANUAL
    try:
        entry = services.ask(job, actor=who, trigger=by_hand, reason=reason, now=timezone.now())
    except services.AlreadyRunning as error:
        return _told(request, job, _("Not started"), str(error), "warning")
    start(entry.pk)
    text = _("A worker takes it up as soon as one is free.")
    return _told(request, job, _("{name} starts").format(name=job.job_name), text)


@require_POST
@pages.requires(Perm.READ)
def cancel(request: PageRequest, job_id: UUID, run_id: UUID) -> HttpResponse:
    entry = _run(request, job_id, run_id, Perm.CRON_TRIGGER)
    if pages.unsure(request):
        return render(request, "cron/sure.html", {"job": entry.job, "run": entry, "what": "cancel"})
    if not services.cancel(entry, actor=actor.of(request)):
        return _told(request, entry.job, _("Nothing to cancel"), _("It is over already."), "info")
    title = _("{name} is cancelled").format(name=entry.job.job_name)
    return _told(request, entry.job, title, _("It is ended within seconds."))


@require_POST
@pages.requires(Perm.READ)
def switch(request: PageRequest, job_id: UUID, runnable: Runnable) -> HttpResponse:
    """Whether its schedule is followed: on, or off where the field `on` isn't there, as of a checkbox. Off is asked
    first, as above."""
    job = _job(request, job_id, Perm.MANAGE)
    on = bool(request.POST.get("on"))
    if job.is_active and not on and pages.unsure(request):
        return render(request, "cron/sure.html", {"job": job, "what": "switch"})
    services.change(job, actor=actor.of(request), wanted={"is_active": on}, runnable=runnable(job))
    if on:
        title = _("{name} is on").format(name=job.job_name)
        return _told(request, job, title, _("It runs at its next turn."))
    title = _("{name} is off").format(name=job.job_name)
    return _told(request, job, title, _("It runs only when somebody starts it."), "info")


def _told(request: PageRequest, job: CronJob, title: str, text: str, tone: str = "success") -> HttpResponse:
    return pages.answer(request, title=title, text=text, tone=tone, back=reverse("cron:job", args=[job.pk]))


# --- Changing --------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@pages.requires(Perm.MANAGE)
def edit(request: PageRequest, job_id: UUID, runnable: Runnable) -> HttpResponse:
    job = _job(request, job_id, Perm.MANAGE)
    form = forms.of(job, request.POST if request.method == "POST" else None, user=request.user)
    if not form.is_valid():
        return _form(request, form, job)
    services.change(job, actor=actor.of(request), wanted=form.wanted, runnable=runnable(job))
    saved, as_it_was = _("Saved. It takes effect within seconds."), _("Nothing was changed.")
    messages.success(request, saved if form.wanted else as_it_was)
    return redirect("cron:job", job.pk)


@require_http_methods(["GET", "POST"])
@pages.requires(Perm.MANAGE)
def add(request: PageRequest) -> HttpResponse:
    """A job that calls an address."""
    form = forms.NewJobForm(request.POST if request.method == "POST" else None, user=request.user)
    if not form.is_valid():
        return _form(request, form, None)
    try:
        job = services.add(actor=actor.of(request), wanted=form.wanted)
    except IntegrityError:
        form.add_error("job_name", _("There is a job of that name."))
        return _form(request, form, None)
    messages.success(request, _("{name} is there and switched on.").format(name=job.job_name))
    return redirect("cron:job", job.pk)


def _form(request: PageRequest, form: forms.JobForm, job: CronJob | None) -> HttpResponse:
    text, zone = (str(form[name].value() or "") for name in ("schedule", "timezone"))
    told = preview.of(
        text, zone, user=request.user, now=timezone.now(), job_id=job.pk if job else None
    ) if text.strip() else None  # fmt: skip
    shown: dict[str, Any] = {"form": form, "job": job, "preview": told, "zones": schedules.zones()}
    return render(request, "cron/edit.html", shown, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@pages.requires(Perm.MANAGE)
def remove(request: PageRequest, job_id: UUID) -> HttpResponse:
    """Asks on a page of its own, whose button does it. Work of ours can only be switched off."""
    job = _job(request, job_id, Perm.MANAGE)
    if not job.is_outside:
        words = _("{name} belongs to this system: switch it off instead.").format(name=job.job_name)
        return _told(request, job, _("Not removed"), words, "warning")
    if request.method == "GET":
        return render(request, "cron/sure.html", {"job": job, "what": "remove", "runs": job.runs.count()})
    services.remove(job, actor=actor.of(request))
    messages.success(request, _("{name} is removed.").format(name=job.job_name))
    return redirect("cron:index")
