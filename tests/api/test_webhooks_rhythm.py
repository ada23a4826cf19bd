"""One receiver's rhythm by the API, and silence in the list."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.api.base import utc
from tests.api.conftest import assert_problem
from webhooks.models import Rhythm, Silence, Webhook, WebhookLog
from webhooks.services import silence

pytestmark = pytest.mark.django_db

NOW = timezone.now()
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
NO_SAMPLE = {"counted": 0, "p50": None, "p95": None, "max": None, "backwards": 0, "backwardsMax": None}


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def shown(api, webhook: Webhook, **query) -> dict:
    response = api.get(f"/webhooks/{webhook.pk}/rhythm", **query)
    assert response.status_code == 200, response.content
    return response.json()


def came(webhook: Webhook, at, **fields) -> None:
    fields = {"status": "processed", "stored_at": at + SECOND, "sent_at": at + 2 * SECOND, "attempts": 1} | fields
    fields |= {"started_at": at + 3 * SECOND, "processed_at": at + 7 * SECOND}
    WebhookLog.objects.create(webhook=webhook, body=b"x", created_at=at, **fields)


def test_where_nothing_is_known_nothing_is_made_up(api, webhook):
    body = shown(api, webhook)
    assert body["rhythm"] == {
        "lastReceivedAt": None, "expectedMinutes": None, "knownBy": "unknown", "explanation": "Not learned yet.",
        "busyHours": [], "silence": None, "silences": [],
    }  # fmt: skip
    assert body["latency"].pop("since").endswith("Z")
    parts = dict.fromkeys(("provider", "commit", "pickup", "work"), NO_SAMPLE)
    assert body["latency"] == {"counted": 0, "isCapped": False, **parts}


def test_it_tells_the_rhythm_the_silences_and_where_the_time_went(api, webhook):
    Rhythm.objects.create(
        webhook=webhook, learned_at=NOW, expected_minutes=90, busy_hours=[9, 10], words="Learned from 28 d.",
        last_received_at=NOW - 5 * HOUR,
    )  # fmt: skip
    at = NOW - 3 * HOUR
    came(webhook, at)
    past = Silence.objects.create(
        webhook=webhook, last_received_at=NOW - 9 * HOUR, expected_minutes=45, noticed_at=NOW - 8 * HOUR, ended_at=at
    )
    Silence.objects.create(webhook=webhook, last_received_at=at, expected_minutes=90, noticed_at=NOW)
    body = shown(api, webhook)
    lasting = {"lastReceivedAt": utc(at), "expectedMinutes": 90, "noticedAt": utc(NOW), "endedAt": None}
    over = {
        "lastReceivedAt": utc(past.last_received_at), "expectedMinutes": 45, "noticedAt": utc(past.noticed_at),
        "endedAt": utc(at),
    }  # fmt: skip
    assert body["rhythm"] == {
        "lastReceivedAt": utc(at), "expectedMinutes": 90, "knownBy": "learned", "explanation": "Learned from 28 d.",
        "busyHours": [9, 10], "silence": lasting, "silences": [over],
    }  # fmt: skip
    latency = body["latency"]
    assert (latency["counted"], latency["provider"]["backwards"], latency["provider"]["backwardsMax"]) == (1, 1, 2000)
    assert [latency[part]["p95"] for part in ("provider", "commit", "pickup", "work")] == [None, 1000, 2000, 4000]
    (listed,) = [row for row in api.get("/webhooks").json()["webhooks"] if row["id"] == str(webhook.pk)]
    assert listed["silence"] == lasting
    (detailed,) = api.get("/resend").json()["integration"]["webhooks"]
    assert detailed["silence"] == lasting


def test_what_an_admin_set_is_told(api, webhook):
    api.patch(f"/webhooks/{webhook.pk}", {"silenceMinutes": 60})
    rhythm = shown(api, webhook)["rhythm"]
    assert (rhythm["expectedMinutes"], rhythm["knownBy"]) == (60, "set")
    assert rhythm["explanation"] == "Set by an admin: more than 60 min is too long, day and night."


def test_the_range_can_be_chosen(api, webhook):
    came(webhook, NOW - 30 * HOUR)
    assert shown(api, webhook)["latency"]["counted"] == 0
    assert shown(api, webhook, hours=48)["latency"]["counted"] == 1


@pytest.mark.parametrize("hours", ["0", "169", "x", "1.5", ""])
def test_a_bad_range_is_a_mistake_of_the_callers(api, webhook, hours):
    problem = assert_problem(api.get(f"/webhooks/{webhook.pk}/rhythm", hours=hours), 400, "invalid")
    assert problem["errors"][0]["field"] == "hours"


def test_who_may_not_see_the_integration_learns_nothing(calling, charlie, registry, webhook):
    assign_perm("integrations.read", charlie, registry["netcash"])
    Silence.objects.create(webhook=webhook, last_received_at=NOW, expected_minutes=90)
    caller = calling(charlie)
    assert_problem(caller.get(f"/webhooks/{webhook.pk}/rhythm"), 404, "not_found")
    assert [row["silence"] for row in caller.get("/webhooks").json()["webhooks"]] == [None]


def test_silence_in_the_list_is_one_query_for_all(api, webhook):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get("/webhooks").status_code == 200
        return sum("integration_webhook_silences" in query["sql"] for query in captured)

    for one in Webhook.objects.all():
        Silence.objects.create(webhook=one, last_received_at=NOW, expected_minutes=90)
    assert queries() == 1


def test_it_takes_few_queries_however_much_came(api, webhook):
    silence.watch(now=NOW)
    for n in range(30):
        came(webhook, NOW - n * SECOND, attempts=2)
    with CaptureQueriesContext(connection) as queries:
        shown(api, webhook)
    assert len(queries) <= 12
