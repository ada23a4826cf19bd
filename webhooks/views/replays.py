"""Running events once more, one at once or many in the background; and sending a test."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from integrations import actor, ids, pages, permissions
from integrations.accounts import fresh
from integrations.accounts.models import User
from integrations.pages import PageRequest
from integrations.permissions import Perm
from webhooks import bulk, work
from webhooks import feed as feeds
from webhooks.feed import Filters
from webhooks.models import ReplayBatch, Webhook, WebhookLog
from webhooks.services import replay as replays
from webhooks.services import trial
from webhooks.services.selection import MOST_IDS, Selection

_TONES: dict[str, str] = {WebhookLog.Status.PROCESSED: "success", WebhookLog.Status.FAILED: "error"}
"""How a replay is answered."""

Wake = Callable[[], object]


@require_POST
@pages.requires(Perm.READ)
def one(request: PageRequest, pk: UUID, run: work.Work) -> HttpResponse:
    """Where the page could not ask first, for want of scripts, a page of its own does. `run` comes from `config`."""
    log = get_object_or_404(feeds.visible(request.user), pk=pk)
    pages.demand(request, Perm.WEBHOOKS_REPLAY, log.webhook.integration)
    if pages.unsure(request):
        return _ask_for_one(request, log)
    try:
        made = replays.one(log, actor=actor.of(request), now=timezone.now())
    except (replays.NotReplayable, replays.StillPending) as error:
        return pages.answer(request, title=_("Not replayed"), text=str(error), tone="warning", back="webhooks:feed")
    work.for_a_moment(run, [made])
    title, tone = _("Replayed the event"), _TONES.get(made.status, "info")
    if made.event_type:
        title = _("Replayed {event}").format(event=made.event_type)
    return pages.answer(request, title=title, text=work.outcome(made), tone=tone, back="webhooks:feed")


def _ask_for_one(request: PageRequest, log: WebhookLog) -> HttpResponse:
    row, back = feeds.row_of(log), reverse("webhooks:log", args=[log.pk])
    text = _(
        "{event} of {name}: a new event is made from the same bytes, and what the first did is done again, forwarding "
        "included. The original stays as it is."
    ).format(event=row.event, name=row.integration)
    return pages.ask(request, title=_("Replay this event?"), text=text, yes=_("Replay"), place=_("Event"), back=back)


# --- Many ------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@pages.requires(Perm.WEBHOOKS_REPLAY)
@fresh.required(back="webhooks:feed")
def many(request: PageRequest, wake: Wake) -> HttpResponse:
    """Count what is chosen (rows that were picked, or all that match the filters), ask, then begin with what was
    counted. `wake` tells the workers."""
    filters, picked = Filters.of(request.GET), _picked(request)
    chosen, wanted = _chosen(request, filters, picked), _wanted(request)
    if wanted and ReplayBatch.objects.filter(pk=wanted).exists():
        return redirect("webhooks:batch", wanted)  # the button was pressed twice
    made, problem = _begin(request, chosen, wake, wanted) if chosen else (None, "")
    if made:
        return redirect("webhooks:batch", made.pk)
    now = timezone.now()
    number, too_many = _count(chosen, now) if chosen else (0, "")
    context = {"filters": filters, "query": filters.query(), "picked": picked, "number": number,
               "problem": too_many or problem, "counted_at": now.isoformat(), "batch": ids.new()}  # fmt: skip
    return render(request, "webhooks/replay_many.html", context)


def _chosen(request: PageRequest, filters: Filters, picked: tuple[UUID, ...]) -> Selection | None:
    """None where it would be everything, or what can't be replayed."""
    chosen = filters.selection(request.user)
    if picked:
        return Selection(scope=chosen.scope, log_ids=picked)
    return chosen if filters and filters.replayable else None


def _wanted(request: PageRequest) -> UUID | None:
    """Under which id the page that asked wants its batch."""
    try:
        return UUID(request.POST.get("batch", ""))
    except ValueError:
        return None


def _begin(request: PageRequest, chosen: Selection, wake: Wake, wanted: UUID | None) -> tuple[ReplayBatch | None, str]:
    """The batch, if somebody was asked and is sure; else why there is none, "" where there is nothing to say."""
    counted, now = bulk.Counted.of(request.POST.dict()), timezone.now()
    if "sure" not in request.POST or counted is None:
        return None, ""
    try:
        made = _made(counted.pin(chosen), request=request, now=now, wanted=wanted, confirmed=counted.number)
    except replays.TooMany:  # counting says so
        return None, ""
    except replays.MoreThanCounted as error:
        return None, str(error)
    if made:
        wake()
        if told := bulk.differs(made, counted, chosen, now=now):
            messages.info(request, told)
    return made, ""


def _made(
    chosen: Selection, *, request: PageRequest, now: datetime, wanted: UUID | None, confirmed: int
) -> ReplayBatch | None:
    """A new batch, or the one that the same page began at the same moment."""
    try:
        with transaction.atomic():
            return replays.many(chosen, actor=actor.of(request), now=now, pk=wanted, confirmed=confirmed)
    except IntegrityError:
        return ReplayBatch.objects.filter(pk=wanted).first() if wanted else None


def _count(chosen: Selection, now: datetime) -> tuple[int, str]:
    """How many they are, or why they are not counted."""
    try:
        return replays.count(chosen, now=now), ""
    except replays.TooMany as error:
        return 0, str(error)


def _picked(request: PageRequest) -> tuple[UUID, ...]:
    found = []
    for text in request.POST.getlist("log")[:MOST_IDS]:
        try:
            found.append(UUID(text))
        except ValueError as error:
            raise Http404 from error
    return tuple(found)


@require_GET
@pages.requires(Perm.WEBHOOKS_REPLAY)
def batch(request: PageRequest, batch_id: UUID) -> HttpResponse:
    found = bulk.progress(_batch(request, batch_id))
    readable = set(feeds.visible(request.user).filter(pk__in=[log.pk for log in found.failures]).values_list("pk"))
    rows = [feeds.row_of(log) for log in found.failures if (log.pk,) in readable]
    context = {"batch": found, "rows": rows, "now": timezone.now()}
    return pages.render_page(request, "webhooks/batch.html", context, fragment="live")


@require_POST
@pages.requires(Perm.WEBHOOKS_REPLAY)
def cancel(request: PageRequest, batch_id: UUID) -> HttpResponse:
    """Once somebody is sure."""
    found, back = _batch(request, batch_id), reverse("webhooks:batch", args=[batch_id])
    if pages.unsure(request):
        title, text = _("Stop this replay?"), _("What was tried stays. What only waits is taken back.")
        return pages.ask(request, title=title, text=text, yes=_("Stop"), place=_("Replay"), back=back, danger=True)
    try:
        taken_back = replays.cancel(found, actor=actor.of(request), now=timezone.now())
    except replays.NothingToCancel as error:
        return pages.answer(request, title=_("Not stopped"), text=str(error), tone="warning", back=back)
    text = ngettext(
        "{n} that had not been tried yet was taken back. What was tried stays.",
        "{n} that had not been tried yet were taken back. What was tried stays.",
        taken_back,
    )
    text = text.format(n=f"{taken_back:,}")
    return pages.answer(request, title=_("Replay stopped"), text=text, back=back)


def _batch(request: PageRequest, pk: UUID) -> ReplayBatch:
    found = bulk.batch(request.user, pk)
    if found is None:
        raise Http404
    return found


# --- A test ----------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@pages.requires(Perm.WEBHOOKS_REPLAY)
def test(request: PageRequest, run: work.Work) -> HttpResponse:
    """Choose a receiver and an event, send it, and see the row that it became."""
    form = TestForm(request.POST or None, user=request.user, receiver=request.GET.get("receiver", ""))
    if request.method == "POST" and form.is_valid():
        webhook, event_type = form.cleaned_data["event"]
        try:
            rows = trial.send(
                webhook, event_type=event_type, payload=None, forwards=form.cleaned_data["forward"],
                actor=actor.of(request), now=timezone.now(),
            )  # fmt: skip
        except (trial.UnknownEvent, trial.Unfit, trial.CannotTest) as error:
            form.add_error("event", str(error))
        else:
            return _sent(request, webhook, rows, run)
    return render(request, "webhooks/test.html", {"form": form}, status=422 if form.errors else 200)


def _sent(request: HttpRequest, webhook: Webhook, rows: list[WebhookLog], run: work.Work) -> HttpResponse:
    work.for_a_moment(run, rows)
    level = messages.ERROR if rows[0].status == WebhookLog.Status.FAILED else messages.SUCCESS
    told = _("Sent a test of {event}.").format(event=rows[0].event_type)
    messages.add_message(request, level, f"{told} {work.outcome(rows[0])}")
    return redirect(f"{reverse('webhooks:feed')}?integration={webhook.integration.slug}#log-{rows[0].pk}")


class TestForm(forms.Form):
    """One choice for receiver and event: no second list has to follow the first."""

    event = forms.ChoiceField(label=gettext_lazy("Event"))
    forward = forms.BooleanField(label=gettext_lazy("Forward it like any other event"), required=False)

    def __init__(self, *args: Any, user: User, receiver: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        granted = permissions.visible(user, Perm.WEBHOOKS_REPLAY)
        rows = Webhook.objects.filter(integration__in=granted).select_related("integration")
        self.webhooks = {str(row.pk): row for row in rows.order_by("integration__name")}
        choices = {pk: [(f"{pk} {name}", name) for name in _samples(row)] for pk, row in self.webhooks.items()}
        groups = [(self.webhooks[pk].integration.name, events) for pk, events in choices.items()]
        self.fields["event"].choices = groups  # type: ignore[attr-defined]  # a ChoiceField's
        if choices.get(receiver):
            self.initial["event"] = choices[receiver][0][0]

    def clean_event(self) -> tuple[Webhook, str]:
        pk, _, name = self.cleaned_data["event"].partition(" ")
        return self.webhooks[pk], name


def _samples(webhook: Webhook) -> list[str]:
    return [name for name in trial.event_types(webhook) if trial.sample(webhook, name) is not None]
