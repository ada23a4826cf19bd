"""What a check sees of an integration: grant, API, webhooks, quota. It calls out, and holds no transaction."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.db.models import Count, Max, Q
from django.utils import timezone

from healthchecks import quota
from healthchecks.status import ApiSeen, GrantSeen, QuotaSeen, Seen, WebhooksSeen
from integrations import credentials, http, limiter
from integrations import probe as probes
from integrations.clients.base import PAUSE, retry_after
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import Answer, Probe, Provider, ProviderError, Reading
from oauth import flow
from oauth import services as oauth
from oauth.models import Token
from webhooks.models import Webhook, WebhookLog

log = logging.getLogger(__name__)

SWEEP_SECONDS = 50.0
PATIENCE_SECONDS = 3.0
MOST_THREADS = 150
"""Most of them wait for a provider; one that waits holds nothing."""
MOST_CONNECTIONS = 40
"""To the database, at the same moment: PostgreSQL gives a hundred to everybody."""
DAY = timedelta(hours=24)
NOTHING_TOLD = http.Rate()


def at_all(integrations: Sequence[Integration]) -> Iterable[tuple[Integration, Seen]]:
    """Look at all of them in parallel; what isn't back in time counts as unreachable."""
    if not integrations:
        return
    webhooks = webhooks_seen(integrations, timezone.now())
    pool = ThreadPoolExecutor(max_workers=min(MOST_THREADS, len(integrations)), thread_name_prefix="check")
    futures = {
        pool.submit(copy_context().run, _look_in_thread, one, webhooks.get(one.pk)): one for one in integrations
    }
    wait(futures, timeout=SWEEP_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    for future, integration in futures.items():
        if not future.done() or future.cancelled():
            late = ApiSeen(finding="unreachable", words=f"the check was not over after {SWEEP_SECONDS:.0f} s")
            yield integration, Seen(api=late, webhooks=webhooks.get(integration.pk))
        elif error := future.exception():
            log.error("The check of %s broke", integration.slug, exc_info=error)
            yield integration, Seen(api=ApiSeen(finding="skipped", words=f"the check itself broke ({error})"))
        else:
            yield integration, future.result()


_places = threading.BoundedSemaphore(MOST_CONNECTIONS)


def _look_in_thread(integration: Integration, webhooks: WebhooksSeen | None) -> Seen:
    with ExitStack() as stack:  # what is in it lets the database go
        _take_place(stack)

        def waiting() -> None:
            stack.close()
            stack.callback(connections.close_all)  # for what is asked of the database after that

        return at_one(integration, webhooks, before_waiting=waiting)


def _take_place(stack: ExitStack) -> None:
    stack.enter_context(_places)
    stack.callback(connections.close_all)  # this thread's own; nobody else would


def at_one(
    integration: Integration, webhooks: WebhooksSeen | None, *, before_waiting: Callable[[], object] = lambda: None
) -> Seen:
    """One check: grant, API, webhooks, quota. Calls out, and holds no transaction meanwhile.

    `before_waiting` is called before the provider is asked: a hundred threads that wait need no database connection.
    """
    provider = integration.spec
    if provider is None:
        return Seen(api=ApiSeen(finding="skipped", words="no provider is declared for it in this version"))
    access, grant = _grant_seen(integration) if provider.oauth else (_Access(), None)
    api, answer = None, None
    if provider.probe:
        api, answer = _api_seen(integration, provider, provider.probe, access, grant, before_waiting)
    return Seen(
        grant=grant,
        api=api,
        webhooks=webhooks,
        quota=quota_seen(integration, provider, http.rate_of(answer, provider.limit)),
    )


@dataclass(frozen=True, slots=True)
class _Access:
    """What the API is probed with: an access token, "" without one, and the region that it is from."""

    token: str = field(default="", repr=False)
    region: str = ""


def _grant_seen(integration: Integration) -> tuple[_Access, GrantSeen]:
    trouble: ProviderError | None = None
    access = ""
    try:
        access = oauth.access_token(integration)
    except ProviderError as error:
        trouble = error
    token = Token.objects.select_related("grant").filter(integration=integration).first()
    return _Access(access, oauth.region(token)), GrantSeen(
        trouble=trouble.words if trouble else "",
        absent=trouble is not None and trouble.code in ("missing", "not_configured"),
        dead=trouble is not None and trouble.code in (flow.DEAD, "nothing_to_refresh", "cannot_decrypt"),
        grant=str(token.grant_id) if token else "",
        expires_at=token.expires_at if token else None,
        renews_itself=token is not None and oauth.renews_itself(token),
        last_error=token.grant.last_error if token else "",
    )


def _api_seen(
    integration: Integration,
    provider: Provider,
    probe: Probe,
    access: _Access,
    grant: GrantSeen | None,
    before_waiting: Callable[[], object],
) -> tuple[ApiSeen, Answer | None]:
    if missing := probes.unset(provider):
        return ApiSeen(finding="skipped", words=f"{' and '.join(missing)} not set"), None
    if grant and not access.token:
        return ApiSeen(finding="skipped", words="there is no token to probe it with"), None
    try:
        answer = _ask(integration, provider, probe, access, before_waiting)
        reading = provider.read(answer)
        if other := _another(integration, provider, access, answer.status, reading):
            answer = _ask(integration, provider, probe, other, before_waiting)
            reading = provider.read(answer)
    except limiter.TooSoon as error:
        return ApiSeen(finding="throttled", words=error.words), None
    except ProviderError as error:
        return ApiSeen(finding="unreachable", words=error.words), None
    if reading.finding == "throttled" and provider.limit:
        key = limiter.key_of(integration.slug, provider.limit, probe.endpoint or probe.path)
        limiter.hold(key, provider.limit, retry_after(answer) or PAUSE)
    seen = ApiSeen(
        finding=reading.finding,
        words=reading.words,
        status_code=answer.status,
        elapsed_ms=answer.elapsed_ms,
        slow_ms=probe.slow_ms,
    )
    return seen, answer


def _ask(
    integration: Integration, provider: Provider, probe: Probe, access: _Access, before_waiting: Callable[[], object]
) -> Answer:
    request = probes.request(provider, probe, token=access.token, region=access.region)
    turn = _admit(integration, provider, request.endpoint)
    before_waiting()
    return http.send(
        request,
        integration=integration,
        limit=provider.limit,
        turn=turn,
        source=ApiMetric.Source.PROBE,
        judge=lambda got: "" if provider.read(got).finding == "ok" else provider.read(got).words,
    )


def _another(
    integration: Integration, provider: Provider, access: _Access, status: int, reading: Reading
) -> _Access | None:
    """What to probe with instead, when the token was refused before its time and another is to be had."""
    if provider.oauth is None or reading.finding == "ok" or not provider.oauth.token_refused(status, reading.code):
        return None
    token = oauth.replacement(integration, refused=access.token)
    return replace(access, token=token) if token else None


def _admit(integration: Integration, provider: Provider, endpoint: str) -> limiter.Turn | None:
    """A probe is a call like others, and waits for its turn; while a database may still be asked."""
    if provider.limit is None:
        return None
    key = limiter.key_of(integration.slug, provider.limit, endpoint)
    return limiter.admit(key, provider.limit, patience=PATIENCE_SECONDS)


def webhooks_seen(integrations: Sequence[Integration], now: datetime) -> Mapping[UUID, WebhooksSeen]:
    """The last day's deliveries of each integration that has webhooks: two queries for all."""
    ids = [one.pk for one in integrations if one.has_webhooks]
    counts = deliveries(ids, now)
    rhythmic = [one.pk for one in integrations if one.spec and one.spec.silence_hours]
    last = dict(
        WebhookLog.objects.filter(
            webhook__integration__in=rhythmic, status=WebhookLog.Status.PROCESSED, is_test=False
        ).values_list("webhook__integration").annotate(Max("created_at"))
    )  # fmt: skip
    unset = {
        row.integration_id: row.secret_env_var
        for row in Webhook.objects.filter(integration__in=ids)
        if not credentials.secrets(row.secret_env_var) and row.verification_method != Webhook.Method.MD5_HASH
    }
    return {
        pk: WebhooksSeen(
            received=counts.get(pk, (0, 0))[0],
            failed=counts.get(pk, (0, 0))[1],
            last_processed_at=last.get(pk),
            silence_hours=settings.HEALTH_SILENCE_HOURS if pk in rhythmic else 0,
            secret_missing=unset.get(pk, ""),
        )
        for pk in ids
    }


def deliveries(integrations: Collection[UUID], now: datetime) -> dict[UUID, tuple[int, int]]:
    """How many of the last day's deliveries of each were received, and how many of these failed."""
    recent = WebhookLog.objects.filter(webhook__integration__in=integrations, created_at__gte=now - DAY, is_test=False)
    # What was never verified anybody may have sent: it says nothing about the provider.
    tried = recent.filter(status__in=[WebhookLog.Status.PROCESSED, WebhookLog.Status.FAILED], verified=True)
    counts = tried.values_list("webhook__integration").annotate(
        received=Count("pk"), failed=Count("pk", filter=Q(status=WebhookLog.Status.FAILED))
    )
    return {pk: (received, failed) for pk, received, failed in counts}


def quota_seen(integration: Integration, provider: Provider, told: http.Rate = NOTHING_TOLD) -> QuotaSeen | None:
    """Where the answer just had says that we stand, else the newest that said it. Windows under a minute say nothing
    about tomorrow and are left out, and so is what only we have counted."""
    if provider.limit is None or provider.limit.seconds < 60:
        return None
    if told.remaining is not None:  # what was recorded of it may not be written yet
        total = told.limit or provider.limit.requests
        return QuotaSeen(remaining=told.remaining, limit=total, reset_at=told.resets_at)
    stand = quota.quotas([integration], now=timezone.now()).get(integration.pk)
    if stand is None or not stand.told:
        return None
    return QuotaSeen(remaining=stand.remaining, limit=stand.limit, reset_at=stand.resets_at)
