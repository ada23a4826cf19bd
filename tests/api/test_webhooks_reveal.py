"""What is personal, by the API: for who may manage its integration, by a token that may what is dangerous."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.models import Activity
from tests.api.conftest import assert_problem
from tests.factories import WebhookLogFactory
from webhooks.models import Webhook, WebhookLog
from webhooks.services import personal

pytestmark = pytest.mark.django_db

CANARY = "canary@example.com"
SAID = {"type": "email.sent", "data": {"to": [CANARY], "email_id": "e1"}}


@pytest.fixture
def log(registry) -> WebhookLog:
    webhook = Webhook.objects.get(integration__slug="resend")
    return WebhookLogFactory(webhook=webhook, event_type="email.sent", payload=SAID, body=json.dumps(SAID).encode())


def address(log: WebhookLog) -> str:
    return f"/webhooks/{log.webhook_id}/logs/{log.pk}"


def told() -> list[Activity]:
    return list(Activity.objects.filter(action="webhook_personal_shown"))


def test_it_is_shown_and_told(api, log):
    masked = api.get(address(log)).json()
    answer = api.post(f"{address(log)}/reveal")
    body = answer.json()
    assert body["payload"] == SAID
    assert json.loads(body["raw"]) == SAID
    assert (body["bodySize"], body["personalDroppedAt"]) == (len(json.dumps(SAID)), None)
    assert answer["Cache-Control"] == "no-store"
    assert CANARY not in json.dumps(masked)
    same = set(masked) - {"payload", "raw", "fetched"}
    assert {name: body[name] for name in same} == {name: masked[name] for name in same}
    row = told()[0]
    assert (row.username, row.details["log"], row.details["how"]) == ("alice", str(log.pk), "api")
    assert row.request_id == answer["X-Request-ID"]


@pytest.mark.parametrize("scopes", [[], ["integrations:manage"], ["integrations:read", "dangerous"]])
def test_a_token_needs_both_scopes(calling, alice, log, scopes):
    answer = calling(alice, scopes=scopes).post(f"{address(log)}/reveal")
    assert answer.status_code == 403
    assert CANARY not in answer.content.decode()
    assert told() == []
    assert Activity.objects.filter(outcome="refused", username="alice").exists()


def test_who_may_only_look_gets_403_and_a_stranger_404(calling, bob, charlie, registry, log):
    assert_problem(calling(bob).post(f"{address(log)}/reveal"), 403, "permission_denied")
    assign_perm("integrations.manage", charlie, registry["netcash"])
    assign_perm("integrations.read", charlie, registry["netcash"])
    assert_problem(calling(charlie).post(f"{address(log)}/reveal"), 404, "not_found")
    assert told() == []
    assert Activity.objects.filter(action="permission_denied", username="bob").exists()


def test_what_was_dropped_is_409_and_the_event_says_when(api, log):
    now = timezone.now()
    WebhookLog.objects.filter(pk=log.pk).update(created_at=now - timedelta(days=31))
    personal.run(now=now)
    assert_problem(api.post(f"{address(log)}/reveal"), 409, "personal_dropped")
    body = api.get(address(log)).json()
    assert body["payload"]["data"] == {"to": "[dropped]", "email_id": "e1"}
    assert body["personalDroppedAt"].endswith("Z")
    assert body["bodySize"] == len(json.dumps(SAID))
    assert_problem(api.post(f"/webhooks/{log.webhook_id}/replay", {"logId": str(log.pk)}), 409, "not_replayable")
    assert told() == []
