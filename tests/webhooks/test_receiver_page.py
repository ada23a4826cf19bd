"""A receiver's page: what it tells, to whom, and what can be done with it."""

import csv
import html
import io
import re
from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations.models import Activity
from tests.factories import WebhookLogFactory
from tests.webhooks.conftest import signed
from webhooks import refused
from webhooks.models import (
    Attempt,
    Forward,
    Refusal,
    Registration,
    RegistrationCheck,
    SecretUse,
    Silence,
    Webhook,
    WebhookLog,
)
from webhooks.services import figures, quarantine
from webhooks.services.quarantine import Refused

pytestmark = pytest.mark.django_db

FEED = "/admin/integrations/webhooks"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch):
    monkeypatch.setattr(wakeup, "_send", lambda *_: None)


@pytest.fixture
def hooks(registry) -> dict[str, Webhook]:
    return {hook.integration.slug: hook for hook in Webhook.objects.select_related("integration")}


@pytest.fixture
def kept(route) -> Refusal:
    """A genuine delivery that was refused, since another secret was set then."""
    from integrations.actor import SYSTEM

    quarantine.keep(
        [
            Refused(
                route=route("resend"), delivery=signed("resend", "email.sent"), reason="mismatch",
                detail="The secret is another.", at=timezone.now(), caller=SYSTEM, keep=True, note=False,
            )
        ],
        {},
    )  # fmt: skip
    return Refusal.objects.get()


def of(client, hook: Webhook, tab: str = "", **headers: str) -> str:
    return client.get(f"{FEED}/{hook.pk}?tab={tab}", headers=headers).content.decode()


def said(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def post(client, hook: Webhook, what: str, **data: str) -> str:
    return said(client.post(f"{FEED}/{hook.pk}/{what}", data, headers=HTMX).content.decode())


# --- The list --------------------------------------------------------------------------------------------------------


def test_the_list_tells_how_each_receiver_is(
    client, alice, hooks, secrets, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.delenv("DIDIT_WEBHOOK_SECRET")
    Webhook.objects.filter(pk=hooks["zoho-desk"].pk).update(is_active=False)
    Silence.objects.create(webhook=hooks["netcash"], last_received_at=timezone.now(), expected_minutes=120)
    for status in ("processed", "failed", "failed"):
        WebhookLogFactory(webhook=hooks["resend"], status=status)
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        page = client.get(f"{FEED}/receivers").content.decode()
    rows = {slug: said(page.split(f'id="receiver-{hook.pk}"')[1].split("</tr>")[0]) for slug, hook in hooks.items()}
    assert "No secret" in rows["didit-kyc"]
    assert "DIDIT_WEBHOOK_SECRET is not set" in rows["didit-kyc"]
    assert "Paused" in rows["zoho-desk"]
    assert "Silent" in rows["netcash"]
    assert "at least every 2 h" in rows["netcash"]
    assert "Receiving" in rows["resend"]
    assert " 3 events of Resend Email 2 failed" in rows["resend"]


def test_only_receivers_that_may_be_seen_are_listed_and_found(client, charlie, registry, hooks):
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    page = client.get(f"{FEED}/receivers").content.decode()
    assert "Resend Email" in page
    assert "NetCash" not in page
    assert client.get(f"{FEED}/{hooks['netcash'].pk}").status_code == 404


# --- As CSV ----------------------------------------------------------------------------------------------------------


def sheet(client, hook: Webhook, what: str) -> list[dict[str, str]]:
    answer = client.get(f"{FEED}/{hook.pk}/{what}.csv")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{what}-{hook.integration.slug}.csv"'
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode(), newline="")))


def test_what_was_refused_comes_as_csv_and_says_from_whom_only_to_managers(client, alice, bob, hooks, kept):
    old = Refusal.objects.create(
        webhook=hooks["resend"], reason="stale", body=b"", sealed="", created_at=timezone.now() - timedelta(days=8)
    )
    Refusal.objects.filter(pk=kept.pk).update(detail="=HYPERLINK(1)", ip_address="192.0.2.7", user_agent="+curl")
    client.force_login(alice)
    (row,) = sheet(client, hooks["resend"], "refusals")
    assert (row["id"], row["reason"], row["detail"]) == (str(kept.pk), "mismatch", "'=HYPERLINK(1)")
    assert (row["ipAddress"], row["userAgent"], row["truncated"]) == ("192.0.2.7", "'+curl", "false")
    assert int(row["sizeBytes"]) == len(bytes(kept.body))
    assert row["id"] != str(old.pk)
    client.force_login(bob)
    (row,) = sheet(client, hooks["resend"], "refusals")
    assert (row["reason"], row["ipAddress"], row["userAgent"]) == ("mismatch", "", "")


def test_what_was_passed_on_comes_as_csv_with_each_try(client, alice, hooks):
    now, hook = timezone.now(), hooks["resend"]
    passed = {"webhook": hook, "url": "https://user:secret@example.com/hook?key=secret"}
    tried = Forward.objects.create(
        log=WebhookLogFactory(webhook=hook, event_type="=email.sent"), status="delivered", status_code=200,
        created_at=now - timedelta(hours=1), done_at=now, **passed,
    )  # fmt: skip
    waits = Forward.objects.create(log=WebhookLogFactory(webhook=hook), created_at=now, due_at=now, **passed)
    for minutes, target, status, error in (
        (3, "handler", None, ""), (2, "https://example.com/hook", 500, "The target answered HTTP 500."),
        (1, "https://example.com/hook", 200, ""),
    ):  # fmt: skip
        at = now - timedelta(minutes=minutes)
        Attempt.objects.create(log=tried.log, target=target, at=at, status_code=status, error=error, duration_ms=7)
    client.force_login(alice)
    rows = sheet(client, hook, "forwards")
    assert [(row["id"], row["attempt"], row["statusCode"]) for row in rows] == [
        (str(waits.pk), "0", ""), (str(tried.pk), "1", "500"), (str(tried.pk), "2", "200")
    ]  # fmt: skip
    assert (rows[1]["eventType"], rows[1]["error"]) == ("'=email.sent", "The target answered HTTP 500.")
    assert {row["url"] for row in rows} == {"https://example.com/hook"}


def test_csv_of_a_receiver_that_may_not_be_seen_is_not_found(client, charlie, registry, hooks, kept):
    assign_perm("integrations.read", charlie, registry["netcash"])
    client.force_login(charlie)
    for what in ("refusals", "forwards"):
        assert client.get(f"{FEED}/{hooks['resend'].pk}/{what}.csv").status_code == 404
        assert sheet(client, hooks["netcash"], what) == []


def test_csv_is_offered_where_there_is_something(client, alice, hooks, kept):
    client.force_login(alice)
    assert "refusals.csv" in of(client, hooks["resend"], "refused")
    assert "refusals.csv" not in of(client, hooks["netcash"], "refused")
    assert "forwards.csv" not in of(client, hooks["resend"], "forwards")
    Forward.objects.create(
        log=WebhookLogFactory(webhook=hooks["resend"]), webhook=hooks["resend"], url="https://x.example"
    )
    assert "forwards.csv" in of(client, hooks["resend"], "forwards")


# --- Facts -----------------------------------------------------------------------------------------------------------


def test_facts_name_secrets_and_never_show_them(client, alice, hooks, secrets, monkeypatch):
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", f"whsec_bmV3,{secrets['RESEND_WEBHOOK_SECRET']}")
    for secret in (secrets["RESEND_WEBHOOK_SECRET"], "retired"):
        SecretUse.objects.create(
            webhook=hooks["resend"], fingerprint=figures.fingerprint(secret), last_matched_at=timezone.now()
        )
    client.force_login(alice)
    page = of(client, hooks["resend"])
    told = said(page)
    assert "http://localhost:8000/api/webhooks/resend" in told
    assert re.search(r"Secret 1 \w+ has never matched Secret 2 \w+ last matched just now No longer set", told)
    assert "bmV3" not in page
    assert secrets["RESEND_WEBHOOK_SECRET"] not in page


@pytest.mark.parametrize("tab", ["", "refused", "forwards", "latency", "registration", "nonsense"])
def test_each_tab_is_read_with_a_handful_of_queries(client, alice, hooks, kept, tab, django_assert_max_num_queries):
    client.force_login(alice)
    with django_assert_max_num_queries(13):  # one of them is the session's, one the reader's own row
        assert of(client, hooks["resend"], tab)


def test_who_may_only_look_is_offered_nothing_to_do(client, bob, hooks, kept):
    client.force_login(bob)
    for tab in ("", "refused", "forwards", "registration"):
        page = of(client, hooks["resend"], tab)
        assert "hx-post" not in page.split('id="head"')[1]


def test_it_can_be_paused_and_resumed(client, alice, hooks, secrets):
    hook = hooks["resend"]
    WebhookLogFactory(webhook=hook, status="pending", due_at=timezone.now())
    client.force_login(alice)
    assert "Resend Email is paused" in post(client, hook, "switch")
    assert not Webhook.objects.get(pk=hook.pk).is_active
    assert "events are stored and wait" in said(of(client, hook))
    assert "Resend Email receives again 1 that waited runs now." in post(client, hook, "switch", on="yes")
    assert Webhook.objects.get(pk=hook.pk).is_active
    assert Activity.objects.filter(action="webhook_changed").count() == 2


def test_resuming_what_had_nothing_waiting_says_so(client, alice, hooks, secrets):
    client.force_login(alice)
    post(client, hooks["resend"], "switch")
    assert "Resend Email receives again Nothing had waited." in post(client, hooks["resend"], "switch", on="yes")


def test_without_scripts_pausing_asks_first_and_resuming_does_not(client, alice, hooks, secrets):
    hook = hooks["resend"]
    here = f"{FEED}/{hook.pk}"
    client.force_login(alice)
    page = client.post(f"{here}/switch").content.decode()
    assert "Pause Resend Email?" in page
    assert f'action="{here}/switch"' in page
    assert Webhook.objects.get(pk=hook.pk).is_active
    assert client.post(f"{here}/switch", {"sure": "yes"}).headers["Location"] == here
    assert not Webhook.objects.get(pk=hook.pk).is_active
    client.post(f"{here}/switch", {"on": "yes"})
    assert Webhook.objects.get(pk=hook.pk).is_active


def test_its_rhythm_and_its_retention_can_be_set_and_given_back(client, alice, hooks):
    hook = hooks["resend"]
    client.force_login(alice)
    assert "Saved" in post(client, hook, "change", silence_minutes="90", retention_days="30")
    hook.refresh_from_db()
    assert (hook.silence_minutes, hook.retention_days) == (90, 30)
    assert "Set by an admin: more than 90 min" in said(of(client, hook))
    post(client, hook, "change", silence_minutes="", retention_days="30")
    hook.refresh_from_db()
    assert hook.silence_minutes is None
    assert "Not saved Keep events for, in days: " in post(client, hook, "change", retention_days="0")


# --- Refused ---------------------------------------------------------------------------------------------------------


def test_what_was_refused_says_why_and_what_to_do(client, alice, hooks, kept):
    client.force_login(alice)
    assert "The secret is another." in of(client, hooks["resend"], "refused")
    told = said(client.get(f"{FEED}/{hooks['resend'].pk}/refusals/{kept.pk}", headers=HTMX).content.decode())
    assert refused.MEANINGS["mismatch"].do in told
    assert "email.sent" in told
    assert "svix-id" in told


def test_content_of_what_was_refused_is_for_those_who_may_release_it(client, bob, hooks, kept):
    client.force_login(bob)
    page = client.get(f"{FEED}/{hooks['resend'].pk}/refusals/{kept.pk}").content.decode()
    assert "integrations:manage" in page
    assert "svix-id" not in page
    assert "Judge it again" not in page


def test_every_reason_that_a_provider_gives_is_explained():
    import pathlib

    source = "".join(path.read_text() for path in pathlib.Path("integrations/providers").rglob("*.py"))
    reasons = set(re.findall(r'Refused\(\s*"(\w+)"', source))
    assert len(reasons) > 10
    assert reasons <= set(refused.MEANINGS)


@pytest.mark.django_db(transaction=True)
def test_what_proves_genuine_is_released(client, alice, hooks, kept):
    client.force_login(alice)
    assert "Judged again 1 released, 0 still refused" in post(client, hooks["resend"], "judge", refusal=str(kept.pk))
    kept.refresh_from_db()
    assert kept.released_at
    assert WebhookLog.objects.get(pk=kept.log_id).event_type == "email.sent"
    assert "Released" in of(client, hooks["resend"], "refused")


def test_without_scripts_judging_all_again_asks_first_and_judging_one_does_not(client, alice, hooks, secrets, kept):
    here = f"{FEED}/{hooks['resend'].pk}"
    client.force_login(alice)
    assert "Judge it again?" in client.post(f"{here}/judge").content.decode()
    assert Refusal.objects.get(pk=kept.pk).released_at is None
    assert client.post(f"{here}/judge", {"sure": "yes"}).headers["Location"] == f"{here}?tab=refused"
    assert Refusal.objects.get(pk=kept.pk).released_at
    assert client.post(f"{here}/judge", {"refusal": str(kept.pk)}).status_code == 302


def test_without_a_secret_nothing_is_judged(client, alice, hooks, kept, monkeypatch):
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET")
    client.force_login(alice)
    assert "Nothing can be judged RESEND_WEBHOOK_SECRET is not set." in post(client, hooks["resend"], "judge")
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_bmV3")
    assert "0 released, 1 still refused" in post(client, hooks["resend"], "judge")
    assert client.post(f"{FEED}/{hooks['resend'].pk}/judge", {"refusal": "x"}).status_code == 404


# --- Forwards --------------------------------------------------------------------------------------------------------


def forward(hook: Webhook, **fields: object) -> Forward:
    return Forward.objects.create(
        log=WebhookLogFactory(webhook=hook), webhook=hook, url="https://x.example.com/in?key=1", **fields
    )


def test_forwards_that_did_not_get_through_come_first_and_can_be_sent_again(client, alice, hooks):
    hook = hooks["resend"]
    hook.forward_url = "https://x.example.com/in?key=1"
    hook.save()
    failed = forward(hook, status="failed", created_at=timezone.now() - timedelta(days=1), error_message="HTTP 503")
    done = forward(hook, status="delivered")
    client.force_login(alice)
    page = of(client, hook, "forwards")
    assert page.index(f"forward-{failed.pk}") < page.index(f"forward-{done.pk}")
    assert "key=1" not in page
    assert page.count("Send now") == 1
    assert "It is sent now" in post(client, hook, f"forwards/{failed.pk}/retry")
    failed.refresh_from_db()
    assert failed.due_at
    assert "Not sent It was delivered." in post(client, hook, f"forwards/{done.pk}/retry")


def test_forwarding_that_was_stopped_goes_on(client, alice, hooks):
    hook = hooks["resend"]
    hook.forward_url, hook.forward_stopped_at = "https://x.example.com/in", timezone.now()
    hook.save()
    forward(hook, status="stopped")
    client.force_login(alice)
    assert "it is gone. 1 waits." in said(of(client, hook, "forwards"))
    assert "Forwarding goes on 1 that waited goes now." in post(client, hook, "resume")
    assert "Not resumed" in post(client, hook, "resume")
    Webhook.objects.filter(pk=hook.pk).update(forward_stopped_at=timezone.now())
    Forward.objects.all().delete()
    assert "it is gone. 0 wait." in said(of(client, hook, "forwards"))
    assert "Forwarding goes on Nothing had waited." in post(client, hook, "resume")


# --- What its provider has -------------------------------------------------------------------------------------------


def test_what_is_registered_stands_beside_what_is_wrong_with_it(client, alice, hooks):
    hook = hooks["resend"]
    RegistrationCheck.objects.create(webhook=hook, checked_at=timezone.now())
    Registration.objects.create(
        webhook=hook,
        provider_id="1",
        url="https://x.example.com",
        code="foreign",
        finding="It calls another.",
        ours=True,
    )
    client.force_login(alice)
    told = said(of(client, hook, "registration"))
    assert "Foreign https://x.example.com It calls another." in told
    assert "Look now" in told
    assert "Fetch what is missing" not in told
    assert "Fetch what is missing" in of(client, hooks["zoho-billing"], "registration")
    assert "tells nobody" in of(client, hooks["netcash"], "registration")


def test_what_can_not_be_asked_says_so(client, alice, hooks):
    client.force_login(alice)
    assert "Not asked NetCash Pay Now tells nobody" in post(client, hooks["netcash"], "look")
    assert "Not fetched" in post(client, hooks["netcash"], "fetch")


def test_its_provider_is_asked_now(client, alice, hooks, sandbox):
    client.force_login(alice)
    assert "Looked Resend Email: " in post(client, hooks["resend"], "look")
    assert RegistrationCheck.objects.get(webhook=hooks["resend"]).error == ""


def test_who_manages_another_integration_may_do_nothing_here(client, charlie, registry, hooks):
    for slug in ("resend", "netcash"):
        assign_perm("integrations.read", charlie, registry[slug])
    assign_perm("integrations.manage", charlie, registry["netcash"])
    client.force_login(charlie)
    for what in ("switch", "change", "judge", "look", "fetch", "resume"):
        assert client.post(f"{FEED}/{hooks['resend'].pk}/{what}").status_code == 403
