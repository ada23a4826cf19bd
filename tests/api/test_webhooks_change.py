"""Changing a receiver by the API."""

from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations import ids
from integrations.models import Activity
from tests.api.conftest import assert_problem
from webhooks.models import Forward, Webhook, WebhookLog

pytestmark = pytest.mark.django_db

URL = "https://example.com/hook"


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup._looker, "wake", lambda: told.append("look"))
    return told


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def waiting(webhook: Webhook, **fields) -> Forward:
    log = WebhookLog.objects.create(webhook=webhook, body=b"{}", payload={}, status="processed")
    fields = {"url": "https://old.example.com", "due_at": timezone.now() + timedelta(hours=1), **fields}
    return Forward.objects.create(log=log, webhook=webhook, **fields)


def test_a_change_answers_the_receiver_and_tells_from_what_to_what(api, webhook):
    change = {
        "isActive": False, "eventTypes": ["email.sent"], "forwardUrl": f"{URL}?key=canary",
        "forwardEventTypes": ["email.bounced"], "forwardInOrder": True, "retentionDays": 30, "silenceMinutes": 90,
    }  # fmt: skip
    answer = api.patch(f"/webhooks/{webhook.pk}", change)
    assert answer.status_code == 200
    assert answer.json()["webhook"].items() >= (change | {"forwardUrl": URL}).items()
    webhook.refresh_from_db()
    assert (webhook.forward_url, webhook.retention_days, webhook.silence_minutes) == (f"{URL}?key=canary", 30, 90)
    entry = Activity.objects.get()
    assert (entry.username, entry.action, entry.integration_slug) == ("alice", "webhook_changed", "resend")
    assert entry.details["before"]["retention_days"] == 90
    assert entry.details["after"]["forward_url"] == URL


def test_what_is_not_named_or_not_different_stays_and_leaves_no_trace(api, webhook):
    assert api.patch(f"/webhooks/{webhook.pk}", {}).status_code == 200
    assert api.patch(f"/webhooks/{webhook.pk}", {"isActive": True, "retentionDays": 90}).status_code == 200
    assert not Activity.objects.exists()


def test_null_takes_back(api, webhook):
    Webhook.objects.filter(pk=webhook.pk).update(forward_url=URL, silence_minutes=5)
    shown = api.patch(f"/webhooks/{webhook.pk}", {"forwardUrl": None, "silenceMinutes": None}).json()["webhook"]
    assert (shown["forwardUrl"], shown["silenceMinutes"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"secretEnvVar": "SECRET_KEY"}, "secretEnvVar"),
        ({"isActive": None}, "isActive"),
        ({"eventTypes": []}, "eventTypes"),
        ({"eventTypes": "email.sent"}, "eventTypes"),
        ({"retentionDays": 0}, "retentionDays"),
        ({"retentionDays": 40_000}, "retentionDays"),
        ({"silenceMinutes": 0}, "silenceMinutes"),
        *[
            ({"forwardUrl": url}, "forwardUrl")
            for url in (
                "http://example.com", "ftp://example.com", "javascript:alert(1)", "example.com", "https://",
                "https://user:pass@example.com", "https://exa mple.com", "https://[::1", "https://example.com:99999",
                "https://example.com/" + "x" * 200,
            )
        ],
    ],
)  # fmt: skip
def test_a_bad_change_names_the_field_and_changes_nothing(api, webhook, change, field):
    problem = assert_problem(api.patch(f"/webhooks/{webhook.pk}", {"retentionDays": 7, **change}), 400, "invalid")
    assert field in {error["field"].split(".")[0] for error in problem["errors"]}
    webhook.refresh_from_db()
    assert webhook.retention_days == 90


def test_http_is_for_where_private_addresses_are_allowed(api, webhook, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    assert api.patch(f"/webhooks/{webhook.pk}", {"forwardUrl": "http://127.0.0.1:9000/x"}).status_code == 200


def test_what_waits_goes_to_the_new_address_and_a_stopped_one_starts_afresh(api, webhook):
    Webhook.objects.filter(pk=webhook.pk).update(forward_stopped_at=timezone.now())
    row, delivered = waiting(webhook), waiting(webhook, status="delivered", due_at=None)
    assert api.patch(f"/webhooks/{webhook.pk}", {"forwardUrl": URL}).json()["webhook"]["forwardStoppedAt"] is None
    row.refresh_from_db()
    delivered.refresh_from_db()
    assert (row.url, delivered.url) == (URL, "https://old.example.com")


def test_without_an_address_what_waits_is_stopped(api, webhook):
    Webhook.objects.filter(pk=webhook.pk).update(forward_url=URL)
    row = waiting(webhook)
    api.patch(f"/webhooks/{webhook.pk}", {"forwardUrl": ""})
    row.refresh_from_db()
    assert (row.status, row.due_at) == ("stopped", None)


def test_switching_it_on_again_wakes_the_workers(api, webhook, woken):
    api.patch(f"/webhooks/{webhook.pk}", {"isActive": False})
    assert woken == []
    api.patch(f"/webhooks/{webhook.pk}", {"isActive": True})
    api.patch(f"/webhooks/{webhook.pk}", {"isActive": True})
    assert woken == ["look"]


def test_who_may_not_manage_it_changes_nothing(api, calling, bob, charlie, webhook, registry):
    assign_perm("integrations.manage", charlie, registry["resend"])
    other = Webhook.objects.get(integration__slug="netcash")
    assert calling(charlie).patch(f"/webhooks/{webhook.pk}", {"retentionDays": 7}).status_code == 200
    assert_problem(calling(charlie).patch(f"/webhooks/{other.pk}", {"retentionDays": 7}), 404, "not_found")
    assert_problem(calling(bob).patch(f"/webhooks/{webhook.pk}", {"retentionDays": 8}), 403, "permission_denied")
    assert_problem(api.patch(f"/webhooks/{ids.new()}", {}), 404, "not_found")
