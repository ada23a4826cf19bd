"""A person is planted in the event of an identity check, everything is done with it that can be done, and then they
are looked for in all that people, files and other processes get to see. Only who asks for it, and is written down for
it, sees them; and once it has had its time nobody does."""

import json
import logging
import re
from datetime import timedelta

import pytest
from django.contrib.admin import site
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config import celery, logs, schedule
from healthchecks.models import Alarm, Alert, Delivery
from integrations import http
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity, ApiMetric
from integrations.providers import get, samples
from integrations.providers.spec import Answer
from tests import quick
from tests.config.test_access import routes
from tests.webhooks.conftest import SECRETS
from webhooks.models import Attempt, Forward, Refusal, Webhook, WebhookLog
from webhooks.services import forward, personal, process, quarantine, receive, replay, trial

pytestmark = pytest.mark.django_db(transaction=True)

SLUG = "didit-kyc"
NAME, NUMBER, MAIL = "Nomvula Canary-Dlamini", "8001015009087", "nomvula.canary@example.com"
WHO = {NAME, NUMBER, MAIL, "Canary-Dlamini", "5009087"}


def look_into(text: str) -> None:
    """Fails without repeating what it found."""
    found = [who[:3] for who in WHO if who in text or who.encode().hex() in text.lower()]
    assert found == [], f"{len(found)} show"


def delivery(number: int):
    webhook = get(SLUG).webhook
    said = json.loads(json.dumps(samples.load(SLUG, "status.updated")))
    said["vendor_data"] = MAIL
    said["decision"]["id_verifications"][0] |= {"full_name": NAME, "document_number": NUMBER}
    now = timezone.now().timestamp()
    return webhook.sign(webhook.fresh(said, now, f"e{number}"), SECRETS[webhook.secret_env], now=now, delivery_id="x")


def breaks(event):
    if event.is_test or event.replay_of:
        return
    raise KeyError(event.payload, event.body)


def echo(request, **_):
    """A target that repeats what it got, and then one that breaks over it."""
    if cache.incr("echoed") % 2:
        return Answer(status=500, headers={}, body=b"I did not like " + request.body, elapsed_ms=1)
    raise RuntimeError(request.body)


@pytest.fixture
def lived(registry, caplog, monkeypatch, settings):
    """Failed, replayed, tested, refused, forwarded in vain, alerted of, with every logger at its most talkative. Gives
    what was sent to workers."""
    cache.set("echoed", 0)
    settings.WEBHOOK_RETRY_WAITS = [0]
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WEBHOOK_FORWARD_SECRET", "whsec_" + "a" * 32)
    monkeypatch.setattr(http, "send", echo)
    messages: list[str] = []
    monkeypatch.setattr(celery.app, "send_task", lambda *args, **kwargs: messages.append(repr((args, kwargs))))
    caplog.set_level(logging.DEBUG)
    for name in ("django.db.backends", "django.request", "celery"):
        caplog.set_level(logging.DEBUG, logger=name)
    connection.force_debug_cursor = True
    webhook = Webhook.objects.select_related("integration").get(integration__slug=SLUG)
    Webhook.objects.filter(pk=webhook.pk).update(forward_url="https://example.com/hook")
    route = receive.routes()[webhook.webhook_url]
    now = timezone.now()
    for number in range(3):
        receive.store(receive.admit(route, delivery(number), now=now))
    receive.store(receive.admit(route, delivery(0), now=now))  # a duplicate
    table = process.Table(handlers={(SLUG, "*"): breaks})
    for _ in range(2):
        process.drain(table)
    failed = WebhookLog.objects.filter(status="failed").first()
    assert failed is not None
    again = replay.one(failed, actor=SYSTEM, now=now - timedelta(minutes=1))
    own = json.loads(delivery(9).body)
    tests = trial.send(webhook, event_type="status.updated", payload=own, forwards=True, actor=SYSTEM, now=now)
    WebhookLog.objects.filter(status="pending").update(due_at=now)
    process.drain(table)
    for row in Forward.objects.all():
        for _ in range(2):
            Forward.objects.filter(pk=row.pk).update(due_at=now)
            row.refresh_from_db()
            assert forward.send(row, forward.Summary())
    forged = delivery(7)
    one = quarantine.Refused(
        route=route, delivery=forged, reason="mismatch", detail="No secret fits.", at=now,
        caller=Actor(username="anonymous", ip_address="192.0.2.1"), keep=True, note=True,
    )  # fmt: skip
    quarantine.keep([one], {one.place: {"mismatch": 1}})
    schedule.drain_and_look_ahead()
    logging.getLogger("someone").error("could not do %s", failed.payload, extra={"payload": failed.payload})
    logging.getLogger("someone").info("woke", extra={"why": [MAIL]})
    assert again.pk
    assert tests
    yield messages
    connection.force_debug_cursor = False


def seen_by(user, lived) -> list[str]:
    """All that can be had with GET: each route with the ids of what was planted."""
    client = Client()
    client.force_login(user)
    log, duplicate = (
        WebhookLog.objects.filter(status="failed").first(),
        WebhookLog.objects.filter(status="duplicate").first(),
    )
    there = {
        "slug:slug": SLUG, "uuid:webhook_id": log.webhook_id, "uuid:pk": log.pk, "uuid:log_id": log.pk,
        "uuid:forward_id": Forward.objects.first().pk, "uuid:refusal_id": Refusal.objects.first().pk,
    }  # fmt: skip
    paths = [re.sub("<([^>]+)>", lambda part: str(there.get(part[1], log.pk)), route) for route in routes()]
    for row in (duplicate, *WebhookLog.objects.filter(is_test=True), *WebhookLog.objects.exclude(replay_of=None)):
        paths += [
            f"admin/integrations/webhooks/{row.pk}/body", f"admin/integrations/webhooks/{row.pk}/raw",
            f"api/admin/integrations/webhooks/{row.webhook_id}/logs/{row.pk}",
        ]  # fmt: skip
    since = f"{timezone.now() - timedelta(days=1):%Y-%m-%d}"
    paths += [f"admin/integrations/webhooks?q=approved&from={since}", f"admin/integrations/{SLUG}?tab=webhooks"]
    paths += [f"admin/integrations/webhooks/{log.webhook_id}?tab={tab}" for tab in ("refused", "forwards", "events")]
    if user.is_superuser:
        for model in site._registry:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            paths.append(reverse(f"{name}_changelist")[1:])
            # Django itself warns of an address in a form (webhooks.Forward), which here would be an error.
            rows = model._default_manager.all()[: 0 if model._meta.model_name == "forward" else 20]
            paths += [reverse(f"{name}_change", args=[row.pk])[1:] for row in rows]
    seen = []
    for path in paths:
        response = client.get(f"/{path}")
        content = b"".join(response.streaming_content) if response.streaming else response.content
        seen.append(str(dict(response.headers)) + content.decode(errors="replace"))
    return seen


def test_no_page_no_answer_and_no_export_shows_them(lived, person):
    for user in (person("root", is_superuser=True, is_staff=True), person("dana", role="Super Admin")):
        seen = seen_by(user, lived)
        assert sum("status.updated" in text for text in seen) > 5
        assert any("•••" in text or "\\u2022" in text for text in seen)
        for text in seen:
            look_into(text)


def test_nor_do_logs_messages_and_what_is_told_of_it(lived, caplog):
    records = caplog.get_records("setup")
    assert any(NAME in record.getMessage() for record in records), "the statements, with their values"
    for record in records:
        look_into(logs.Line().format(record))
        look_into(logs.Line(readable=True).format(record))
    assert lived, "workers were woken"
    assert Alarm.objects.exists()
    assert Attempt.objects.exclude(answer="").exists()
    for model in (Activity, Alarm, Alert, Delivery, ApiMetric, Attempt, Forward):
        look_into(str(list(model.objects.values())))
    look_into(str(list(WebhookLog.objects.values("error_message", "traceback", "headers", "idempotency_key"))))
    assert WebhookLog.objects.filter(error_message__startswith="KeyError: ").exists()
    look_into(str(lived))


def test_who_asks_for_it_by_name_sees_them_and_is_written_down(lived, alice):
    client = Client()
    client.force_login(alice)
    log = WebhookLog.objects.filter(status="failed").first()
    page = client.post(f"/admin/integrations/webhooks/{log.pk}/reveal").content.decode()
    assert NAME in page
    with pytest.raises(AssertionError):
        look_into(page)
    told = Activity.objects.get(action="webhook_personal_shown")
    assert (told.username, told.details["log"]) == ("alice", str(log.pk))
    look_into(str(list(Activity.objects.values())))


def test_in_the_whole_database_they_stand_in_the_known_columns_and_later_nowhere(lived):
    Forward.objects.update(due_at=None)
    assert places() == {
        "integration_webhook_logs.payload", "integration_webhook_logs.body", "integration_webhook_quarantine.body"
    }  # fmt: skip
    personal.run(now=timezone.now() + timedelta(days=31))
    assert places() == set()
    assert WebhookLog.objects.count() == 6


def places() -> set[str]:
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith(quick.PREFIX):  # the tests' own
                continue
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    raw = bytes(value) if isinstance(value, memoryview) else value
                    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
                    if any(who in text for who in WHO):
                        found.add(f"{table}.{column}")
    return found
