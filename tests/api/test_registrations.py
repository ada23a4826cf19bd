"""The API of what providers have registered, and of filling gaps."""

import pytest

from integrations.models import Activity, Integration
from oauth import services as oauth
from tests.webhooks.test_backfill import happened
from webhooks.models import Registration, Webhook, WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

WEBHOOKS = "/webhooks"


@pytest.fixture
def providers(registry, sandbox, settings):
    settings.PUBLIC_URL = "https://ops.example.com"
    sandbox.state.receiver = settings.PUBLIC_URL
    for slug in ("zoho-crm", "zoho-desk", "zoho-billing"):
        oauth.connect_sandbox(registry[slug])
    return sandbox


def of(slug: str) -> str:
    return f"{WEBHOOKS}/{Webhook.objects.get(integration__slug=slug).pk}"


def test_before_anybody_asked_nothing_is_known(api, providers):
    told = api.get(f"{of('resend')}/registrations").json()
    assert told == {
        "isReadable": True, "isFillable": False, "checkedAt": None, "error": "", "backfilledTo": None,
        "channel": None, "registrations": [],
    }  # fmt: skip


def test_asking_tells_what_is_registered_and_leaves_an_entry(api, providers):
    told = api.post(f"{of('resend')}/registrations/check").json()
    assert (told["success"], told["message"]) == (True, "Resend Email: as it should be.")
    (row,) = told["registrations"]
    assert (row["isOurs"], row["isEnabled"], row["code"]) == (True, True, "")
    assert row["url"] == "https://ops.example.com/api/webhooks/resend"
    assert api.get(f"{of('resend')}/registrations").json()["checkedAt"] == told["checkedAt"]
    entry = Activity.objects.get(action="webhook_registrations_checked")
    assert (entry.username, entry.outcome) == ("alice", "success")


def test_what_is_wrong_is_told_with_its_code_and_words(api, providers):
    providers.state.receiver = ""
    told = api.post(f"{of('didit-kyc')}/registrations/check").json()
    assert told["success"] is True
    assert told["message"] == "Didit KYC: missing found."
    assert told["registrations"][0]["code"] == "missing"
    assert "https://ops.example.com" in told["registrations"][0]["finding"]


def test_a_provider_that_is_away_is_no_error_of_ours(api, providers):
    providers.set_fault("resend", "fail")
    answer = api.post(f"{of('resend')}/registrations/check")
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert answer.json()["error"] == answer.json()["message"]
    assert Activity.objects.get(action="webhook_registrations_checked").outcome == "failure"


@pytest.mark.parametrize(
    ("slug", "path", "code"),
    [("netcash", "registrations/check", "not_readable"), ("resend", "backfill", "not_fillable")],
)
def test_what_a_provider_tells_nobody(api, providers, slug, path, code):
    answer = api.post(f"{of(slug)}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (409, code)


@pytest.mark.parametrize(("slug", "path"), [("resend", "registrations/check"), ("zoho-billing", "backfill")])
def test_one_that_is_switched_off_is_not_asked(api, providers, slug, path):
    Integration.objects.filter(slug=slug).update(is_active=False)
    answer = api.post(f"{of(slug)}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (409, "inactive")


def test_a_gap_is_filled_by_hand(api, providers):
    happened(providers, "e-1")
    told = api.post(f"{of('zoho-billing')}/backfill").json()
    assert (told["success"], told["fetched"], told["byType"]) == (True, 1, {"payment_thankyou": 1})
    assert told["comparedTo"]
    again = api.post(f"{of('zoho-billing')}/backfill").json()
    assert (again["success"], again["fetched"]) == (True, 0)
    assert WebhookLog.objects.count() == 1
    assert Activity.objects.filter(action="webhook_backfill_asked", username="alice").count() == 2
    known = api.get(f"{of('zoho-billing')}/registrations").json()
    assert (known["isFillable"], known["isReadable"]) == (True, False)
    assert known["backfilledTo"] == again["comparedTo"]


def test_who_may_only_look_asks_nobody(calling, bob, providers):
    as_bob = calling(bob)
    assert as_bob.get(f"{of('resend')}/registrations").status_code == 200
    assert as_bob.post(f"{of('resend')}/registrations/check").status_code == 403
    assert as_bob.post(f"{of('zoho-billing')}/backfill").status_code == 403
    assert not Registration.objects.exists()
    assert not Activity.objects.filter(action__startswith="webhook_").exists()


def test_what_is_done_with_channels_is_an_admins_choice(api, providers):
    path = of("zoho-crm")
    assert api.get(f"{path}/registrations").json()["channel"] == "renew"
    providers.state.receiver = ""
    assert api.patch(path, {"channel": "open"}).status_code == 200
    told = api.post(f"{path}/registrations/check").json()
    assert (told["channel"], told["message"]) == ("open", "A channel was opened at Zoho CRM.")
    assert told["registrations"][0]["isOurs"]
    entry = Activity.objects.get(action="webhook_changed")
    assert entry.details["after"] == {"metadata": {"channel": "open"}}


def test_only_crm_has_channels_and_they_know_three_words(api, providers):
    assert api.patch(of("resend"), {"channel": "open"}).status_code == 400
    assert api.patch(of("zoho-crm"), {"channel": "perhaps"}).status_code == 400
