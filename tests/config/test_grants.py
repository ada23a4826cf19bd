"""A grant on one integration shows that one: no name, slug, id, word or count of another in any answer to a GET.

Both integrations are lived in, in every table there is; all that is theirs carries a word that stands nowhere else,
and there are so many of each that their numbers can't be anybody else's.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db.models import ForeignKey, Model
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import probes, wakeup
from healthchecks import rollups
from healthchecks.models import (
    Alarm,
    Alert,
    CheckResult,
    DailyRollup,
    Delivery,
    Incident,
    IncidentNote,
    Maintenance,
    MetricRollup,
    StatusChange,
)
from integrations import activity, http
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.cron.models import CronJob, CronRun
from integrations.models import ApiMetric, Integration
from integrations.permissions import Perm
from oauth.models import AuthorizationRequest, Grant, Leftover, Token, TokenEvent
from tests.config.test_access import MANAGE, OWN_SECRET, READ, REPLAY, SIGNED_IN, TABLE
from webhooks.models import (
    Attempt,
    Forward,
    Refusal,
    RefusalTally,
    Registration,
    RegistrationCheck,
    ReplayBatch,
    Reverification,
    Rhythm,
    SecretUse,
    Silence,
    Webhook,
    WebhookLog,
)

pytestmark = pytest.mark.django_db

MINE, THEIRS = "zoho-crm", "zoho-sign"
"""Of one vendor, and living by one OAuth grant: what is shared shows most easily."""
WORD = "quokka"
FEW, MANY = 3, 1237
COUNTS = re.compile(r"(?<![\w.-])(?:1,?237|1,?240)(?![\w.-])")
ABOUT_NOBODY = {"api/schema", "api/docs", "metrics", "brand.css", "healthz", "readyz"}
"""What is the same for everybody, whatever is stored."""


def inhabit(
    row: Integration, webhook: Webhook, word: str, number: int, grant: Grant, somebody: User
) -> dict[str, Any]:
    """Rows in every table; returns one of each that routes name."""
    now = timezone.now()
    ago = [now - timedelta(minutes=5, seconds=n) for n in range(number)]
    Integration.objects.filter(pk=row.pk).update(
        name=f"The {word} of all", health_status="down", health_reason=f"The {word} is down.", health_since=ago[-1],
        last_health_check_at=now, consecutive_failures=3, metadata={"owner": word},
    )  # fmt: skip
    webhook_log = {"webhook": webhook, "payload": {"said": word}, "body": word.encode(), "event_type": f"{word}.paid"}
    logs = WebhookLog.objects.bulk_create(
        [
            WebhookLog(status="failed", error_message=word, created_at=at, headers={"x": word}, **webhook_log)
            for at in ago
        ]
    )
    log = logs[0]
    Attempt.objects.bulk_create([Attempt(log=one, target="handler", at=now, error=word) for one in logs])
    url = f"https://{word}.example.com/in"
    Webhook.objects.filter(pk=webhook.pk).update(forward_url=url, secret_env_var=f"WEBHOOK_{word.upper()}")
    Forward.objects.bulk_create(
        [Forward(log=one, webhook=webhook, url=url, status="failed", error_message=word, due_at=now) for one in logs]
    )
    refusals = Refusal.objects.bulk_create(
        [
            Refusal(webhook=webhook, reason="mismatch", detail=word, body=word.encode(), sealed="", created_at=at)
            for at in ago
        ]
    )
    RefusalTally.objects.create(
        webhook=webhook, hour=now.replace(minute=0, second=0, microsecond=0), kept=number, reasons={"mismatch": number}
    )
    Reverification.objects.create(webhook=webhook, total=number, username=word, due_at=now + timedelta(hours=1))
    SecretUse.objects.create(webhook=webhook, fingerprint=word, last_matched_at=now)
    Registration.objects.create(
        webhook=webhook, provider_id=word, url=url, code="gone", finding=f"The {word} is gone."
    )  # fmt: skip
    RegistrationCheck.objects.create(webhook=webhook, checked_at=now, error=f"The {word} said no.")
    Silence.objects.create(webhook=webhook, last_received_at=ago[0], expected_minutes=number)
    Rhythm.objects.create(webhook=webhook, words=f"as {word}s do", expected_minutes=number)
    batch = ReplayBatch.objects.create(selection={"scope": [str(webhook.pk)]}, total=number, username=word)
    ApiMetric.objects.bulk_create(
        [
            ApiMetric(
                integration=row, endpoint=f"/{word}", method="GET", status_code=500, response_time_ms=900,
                error_message=f"{word} said no", created_at=at,
            )
            for at in (*ago, now - timedelta(days=2), now - timedelta(days=3))
        ]
    )  # fmt: skip
    CheckResult.objects.bulk_create(
        [
            CheckResult(
                integration=row,
                status="down",
                rule="api_failed",
                reason=f"{word} is down",
                trigger="sweep",
                created_at=at,
            )
            for at in ago
        ]
    )
    StatusChange.objects.create(integration=row, old_status="healthy", new_status="down", reason=word, at=ago[0])
    incident = Incident.objects.create(integration=row, opened_at=ago[0], worst_status="down", cause=f"{word} broke")
    IncidentNote.objects.create(incident=incident, username=word, text=f"{word} again")
    work = Maintenance.objects.create(
        integration=row, starts_at=now, ends_at=now + timedelta(hours=1), reason=f"washing the {word}", username=word
    )
    alarm = Alarm.objects.create(
        key=f"health:{word}", kind="health", severity="critical", integration=row, slugs=[row.slug],
        title=f"{word} is down", text=f"All of {word} is down.", opened_at=ago[0],
    )  # fmt: skip
    alert = Alert.objects.create(
        alarm=alarm, kind="opened", severity="critical", integration=row, subject=f"{word} is down", text=word
    )
    Delivery.objects.create(alert=alert, route=f"mail to {word}", position=1, status="sent", sent_at=now)
    Token.objects.create(
        integration=row, grant=grant, access_sealed="x", refresh_sealed="x", scope=f"{word}.read", issued_at=now,
        expires_at=now + timedelta(minutes=4), refresh_count=number,
    )  # fmt: skip
    TokenEvent.objects.bulk_create(
        [TokenEvent(integration=row, kind="refreshed", at=at, actor=word, detail=word) for at in ago]
    )
    AuthorizationRequest.objects.create(
        integration=row, user=somebody, state_hash=word, created_at=now, expires_at=now
    )
    Leftover.objects.create(integration=row, why="replaced", token_sealed="x", hint="refresh_token")
    job = CronJob.objects.create(
        job_name=f"{word}-sync", job_url=url, schedule="0 3 * * *", integration=row, last_run_status="failed",
        last_run_at=now,
    )  # fmt: skip
    runs = CronRun.objects.bulk_create(
        [
            CronRun(job=job, status="failed", trigger="manual", triggered_by=word, started_at=at, error_message=word)
            for at in ago
        ]
    )
    for _number in range(2):
        activity.record(actor=Actor(username=f"{word}-keeper"), action="health_check", integration=row)
    return {
        "slug:slug": row.slug, "uuid:webhook_id": webhook.pk, "uuid:log_id": log.pk, "uuid:pk": log.pk,
        "uuid:batch_id": batch.pk, "uuid:forward_id": Forward.objects.get(log=log).pk,
        "uuid:refusal_id": refusals[0].pk, "uuid:incident_id": incident.pk, "uuid:maintenance_id": work.pk,
        "uuid:job_id": job.pk, "uuid:run_id": runs[0].pk, "str:name": job.job_name, "uuid:person_id": somebody.pk,
    }  # fmt: skip


@pytest.fixture
def lived_in(
    registry: dict[str, Integration], person: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """The parts of routes: mine, and theirs."""

    def no_answer(*args: object, **kwargs: object) -> None:
        raise http.Unreachable("no answer")

    monkeypatch.setattr(http, "send", no_answer)
    monkeypatch.setattr(wakeup, "_send", lambda *args: None)
    monkeypatch.setattr(probes, "_beat", lambda: True)
    grant, somebody = Grant.objects.create(), person(f"{WORD}-person")
    activity.record(actor=Actor(username=f"{WORD}-person", user_id=somebody.pk), action="login")
    parts = {}
    for slug, word, number in ((MINE, "wombat", FEW), (THEIRS, WORD, MANY)):
        webhook = Webhook.objects.get(integration__slug=slug)
        parts[slug] = inhabit(registry[slug], webhook, word, number, grant, somebody)
    ReplayBatch.objects.create(
        selection={"scope": [str(parts[slug]["uuid:webhook_id"]) for slug in parts]}, total=MANY, username=WORD
    )
    rollups.roll(now=timezone.now(), budget_seconds=60)
    return parts


def filled(route: str, parts: dict[str, Any]) -> str:
    there = parts
    if route.startswith("admin/integrations/incidents/"):
        there = parts | {"uuid:pk": parts["uuid:incident_id"]}
    return "/" + re.sub("<([^>]+)>", lambda part: str(there[part[1]]), route)


def body(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(content.decode("utf-8", "replace"))


def gets() -> list[tuple[str, str]]:
    """Every route that can be read, with what it asks for; those of signing in are about nobody but oneself."""
    return [
        (route, methods["GET"])
        for route, methods in TABLE.items()
        if methods.get("GET") not in (None, OWN_SECRET) and not route.startswith("accounts/")
    ]


def ids_of(slug: str, word: str) -> set[str]:
    """The keys of all that hangs on an integration."""
    found = {str(Integration.objects.get(slug=slug).pk)}
    paths = {
        "integration": (Alarm, Alert, CronJob, Incident, Maintenance, Token, Webhook),
        "webhook__integration": (Forward, Refusal, WebhookLog, Reverification, Registration),
        "job__integration": (CronRun,),
        "incident__integration": (IncidentNote,),
    }
    for path, models in paths.items():
        for model in models:
            rows = model._default_manager.filter(**{f"{path}__slug": slug})
            found |= {str(pk) for pk in rows.values_list("pk", flat=True)}
    return found | {str(pk) for pk in ReplayBatch.objects.filter(username=word).values_list("pk", flat=True)}


def leaks(said: str, hidden: set[str]) -> list[str]:
    """What of theirs is in an answer; an id in any of its ways of being written."""
    found = [word for word in (WORD, THEIRS) if word in said.lower()]
    found += [pk for pk in re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", said) if pk in hidden]
    return found + COUNTS.findall(said)


@pytest.fixture
def granted(client: Client, charlie: User, registry: dict[str, Integration]) -> Client:
    """Every permission, on one integration alone."""
    for perm in Perm:
        assign_perm(perm.django_name, charlie, registry[MINE])
    client.force_login(charlie)
    return client


def test_every_table_that_hangs_on_an_integration_is_lived_in(lived_in: dict[str, Any]) -> None:
    """Who adds one adds its rows above, or this page of tests would miss what it shows."""
    hanging: set[type[Model]] = {Integration}
    while more := {model for model in apps.get_models() if model not in hanging and _hangs_on(model, hanging)}:
        hanging |= more
    assert {model.__name__ for model in hanging if not model._default_manager.exists()} <= {"Activity"}
    assert {MetricRollup, DailyRollup} <= hanging


def _hangs_on(model: type[Model], hanging: set[type[Model]]) -> bool:
    return any(isinstance(field, ForeignKey) and field.related_model in hanging for field in model._meta.fields)


def test_what_is_mine_shows_and_nothing_of_theirs(granted: Client, lived_in: dict[str, Any]) -> None:
    hidden, open_to_me = ids_of(THEIRS, WORD), 0
    found: dict[str, list[str]] = {}
    for route, needed in gets():
        if route in ABOUT_NOBODY:
            continue
        path = filled(route, lived_in[MINE])
        for query, headers in (("", {}), ("", {"HX-Request": "true"}), ("?q=e", {}), ("?tab=activity", {})):
            answer = granted.get(path + query, headers=headers)
            assert answer.status_code < 500, path
            if answer.status_code == 200:
                open_to_me += 1
                found |= {f"{path}{query} {headers}": told} if (told := leaks(body(answer), hidden)) else {}
        if needed in (READ, SIGNED_IN, REPLAY) and "person_id" not in route and not route.startswith("oauth/"):
            assert answer.status_code in {200, 302, 400}, (path, answer.status_code)
    assert found == {}
    assert open_to_me > 200


def test_what_is_theirs_is_not_there(granted: Client, lived_in: dict[str, Any]) -> None:
    there = 0
    for route, needed in gets():
        if "<" not in route or "person_id" in route or needed not in (READ, MANAGE, REPLAY):
            continue
        there += 1
        path = filled(route, lived_in[THEIRS])
        assert granted.get(path).status_code in {403, 404}, path
    assert there > 20


def test_the_test_can_see_what_it_looks_for(client: Client, alice: User, lived_in: dict[str, Any]) -> None:
    """Whoever may see all sees it: on most pages there is something to be hidden."""
    client.force_login(alice)
    hidden = ids_of(THEIRS, WORD)
    blind, counting = set(), 0
    for route, _needed in gets():
        if "<" in route or route in ABOUT_NOBODY:
            continue
        answer = client.get(f"/{route}")
        if answer.status_code == 200:
            said = body(answer)
            blind |= set() if leaks(said, hidden) else {route}
            counting += bool(COUNTS.search(said))
    assert counting >= 10
    assert blind <= {
        "admin/integrations/account", "admin/integrations/people/add",
        "admin/integrations/cron/check", "admin/integrations/webhooks/replays", "oauth/result",
    }  # fmt: skip
