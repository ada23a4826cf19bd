"""What the simulated providers have registered, looked at and kept; Zoho CRM's channels renewed."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from config import schedule, wakeup
from healthchecks.models import Alarm
from integrations.actor import SYSTEM
from integrations.clients.base import Registered
from integrations.cron.services import NotDone
from integrations.models import Activity, Integration
from integrations.providers.spec import ProviderError
from oauth import services as oauth
from webhooks.models import Registration, RegistrationCheck, Webhook
from webhooks.services import channels, registrations

pytestmark = pytest.mark.django_db(transaction=True)

READABLE = ("zoho-crm", "zoho-desk", "didit-kyc", "resend")


@pytest.fixture
def providers(registry, sandbox, settings):
    """All four know our address, and we hold a token where one is needed."""
    settings.PUBLIC_URL = "https://ops.example.com"
    sandbox.state.receiver = settings.PUBLIC_URL
    for slug in ("zoho-crm", "zoho-desk", "zoho-billing"):
        oauth.connect_sandbox(registry[slug])
    return sandbox


def hook(slug: str) -> Webhook:
    return Webhook.objects.select_related("integration").get(integration__slug=slug)


def look(slug: str, *, now: datetime | None = None) -> registrations.Looked:
    return registrations.look(hook(slug), actor=SYSTEM, now=now or timezone.now())


def kept(slug: str) -> Registration:
    return Registration.objects.get(webhook=hook(slug))


# --- All four --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", READABLE)
def test_a_provider_that_calls_us_is_as_it_should_be(providers, slug):
    looked = look(slug)
    assert (looked.error, looked.findings) == ("", [])
    row = kept(slug)
    assert (row.ours, row.enabled, row.code, row.finding) == (True, True, "", "")
    assert row.url == f"https://ops.example.com{hook(slug).webhook_url}"
    assert row.event_types
    assert RegistrationCheck.objects.get(webhook=hook(slug)).error == ""


@pytest.mark.parametrize("slug", READABLE)
def test_one_that_knows_nobody_is_a_finding(providers, slug):
    providers.state.receiver = ""
    assert look(slug).findings == ["missing"]
    row = kept(slug)
    assert (row.url, row.provider_id, row.ours) == ("", "", False)
    assert f"https://ops.example.com{hook(slug).webhook_url}" in row.finding


@pytest.mark.parametrize("slug", READABLE)
def test_one_that_calls_where_we_were_is_named_with_both_addresses(providers, slug, settings):
    settings.PUBLIC_URL = "https://new.example.com"
    assert sorted(look(slug).findings) == ["foreign", "missing"]
    foreign = Registration.objects.get(webhook=hook(slug), code="foreign")
    assert "https://ops.example.com" in foreign.finding
    assert "https://new.example.com" in foreign.finding


@pytest.mark.parametrize("slug", READABLE)
def test_a_provider_that_is_away_takes_nothing_from_what_was_known(providers, slug):
    look(slug)
    before = kept(slug)
    providers.set_fault(slug, "fail")
    looked = look(slug)
    assert looked.error
    assert not looked.held
    after = kept(slug)
    assert (after.url, after.finding, after.seen_at) == (before.url, before.finding, before.seen_at)
    assert RegistrationCheck.objects.get(webhook=hook(slug)).error == looked.error
    providers.clear_fault(slug)
    assert look(slug).error == ""
    assert RegistrationCheck.objects.get(webhook=hook(slug)).error == ""


def test_what_is_gone_is_gone_here_too_and_what_comes_back_is_the_same(providers):
    look("resend")
    first = kept("resend")
    providers.state.receiver = ""
    look("resend")
    assert kept("resend").code == "missing"
    providers.state.receiver = "https://ops.example.com"
    look("resend")
    assert kept("resend").provider_id == first.provider_id


def test_when_it_was_first_seen_stays(providers):
    now = timezone.now()
    look("resend", now=now)
    first = kept("resend").first_seen_at
    look("resend", now=now + timedelta(hours=1))
    row = kept("resend")
    assert row.first_seen_at == first
    assert row.seen_at - first == timedelta(hours=1)


def test_a_look_that_began_earlier_does_not_undo_a_later_one(providers):
    now = timezone.now()
    look("resend", now=now)
    providers.state.receiver = ""
    look("resend", now=now - timedelta(seconds=5))
    assert kept("resend").code == ""


def test_without_a_token_nothing_is_asked_and_that_is_no_failure(registry, sandbox, settings):
    settings.PUBLIC_URL = "https://ops.example.com"
    looked = look("zoho-desk")
    assert looked.held
    assert looked.error
    assert sandbox.state.counters.of("zoho-desk") == {}


def test_an_address_that_nobody_can_reach_is_not_compared_with_real_registrations(providers, settings, monkeypatch):
    monkeypatch.setattr("integrations.credentials.sandboxed", lambda provider: False)
    settings.PUBLIC_URL = "http://localhost:8000"
    monkeypatch.setitem(registrations.READERS, "resend", lambda client: [registered_at("https://ops.example.com/x")])
    looked = look("resend")
    assert looked.held
    assert looked.findings == []
    assert "PUBLIC_URL is http://localhost:8000" in looked.error
    assert kept("resend").code == ""


def registered_at(url: str, number: str = "r-1") -> Registered:
    return Registered(id=number, url=url, events=("a",), enabled=True)


@pytest.mark.parametrize(
    ("url", "reachable"),
    [
        ("https://ops.example.com", True), ("http://8.8.8.8", True), ("http://localhost:8000", False),
        ("http://127.0.0.1:8000", False), ("http://10.0.0.7", False), ("http://[::1]", False), ("http://ops", False),
        ("https://ops.internal", False), ("https://ops.local.", False), ("http://", False),
    ],
)  # fmt: skip
def test_what_may_be_called_from_outside(url, reachable):
    assert registrations.is_reachable(url) is reachable


def test_what_a_provider_says_is_stored_whatever_it_is(providers, monkeypatch):
    odd = Registered(
        id="x" * 900 + "\0",
        url="https://u:p@h.example/\ud800?k=s",
        events=("e\0" * 300, *map(str, range(900))),
        enabled=True,
    )
    monkeypatch.setitem(registrations.READERS, "resend", lambda client: [odd] * 3 + [registered_at("", "")])
    assert look("resend").error == ""
    row = Registration.objects.get(webhook=hook("resend"), provider_id__startswith="x")
    assert "p@" not in row.url
    assert "k=s" not in row.url
    assert len(row.event_types) == 500


def test_a_mistake_of_ours_is_told_and_stops_no_other(providers, monkeypatch):
    def broken(client):
        raise KeyError("oops")

    monkeypatch.setitem(registrations.READERS, "zoho-desk", broken)
    done = registrations.look_at_all(now=timezone.now())
    assert done.failed
    assert done.as_dict()["looked_at"] == 3
    assert "KeyError" in done.words


def test_one_that_is_switched_off_is_left_alone_and_said_so(providers):
    Integration.objects.filter(slug="resend").update(is_active=False)
    done = registrations.look_at_all(now=timezone.now())
    assert done.as_dict()["looked_at"] == 3
    assert "Not asked: Resend Email is switched off." in done.words
    assert not done.failed
    assert providers.state.counters.of("resend") == {}


def test_when_time_is_up_the_others_are_told_to_be_unseen(providers):
    done = registrations.look_at_all(now=timezone.now(), budget_seconds=0)
    assert done.failed
    assert done.as_dict() == {"looked_at": 0, "findings": 0, "changed": 0, "not_seen": 4}


# --- Channels --------------------------------------------------------------------------------------------------------


def channel_of(sandbox) -> dict:
    (channel,) = sandbox.state.watches.values()
    return channel


def test_a_channel_that_ends_soon_is_renewed_with_the_token_that_is_taken_here(providers):
    looked = look("zoho-crm")
    assert looked.done == ["1 channel of Zoho CRM renewed."]
    row = kept("zoho-crm")
    assert timedelta(days=6) < row.expires_at - timezone.now() < timedelta(days=7)
    channel = channel_of(providers)
    assert channel["token"] == providers.state.value("ZOHO_CRM_WEBHOOK_TOKEN").split(",")[0]
    assert channel["notify_url"] == row.url
    entry = Activity.objects.get(action="crm_channel_renewed")
    assert entry.details["channel"] == row.provider_id


def test_one_that_has_time_is_left_alone(providers):
    look("zoho-crm")
    before = dict(channel_of(providers))
    assert look("zoho-crm").done == []
    assert channel_of(providers) == before


def test_the_channels_of_others_are_never_touched(providers):
    look("zoho-crm")
    ends = (timezone.now() + timedelta(hours=2)).isoformat(timespec="seconds")
    providers.state.watches["7"] = {
        "channel_id": "7", "events": ["Deals.all"], "notify_url": "https://else.example/x", "channel_expiry": ends,
    }  # fmt: skip
    looked = look("zoho-crm")
    assert (looked.done, looked.findings) == ([], [])
    assert providers.state.watches["7"]["channel_expiry"] == ends


def test_a_channel_that_zoho_does_not_renew_is_a_finding_with_its_reason(providers, monkeypatch):
    def refuse(client, **channel):
        raise ProviderError("Zoho CRM: no.", permanent=True)

    monkeypatch.setattr(channels.crm, "renew", refuse)
    providers.state.watches.clear()
    look("zoho-crm")
    channel_of(providers)["channel_expiry"] = (timezone.now() + timedelta(hours=30)).isoformat(timespec="seconds")
    looked = look("zoho-crm")
    assert looked.findings == ["expiring"]
    assert kept("zoho-crm").finding.endswith("was not renewed: Zoho CRM: no.")


def test_an_hour_instead_of_a_week_is_no_renewal(providers, monkeypatch):
    """Zoho makes an hour of what it doesn't like, and says "success" (PROVIDERS §1)."""
    hour = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    monkeypatch.setattr("integrations.sandbox.apis.zoho_crm._expiry", lambda channel, now: hour.isoformat())
    looked = look("zoho-crm")
    assert (looked.done, looked.findings) == ([], ["expiring"])
    assert "Zoho gave" in kept("zoho-crm").finding


def test_while_crm_is_away_a_channel_near_its_end_becomes_a_finding(providers):
    look("zoho-crm")
    Registration.objects.update(expires_at=timezone.now() + timedelta(hours=20))
    providers.set_fault("zoho-crm", "fail")
    assert look("zoho-crm").findings == ["expiring"]
    assert "was not renewed: Zoho CRM" in kept("zoho-crm").finding


def test_one_is_opened_only_where_an_admin_asked_for_it(providers):
    providers.state.receiver = ""
    assert look("zoho-crm").findings == ["missing"]
    assert "set this receiver's channel to “open”" in kept("zoho-crm").finding
    assert providers.state.watches == {}
    Webhook.objects.filter(pk=hook("zoho-crm").pk).update(metadata={"channel": "open"})
    looked = look("zoho-crm")
    assert (looked.done, looked.findings) == (["A channel was opened at Zoho CRM."], [])
    channel = channel_of(providers)
    assert channel["notify_url"] == "https://ops.example.com/api/webhooks/zoho/crm"
    assert channels.covers(channel["events"]) == set(hook("zoho-crm").event_types)
    assert look("zoho-crm").done == []
    assert len(providers.state.watches) == 1
    assert Activity.objects.filter(action="crm_channel_opened").count() == 1


def test_off_means_that_nothing_is_renewed_opened_or_missed(providers):
    Webhook.objects.filter(pk=hook("zoho-crm").pk).update(metadata={"channel": "off"})
    looked = look("zoho-crm")
    assert (looked.done, looked.findings, looked.error) == ([], [], "")
    providers.state.receiver = ""
    providers.state.watches.clear()
    assert look("zoho-crm").findings == []


def test_a_setting_that_nobody_understands_is_said(providers):
    Webhook.objects.filter(pk=hook("zoho-crm").pk).update(metadata={"channel": "maybe"})
    looked = look("zoho-crm")
    assert "'maybe'" in looked.error
    assert not looked.held


@pytest.mark.parametrize(
    ("secret", "words"), [("x" * 51, "longer than 50 characters"), ("", "ZOHO_CRM_WEBHOOK_TOKEN is not set")]
)
def test_without_a_token_that_zoho_takes_nothing_is_renewed(providers, monkeypatch, secret, words):
    monkeypatch.setattr("integrations.credentials.secrets", lambda name: (secret,) if secret else ())
    look("zoho-crm")
    channel_of(providers)["channel_expiry"] = (timezone.now() + timedelta(hours=30)).isoformat(timespec="seconds")
    assert look("zoho-crm").findings == ["expiring"]
    assert words in kept("zoho-crm").finding


@pytest.mark.parametrize(
    "event_types", [("Leads.insert", "Leads.update", "Leads.delete"), ("Deals.update",), ("A.insert", "B.delete")]
)
def test_channel_events_are_put_into_zohos_words_and_back(event_types):
    assert channels.covers(channels.events(event_types)) == set(event_types)


# --- The job ---------------------------------------------------------------------------------------------------------


def test_the_job_looks_at_all_of_them_and_says_what_it_did(providers, monkeypatch):
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown: None)
    done = schedule.sync_zoho()
    assert done["message"] == (
        "4 of 4 providers told what they have registered. 1 channel of Zoho CRM renewed. "
        "0 missed events of Zoho Billing taken in."
    )
    assert (done["looked_at"], done["findings"], done["changed"], done["events_fetched"]) == (4, 0, 1, 0)


def test_people_are_told_of_what_it_finds(providers, monkeypatch, settings):
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown: None)
    providers.state.receiver = ""
    schedule.sync_zoho()
    drift = Alarm.objects.filter(kind="drift", closed_at=None)
    assert sorted(slug for row in drift for slug in row.slugs) == sorted(READABLE)
    providers.state.receiver = settings.PUBLIC_URL
    providers.state.spent.pop("zoho-crm: opened", None)
    schedule.sync_zoho()
    assert not drift.all().exists()


def test_what_could_not_be_seen_fails_the_job_with_its_words(providers, monkeypatch):
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown: None)
    providers.set_fault("didit-kyc", "fail")
    with pytest.raises(NotDone, match="Didit") as caught:
        schedule.sync_zoho()
    assert caught.value.summary["looked_at"] == 3


def test_without_any_connection_the_job_has_nothing_to_do_and_does_not_fail(registry, sandbox, monkeypatch):
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown: None)
    done = schedule.sync_zoho()
    assert done["not_seen"] == 2
    assert "Not asked: Zoho CRM" in done["message"]


# --- After a review --------------------------------------------------------------------------------------------------


def test_a_key_that_may_not_look_is_told_there_and_fails_no_job(providers, monkeypatch):
    """A key of Resend that may only send."""
    providers.set_fault("resend", "refuse")
    done = registrations.look_at_all(now=timezone.now())
    assert not done.failed
    assert "Not asked: " in done.words
    assert RegistrationCheck.objects.get(webhook=hook("resend")).error


def test_of_what_is_somebody_elses_only_the_host_is_kept(providers, monkeypatch):
    secret = "https://hooks.zapier.example/hooks/catch/12345/abcdef/"
    found = [registered_at(secret, ""), registered_at("https://ops.example.com/api/webhooks/resend", "2")]
    monkeypatch.setitem(registrations.READERS, "resend", lambda client: found)
    look("resend")
    theirs = Registration.objects.get(webhook=hook("resend"), ours=False)
    assert theirs.url == "https://hooks.zapier.example/…"
    assert "abcdef" not in theirs.provider_id


def test_a_clock_that_was_ahead_does_not_freeze_the_look(providers):
    now = timezone.now()
    look("resend", now=now + timedelta(days=30))
    providers.state.receiver = ""
    look("resend", now=now)
    assert kept("resend").code == "missing"
