"""One receiver by the API, with everything that is known of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import ids
from integrations.models import Integration
from tests.api.conftest import assert_problem
from webhooks.models import Forward, Refusal, RefusalTally, Reverification, SecretUse, Webhook, WebhookLog
from webhooks.services import backlog, figures, quarantine

pytestmark = pytest.mark.django_db

SECRET, OLD, GONE = "whsec_bmV3LXNlY3JldA==", "whsec_b2xkLXNlY3JldA==", "whsec_Z29uZQ=="


@pytest.fixture
def webhook(registry, monkeypatch) -> Webhook:
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", f"{SECRET},{OLD}")
    return Webhook.objects.get(integration__slug="resend")


def shown(api, webhook: Webhook) -> dict[str, Any]:
    return api.get(f"/webhooks/{webhook.pk}").json()["webhook"]


def event(webhook: Webhook, **fields: Any) -> WebhookLog:
    return WebhookLog.objects.create(webhook=webhook, body=b"{}", payload={}, **fields)


def forward(webhook: Webhook, **fields: Any) -> Forward:
    log = event(webhook, status="processed")
    return Forward.objects.create(log=log, webhook=webhook, url="https://example.com/in", **fields)


def refusal(webhook: Webhook, **fields: Any) -> Refusal:
    return Refusal.objects.create(webhook=webhook, reason="mismatch", body=b"x", sealed="", **fields)


def test_it_tells_the_row_and_where_the_provider_calls(api, webhook):
    listed = next(row for row in api.get("/webhooks").json()["webhooks"] if row["id"] == str(webhook.pk))
    found = shown(api, webhook)
    assert found.items() >= listed.items()
    assert (found["integrationSlug"], found["publicUrl"]) == (
        "resend", "http://localhost:8000/api/webhooks/resend",
    )  # fmt: skip


def test_secrets_are_named_and_never_told(api, webhook):
    now = timezone.now()
    for secret, days in ((OLD, 1), (GONE, 3)):
        name = figures.fingerprint(secret)
        SecretUse.objects.create(webhook=webhook, fingerprint=name, last_matched_at=now - timedelta(days=days))
    SecretUse.objects.create(
        webhook=Webhook.objects.get(integration__slug="netcash"), fingerprint="f" * 16, last_matched_at=now
    )
    answer = api.get(f"/webhooks/{webhook.pk}")
    found = answer.json()["webhook"]
    assert [(one["position"], one["fingerprint"]) for one in found["secrets"]] == [
        (1, figures.fingerprint(SECRET)), (2, figures.fingerprint(OLD)),
    ]  # fmt: skip
    assert found["secrets"][0]["lastMatchedAt"] is None
    assert found["secrets"][1]["lastMatchedAt"].endswith("Z")
    assert [one["fingerprint"] for one in found["retiredSecrets"]] == [figures.fingerprint(GONE)]
    assert (found["unset"], found["secretEnvVar"]) == (None, "RESEND_WEBHOOK_SECRET")
    assert not any(secret.removeprefix("whsec_") in answer.content.decode() for secret in (SECRET, OLD, GONE))


def test_what_is_not_set_is_named(api, webhook, monkeypatch):
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET")
    found = shown(api, webhook)
    assert (found["unset"], found["secrets"]) == ("RESEND_WEBHOOK_SECRET", [])
    monkeypatch.delenv("NETCASH_WEBHOOK_SECRET", raising=False)
    assert shown(api, Webhook.objects.get(integration__slug="netcash"))["unset"] is None  # NetCash can be asked


def test_an_organisation_is_no_secret(api, webhook, monkeypatch):
    monkeypatch.setenv("ZOHO_ORG_ID", "4242")
    found = shown(api, Webhook.objects.get(integration__slug="zoho-desk"))
    assert (found["secrets"], found["unset"]) == ([], None)


@pytest.mark.parametrize("switch", [Webhook, Integration])
def test_what_is_switched_off_holds_its_events(api, webhook, switch):
    now = timezone.now()
    event(webhook, due_at=now)
    event(webhook, status="failed", due_at=now)
    event(webhook, status="processed")
    event(Webhook.objects.get(integration__slug="netcash"), due_at=now)
    found = shown(api, webhook)
    assert (found["heldBy"], found["held"], found["waiting"]) == (None, 0, 2)
    switch.objects.update(is_active=False)
    found = shown(api, webhook)
    assert (found["heldBy"], found["held"], found["waiting"]) == (switch.__name__.lower(), 2, 0)


def test_forwarding_tells_what_waits_and_what_became_of_the_rest(api, webhook):
    now = timezone.now()
    Webhook.objects.filter(pk=webhook.pk).update(forward_stopped_at=now, forward_url="https://example.com/in?key=x")
    forward(webhook, due_at=now)
    forward(webhook, status="failed", due_at=now)
    for _ in range(3):
        forward(webhook, status="failed")
    forward(webhook, status="stopped")
    for days in (0, 0, 2):
        forward(webhook, status="delivered", created_at=now - timedelta(days=days))
    found = shown(api, webhook)["forwarding"]
    assert found.pop("stoppedAt").endswith("Z")
    assert found == {
        "stoppedBecause": "The target answered HTTP 410.", "waiting": 2, "stopped": 1, "failed": 3,
        "deliveredLast24Hours": 2,
    }  # fmt: skip


def test_the_quarantine_tells_what_is_kept_and_what_was_refused(api, webhook):
    now = timezone.now()
    refusal(webhook)
    refusal(webhook, released_at=now)
    refusal(webhook, created_at=now - quarantine.LIFE)
    for hours, reasons in ((0, {"stale": 2, "mismatch": 500}), (3, {"mismatch": 7}), (25, {"stale": 9})):
        hour = quarantine.hour_of(now - timedelta(hours=hours))
        RefusalTally.objects.create(webhook=webhook, hour=hour, reasons=reasons)
    found = shown(api, webhook)["quarantine"]
    assert found == {
        "open": 1, "released": 1, "refusedLast24Hours": 509, "reasonsLast24Hours": {"stale": 2, "mismatch": 507},
        "reverifying": None,
    }  # fmt: skip
    Reverification.objects.create(webhook=webhook, total=300, released=20, due_at=now, username="alice")
    assert shown(api, webhook)["quarantine"]["reverifying"].items() >= {"total": 300, "released": 20}.items()


def test_counts_end_somewhere(api, webhook, monkeypatch):
    monkeypatch.setattr(backlog, "MOST", 2)
    for _ in range(4):
        event(webhook, due_at=timezone.now())
    assert shown(api, webhook)["waiting"] == 2


def test_it_costs_at_most_twelve_queries(api, webhook):
    with CaptureQueriesContext(connection) as queries:
        assert api.get(f"/webhooks/{webhook.pk}").status_code == 200
    assert len(queries) <= 12, [query["sql"] for query in queries]


def test_a_grant_on_one_integration_shows_that_one(api, calling, charlie, webhook, registry):
    assign_perm("integrations.read", charlie, registry["resend"])
    other = Webhook.objects.get(integration__slug="netcash")
    assert calling(charlie).get(f"/webhooks/{webhook.pk}").status_code == 200
    assert_problem(calling(charlie).get(f"/webhooks/{other.pk}"), 404, "not_found")
    assert_problem(api.get(f"/webhooks/{ids.new()}"), 404, "not_found")
