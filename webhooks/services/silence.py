"""Watching for silence: nothing genuine came for longer than a webhook's rhythm explains.

Every few minutes each webhook is looked at, and once a day its rhythm is learned anew (`webhooks/rhythm.py`), unless
an admin has set one. What was found is a row: open until something comes. Nobody is blamed for our own absence: time
in which no web process was there to receive counts for nothing.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from webhooks import rhythm
from webhooks.models import LaneMinute, Rhythm, Silence, Webhook, WebhookLog
from webhooks.services import backfill

LOOK_EVERY = timedelta(minutes=5)
LEARN_EVERY = timedelta(days=1)
OVERLAP = timedelta(minutes=10)
"""Looked at again each time: a delivery takes seconds to be stored, and some are confirmed only later."""
AWAY = timedelta(minutes=15)
"""Nobody was there to receive if no web process said so for this long; each does every five minutes."""
LEARN_SECONDS = 10.0

SET, LEARNED, UNKNOWN = "set", "learned", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """`minutes` None: nothing is too long. `known_by`: set, learned or unknown; `words` say how."""

    minutes: int | None
    busy: Collection[int]
    known_by: str
    words: str

    def exceeded(self, since: datetime, now: datetime) -> bool:
        zone = timezone.get_default_timezone()
        return self.minutes is not None and rhythm.measured(since, now, busy=self.busy, zone=zone) > self.minutes


@dataclass(slots=True)
class Found:
    """How many silences began, and how many ended."""

    silences_opened: int = 0
    silences_ended: int = 0


def expected(webhook: Webhook) -> Expected:
    """What an admin has set, else what was learned."""
    if webhook.silence_minutes is not None:
        words = _("Set by an admin: more than {span} is too long, day and night.")
        words = words.format(span=rhythm.span(webhook.silence_minutes))
        return Expected(minutes=webhook.silence_minutes, busy=(), known_by=SET, words=words)
    known: Rhythm | None = getattr(webhook, "rhythm", None)
    if known is None or known.learned_at is None:
        return Expected(minutes=None, busy=(), known_by=UNKNOWN, words=_("Not learned yet."))
    known_by = UNKNOWN if known.expected_minutes is None else LEARNED
    return Expected(minutes=known.expected_minutes, busy=known.busy_hours, known_by=known_by, words=known.words)


def open_ones() -> QuerySet[Silence]:
    return Silence.objects.filter(ended_at=None)


def recent(webhook: Webhook, *, most: int) -> tuple[Silence | None, list[Silence]]:
    """The open one, and those that are over: the newest, so many together."""
    newest = list(Silence.objects.filter(webhook=webhook).order_by("-last_received_at", "-noticed_at")[:most])
    lasting = next((one for one in newest if one.ended_at is None), None)
    return lasting, [one for one in newest if one is not lasting]


def with_open(webhooks: QuerySet[Webhook]) -> QuerySet[Webhook]:
    """Each with its open silence, if any, in a list `silent`: one query for all."""
    return webhooks.prefetch_related(Prefetch("silences", queryset=open_ones(), to_attr="silent"))


def of(webhook: Webhook) -> Silence | None:
    """Its open silence: asked for, unless it came along `with_open`."""
    silent: list[Silence] | None = getattr(webhook, "silent", None)
    if silent is None:
        return open_ones().filter(webhook=webhook).first()
    return silent[0] if silent else None


# --- The watch -------------------------------------------------------------------------------------------------------


def watch(*, now: datetime) -> Found:
    """Look at each webhook whose turn it is. May be called as often as one likes, by several at once."""
    found, learn_until = Found(), time.monotonic() + LEARN_SECONDS
    unknown = Webhook.objects.filter(rhythm=None)
    Rhythm.objects.bulk_create([Rhythm(webhook=webhook) for webhook in unknown], ignore_conflicts=True)
    due = Q(looked_at=None) | Q(looked_at__lte=now - LOOK_EVERY)
    for row in Rhythm.objects.filter(due).select_related("webhook__integration").order_by("looked_at"):
        if Rhythm.objects.filter(pk=row.pk, looked_at=row.looked_at).update(looked_at=now):
            _look(row, now=now, learn=time.monotonic() < learn_until, found=found)
    return found


def _look(row: Rhythm, *, now: datetime, learn: bool, found: Found) -> None:
    webhook = row.webhook
    newest = last_received(webhook.pk, after=row.looked_at - OVERLAP if row.looked_at else None)
    if newest and (row.last_received_at is None or newest > row.last_received_at):
        row.last_received_at = newest
        row.save(update_fields=["last_received_at"])
    due = row.learned_at is None or row.learned_at <= now - LEARN_EVERY
    if learn and due and webhook.silence_minutes is None:
        _learn(row, now=now)
    _judge(webhook, row.last_received_at, now=now, found=found)


def _learn(row: Rhythm, *, now: datetime) -> None:
    moments = heard(row.webhook_id, since=now - timedelta(days=rhythm.DAYS))
    learned = rhythm.learn(moments, now=now, zone=timezone.get_default_timezone())
    row.learned_at, row.words = now, learned.words
    row.expected_minutes, row.busy_hours = learned.minutes, sorted(learned.busy)
    row.save(update_fields=["learned_at", "words", "expected_minutes", "busy_hours"])


def _judge(webhook: Webhook, last: datetime | None, *, now: datetime, found: Found) -> None:
    watched = webhook.is_active and webhook.integration.is_active
    rule = expected(webhook)
    silence = open_ones().filter(webhook=webhook).first()
    if silence is None:
        if watched and last and rule.exceeded(last, now):
            found.silences_opened += _open(webhook, rule, last, now)
        return
    # A learned rhythm that has changed meanwhile ends nothing: it may have been learned from the silence.
    allowed = rule.known_by == SET and not rule.exceeded(silence.last_received_at, now)
    ended_at = _first_after(webhook.pk, silence.last_received_at) or (now if allowed or not watched else None)
    if ended_at:
        found.silences_ended += open_ones().filter(pk=silence.pk).update(ended_at=ended_at)


def _open(webhook: Webhook, rule: Expected, last: datetime, now: datetime) -> int:
    """Asked once more, without a shortcut: a delivery may have been confirmed long after it came."""
    last = last_received(webhook.pk, after=last) or last
    if not rule.exceeded(last, now) or not rule.exceeded(_listening_since(last, now), now):
        return 0
    silence = Silence(webhook=webhook, last_received_at=last, expected_minutes=rule.minutes or 0, noticed_at=now)
    Silence.objects.bulk_create([silence], ignore_conflicts=True)
    return int(open_ones().filter(pk=silence.pk).exists())


def _listening_since(last: datetime, now: datetime) -> datetime:
    """Since when somebody has been there to receive without a break: `last`, or the end of our last absence."""
    reached, floor = now, max(last, now - timedelta(days=rhythm.DAYS))
    minutes = LaneMinute.objects.filter(minute__gte=floor, minute__lte=now).order_by("-minute")
    for minute in minutes.values_list("minute", flat=True).distinct().iterator():
        if reached - minute > AWAY:
            return reached
        reached = minute
    return last if reached - floor <= AWAY else reached


# --- Reading deliveries ----------------------------------------------------------------------------------------------


def genuine(webhook_id: UUID) -> QuerySet[WebhookLog]:
    """What its provider sent, however often; not what we made ourselves, or had to fetch."""
    rows = WebhookLog.objects.filter(webhook=webhook_id, verified=True, is_test=False, replay_of=None)
    return rows.exclude(verification=backfill.WORDS)


def newest(webhook: Webhook) -> datetime | None:
    """When its newest genuine delivery came; what the watch has seen already isn't looked through again."""
    known: Rhythm | None = getattr(webhook, "rhythm", None)
    seen = known.last_received_at if known else None
    return last_received(webhook.pk, after=seen) or seen


def last_received(webhook_id: UUID, *, after: datetime | None = None) -> datetime | None:
    """When the newest genuine delivery came."""
    rows = genuine(webhook_id) if after is None else genuine(webhook_id).filter(created_at__gt=after)
    return max(_of_each_status(webhook_id, rows.order_by("-created_at", "-id")), default=None)


def _first_after(webhook_id: UUID, moment: datetime) -> datetime | None:
    rows = genuine(webhook_id).filter(created_at__gt=moment)
    return min(_of_each_status(webhook_id, rows.order_by("created_at", "id")), default=None)


def _of_each_status(webhook_id: UUID, rows: QuerySet[WebhookLog]) -> list[datetime]:
    """The first of `rows` with each status: one look into the index for each."""
    looks = [Subquery(rows.filter(status=status).values("created_at")[:1]) for status in WebhookLog.Status.values]
    found = Webhook.objects.filter(pk=webhook_id).values_list(*looks).get()
    return [at for at in found if at is not None]


def heard(webhook_id: UUID, *, since: datetime) -> list[datetime]:
    """Moments since then at which something genuine came, oldest first, each at least ten minutes after the one
    before: from each it is looked into the index for the next, however many deliveries lie between."""
    field = WebhookLog._meta.get_field("webhook")
    pk, start = field.get_db_prep_value(webhook_id, connection), connection.ops.adapt_datetimefield_value(since)
    with connection.cursor() as cursor:
        said = {"webhook": pk, "start": start, "fetched": backfill.WORDS}
        cursor.execute(_HEARD[connection.vendor], said)
        return [_moment(at) for (at,) in cursor.fetchall()]


def _soonest(after: str) -> str:
    each = " UNION ALL ".join(
        f"""SELECT MIN(created_at) AS came FROM integration_webhook_logs WHERE webhook_id = %(webhook)s
            AND status = '{status}' AND created_at >= {after} AND verified AND NOT is_test AND replay_of IS NULL
            AND verification <> %(fetched)s"""  # noqa: S608 - made of constants
        for status in WebhookLog.Status.values
    )
    return f"(SELECT MIN(came) FROM ({each}) AS of_each_status)"  # noqa: S608 - made of constants


def _query(step_later: str) -> str:
    return f"""
        WITH RECURSIVE heard(at) AS (
            SELECT {_soonest("%(start)s")}
            UNION ALL SELECT {_soonest(step_later)} FROM heard WHERE heard.at IS NOT NULL
        ) SELECT at FROM heard WHERE at IS NOT NULL ORDER BY at
    """  # noqa: S608 - made of constants


_STEP_MINUTES = rhythm.STEP // timedelta(minutes=1)
_HEARD = {
    "postgresql": _query(f"heard.at + interval '{_STEP_MINUTES} minutes'"),
    "sqlite": _query(f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', heard.at, '+{_STEP_MINUTES} minutes')"),
}


def _moment(value: datetime | str) -> datetime:
    """SQLite gives text."""
    if isinstance(value, datetime):
        return value
    parsed = parse_datetime(value)
    assert parsed is not None  # noqa: S101 - what Django itself wrote
    return parsed.replace(tzinfo=UTC)
