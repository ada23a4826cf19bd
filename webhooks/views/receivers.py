"""Receivers: the list, one with everything that is known of it, and what can be done with it.

`wake`, `follow` and `go_on` come from `config`: they tell workers, or let people be told, and never block.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from integrations import actor, pages, permissions
from integrations.api import export
from integrations.pages import PageRequest
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from webhooks import receiver as receivers
from webhooks import refused, sheet, state, tree
from webhooks.models import Forward, Refusal, Webhook
from webhooks.services import backfill, forward, keys, receive, registrations, reverify
from webhooks.services import receivers as settings

BACK = "webhooks:receivers"

Wake = Callable[[], object]


@require_GET
@pages.requires(Perm.READ)
def index(request: PageRequest) -> HttpResponse:
    now = timezone.now()
    context = {"lines": receivers.lines(request.user, now=now), "now": now}
    return pages.render_page(request, "webhooks/receivers.html", context, fragment="live")


@require_GET
@pages.requires(Perm.READ)
def one(request: PageRequest, webhook_id: UUID) -> HttpResponse:
    webhook, now = _visible(request, webhook_id), timezone.now()
    found = receivers.page(webhook, request.user, tab=request.GET.get("tab", ""), now=now)
    context = {"page": found, "form": SettingsForm(initial=_known(webhook)), "now": now}
    return pages.render_page(request, "webhooks/receiver.html", context, fragment="live")


@require_GET
@pages.requires(Perm.READ)
def refusal(request: PageRequest, webhook_id: UUID, refusal_id: UUID) -> HttpResponse:
    webhook = _visible(request, webhook_id)
    row = get_object_or_404(Refusal.objects.select_related("webhook__integration"), pk=refusal_id, webhook=webhook)
    manages = permissions.may(request.user, Perm.MANAGE, webhook.integration)
    told = refused.opened(row) if manages else refused.closed()
    folded = () if told.payload is None else tree.fold(told.payload)
    context = {"row": row, "meaning": refused.meaning(row.reason), "told": told, "folded": folded, "manages": manages}
    return pages.render_page(request, "webhooks/refusal.html", context | {"now": timezone.now()}, fragment="body")


@require_GET
@pages.requires(Perm.READ)
def refusals_csv(request: PageRequest, webhook_id: UUID) -> StreamingHttpResponse:
    """All that are kept; from whom they came only for those who may see it on the page."""
    webhook = _visible(request, webhook_id)
    opens = permissions.may(request.user, Perm.MANAGE, webhook.integration)
    rows = sheet.refusals(webhook, opens=opens, now=timezone.now())
    return export.stream(
        request, name=f"refusals-{webhook.integration.slug}", columns=sheet.REFUSAL_COLUMNS, pages=rows
    )


@require_GET
@pages.requires(Perm.READ)
def forwards_csv(request: PageRequest, webhook_id: UUID) -> StreamingHttpResponse:
    webhook = _visible(request, webhook_id)
    rows = sheet.forwards(webhook)
    return export.stream(
        request, name=f"forwards-{webhook.integration.slug}", columns=sheet.FORWARD_COLUMNS, pages=rows
    )


# --- Changing it -----------------------------------------------------------------------------------------------------


class SettingsForm(forms.Form):
    silence_minutes = forms.IntegerField(
        required=False, min_value=1, max_value=525_600, label=gettext_lazy("Silent after, in minutes")
    )
    retention_days = forms.IntegerField(min_value=1, max_value=3650, label=gettext_lazy("Keep events for, in days"))


def _known(webhook: Webhook) -> dict[str, Any]:
    return {name: getattr(webhook, name) for name in SettingsForm.base_fields}


@require_POST
@pages.requires(Perm.READ)
def change(request: PageRequest, webhook_id: UUID) -> HttpResponse:
    webhook, form = _managed(request, webhook_id), SettingsForm(request.POST)
    if not form.is_valid():
        wrong = " ".join(f"{form[name].label}: {' '.join(map(str, told))}" for name, told in form.errors.items())
        return _refused(request, _("Not saved"), wrong)
    settings.change(webhook, actor=actor.of(request), wanted=form.cleaned_data)
    return pages.answer(request, title=_("Saved"), text=_("It holds from now on."), back=BACK)


@require_POST
@pages.requires(Perm.READ)
def switch(request: PageRequest, webhook_id: UUID, wake: Wake) -> HttpResponse:
    """Off, once somebody is sure: what comes is stored and waits. On: what waited runs now."""
    webhook, on = _managed(request, webhook_id), request.POST.get("on") == "yes"
    if not on and pages.unsure(request):
        return _ask_to_pause(request, webhook)
    changed = settings.change(webhook, actor=actor.of(request), wanted={"is_active": on})
    name, back = webhook.integration.name, _page(webhook)
    if not on:
        title, text = _("{name} is paused").format(name=name), _("What comes is stored and waits until it is resumed.")
        return pages.answer(request, title=title, text=text, back=back)
    wake()
    title, text = _("{name} receives again").format(name=name), _running(changed.held)
    return pages.answer(request, title=title, text=text, back=back)


def _running(held: int | None) -> str:
    """What becomes of the `held` events that waited; None: they wait still."""
    if held is None:
        return _("Its integration is switched off, so events still wait.")
    if not held:
        return _("Nothing had waited.")
    return ngettext("{n} that waited runs now.", "{n} that waited run now.", held).format(n=f"{held:,}")


# --- Judging again, forwards -----------------------------------------------------------------------------------------


@require_POST
@pages.requires(Perm.READ)
def judge(request: PageRequest, webhook_id: UUID, wake: Wake, go_on: Wake) -> HttpResponse:
    """All that was refused, once somebody is sure, or the one that is named."""
    webhook = _managed(request, webhook_id)
    route = receive.routes().get(webhook.webhook_url)
    if (unset := state.unset(webhook)) or route is None:
        return _refused(request, _("Nothing can be judged"), reverify.unprovable(unset))
    if "refusal" not in request.POST and pages.unsure(request):
        return _ask_to_judge(request, webhook)
    return _judged(request, webhook, route, wake, go_on)


def _judged(request: PageRequest, webhook: Webhook, route: receive.Route, wake: Wake, go_on: Wake) -> HttpResponse:
    chosen = [_uuid(request.POST["refusal"])] if "refusal" in request.POST else None
    try:
        done = reverify.ask(route, actor=actor.of(request), now=timezone.now(), chosen=chosen)
    except keys.KeysUnavailable as error:
        return _refused(request, _("Nothing can be judged"), reverify.without_keys(error))
    if done.released:
        wake()
    if done.due_at:
        go_on()
    tone, back = "success" if done.released else "info", _page(webhook, "refused")
    return pages.answer(request, title=_("Judged again"), text=reverify.words(done), tone=tone, back=back)


@require_POST
@pages.requires(Perm.READ)
def resume(request: PageRequest, webhook_id: UUID, wake: Wake) -> HttpResponse:
    webhook = _managed(request, webhook_id)
    try:
        number = forward.resume(webhook, actor=actor.of(request), now=timezone.now())
    except (forward.NotForwarding, forward.NotStopped) as error:
        return _refused(request, _("Not resumed"), str(error))
    wake()
    text = _("Nothing had waited.")
    if number:
        text = ngettext("{n} that waited goes now.", "{n} that waited go now.", number).format(n=f"{number:,}")
    return pages.answer(request, title=_("Forwarding goes on"), text=text, back=BACK)


@require_POST
@pages.requires(Perm.READ)
def retry(request: PageRequest, webhook_id: UUID, forward_id: UUID, wake: Wake) -> HttpResponse:
    webhook = _visible(request, webhook_id)
    pages.demand(request, Perm.WEBHOOKS_REPLAY, webhook.integration)
    row = get_object_or_404(Forward, pk=forward_id, webhook=webhook)
    try:
        forward.again(row, actor=actor.of(request), now=timezone.now())
    except (forward.NotForwarding, forward.NotNow) as error:
        return _refused(request, _("Not sent"), str(error))
    wake()
    text = _("In the background; it shows here.")
    return pages.answer(request, title=_("It is sent now"), text=text, back=BACK)


# --- What its provider has -------------------------------------------------------------------------------------------


@require_POST
@pages.requires(Perm.READ)
def look(request: PageRequest, webhook_id: UUID, follow: Wake) -> HttpResponse:
    webhook = _managed(request, webhook_id)
    try:
        looked = registrations.ask(webhook, actor=actor.of(request), now=timezone.now())
    except registrations.NotReadable as error:
        return _refused(request, _("Not asked"), str(error))
    except ProviderError as error:
        return _refused(request, _("Not asked"), error.words)
    follow()
    tone = "warning" if looked.error or looked.findings else "success"
    return pages.answer(request, title=_("Looked"), text=looked.words, tone=tone, back=BACK)


@require_POST
@pages.requires(Perm.READ)
def fetch(request: PageRequest, webhook_id: UUID, wake: Wake) -> HttpResponse:
    """Take in what its provider lists and never came."""
    webhook = _managed(request, webhook_id)
    if not backfill.fillable(webhook):
        words = _("{name} keeps no list of events that we can read.").format(name=webhook.integration.name)
        return _refused(request, _("Not fetched"), words)
    filled = backfill.ask(webhook, actor=actor.of(request), now=timezone.now())
    if filled.number:
        wake()
    tone = "warning" if filled.failed or filled.error else "success"
    return pages.answer(request, title=_("Compared"), text=filled.words, tone=tone, back=BACK)


def _visible(request: PageRequest, pk: UUID) -> Webhook:
    return get_object_or_404(receivers.visible(request.user), pk=pk)


def _managed(request: PageRequest, pk: UUID) -> Webhook:
    webhook = _visible(request, pk)
    pages.demand(request, Perm.MANAGE, webhook.integration)
    return webhook


def _page(webhook: Webhook, tab: str = "") -> str:
    return reverse("webhooks:receiver", args=[webhook.pk], query={"tab": tab} if tab else None)


def _ask(request: PageRequest, webhook: Webhook, *, title: str, text: str, yes: str, tab: str = "") -> HttpResponse:
    name, back = webhook.integration.name, _page(webhook, tab)
    return pages.ask(request, title=title, text=text, yes=yes, place=name, back=back)


def _ask_to_pause(request: PageRequest, webhook: Webhook) -> HttpResponse:
    title = _("Pause {name}?").format(name=webhook.integration.name)
    text = _("What comes is still verified, stored and answered with 200, and waits until it is resumed.")
    return _ask(request, webhook, title=title, text=text, yes=_("Pause"))


def _ask_to_judge(request: PageRequest, webhook: Webhook) -> HttpResponse:
    number = state.read(webhook, now=timezone.now()).counts.refused_open
    title = ngettext("Judge it again?", "Judge all {number} again?", number).format(number=f"{number:,}")
    text = _(
        "Each is judged with the secrets of now. What proves genuine is released: it is stored and processed as if it "
        "had just come."
    )
    return _ask(request, webhook, title=title, text=text, yes=_("Judge again"), tab="refused")


def _refused(request: PageRequest, title: str, text: str) -> HttpResponse:
    return pages.answer(request, title=title, text=text, tone="warning", back=BACK)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404 from error
