"""Checks against the simulated providers: real requests, real rows."""

import threading
import time
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from config import schedule, wakeup
from healthchecks import figures, look, services, uptime
from healthchecks.models import CheckResult, Incident, StatusChange
from healthchecks.status import Seen
from integrations.actor import Actor
from integrations.cron import services as cron
from integrations.models import Activity, ApiMetric, Integration
from oauth import services as oauth
from oauth.models import Token
from webhooks.models import Webhook, WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

ALICE = Actor(username="alice")


@pytest.fixture
def connected(sandbox, registry):
    """Every Zoho product has its token."""
    for integration in registry.values():
        oauth.connect_sandbox(integration)
    return sandbox


def statuses() -> dict[str, str]:
    return dict(Integration.objects.values_list("slug", "health_status"))


def due_again(*slugs: str) -> None:
    Integration.objects.filter(slug__in=slugs).update(check_due_at=timezone.now())


def payment(at) -> None:
    WebhookLog.objects.create(
        webhook=Webhook.objects.get(integration__slug="netcash"), body=b"", status="processed", created_at=at
    )


# --- The sweep -------------------------------------------------------------------------------------------------------


def test_one_sweep_wins_a_status_for_all_ten(connected):
    payment(timezone.now())
    done = services.sweep()
    assert statuses() == dict.fromkeys(statuses(), "healthy")
    assert (done.checked, done.statuses, done.suspects) == (10, {"healthy": 10}, [])
    assert CheckResult.objects.count() == StatusChange.objects.count() == 10
    assert ApiMetric.objects.filter(source="probe").count() == 9  # NetCash has nothing worth probing
    assert not Incident.objects.exists()


def test_nothing_configured_is_unknown_and_says_what_is_missing(registry):
    services.sweep()
    assert statuses() == dict.fromkeys(statuses(), "unknown") | {"mtn-coverage": statuses()["mtn-coverage"]}
    assert "RESEND_API_KEY not set" in Integration.objects.get(slug="resend").health_reason
    assert "was never connected" in Integration.objects.get(slug="zoho-crm").health_reason


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch, request):
    """Without the sandbox nobody may be called: MTN needs no credentials, so it would be."""
    if "sandbox" not in request.fixturenames:
        monkeypatch.setenv("MTN_WMS_URL", "http://127.0.0.1:9")


def test_a_second_sweep_finds_nothing_due(connected):
    services.sweep()
    assert services.sweep().checked == 0


def test_the_next_turn_is_not_missed_by_a_second(connected):
    services.sweep()
    row = Integration.objects.get(slug="resend")
    quarter_later = row.last_health_check_at + timedelta(minutes=15)
    assert row.check_due_at < quarter_later


def test_what_is_switched_off_is_not_checked(connected):
    Integration.objects.exclude(slug="resend").update(is_active=False)
    assert services.sweep().checked == 1


def test_two_sweeps_at_once_share_the_work(connected):
    counts = []

    def sweep() -> None:
        try:
            counts.append(services.sweep().checked)
        finally:
            connection.close()

    threads = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 10
    assert CheckResult.objects.count() == 10


def test_one_that_hangs_holds_up_no_other(connected, monkeypatch):
    monkeypatch.setattr(look, "SWEEP_SECONDS", 2.0)
    connected.set_fault("resend", "hang", delay=4)
    connected.set_fault("google-maps", "reset")
    started = time.monotonic()
    done = services.sweep()
    assert time.monotonic() - started < 9
    assert done.checked == 10
    assert sorted(done.suspects) == ["google-maps", "resend"]
    assert done.statuses["healthy"] == 7
    for straggler in [thread for thread in threading.enumerate() if thread.name.startswith("check")]:
        straggler.join(15)  # it still writes down how its call ended


@pytest.mark.parametrize(
    ("fault", "status", "rule"),
    [
        ("fail", "down", "api_failing"),
        ("refuse", "down", "credentials_refused"),
        ("throttle", "degraded", "throttled"),
        ("reset", "down", "api_unreachable"),
        ("garbage", "down", "api_failing"),
    ],
)
@pytest.mark.parametrize("slug", ["resend", "zoho-billing", "google-maps"])
def test_each_way_of_failing_gets_its_verdict(connected, slug, fault, status, rule):
    connected.set_fault(slug, fault)
    result = services.check(integration=Integration.objects.get(slug=slug), actor=ALICE)
    assert (result.status, result.rule) == (status, rule)


# --- Suspicion, outage, recovery -------------------------------------------------------------------------------------


def test_a_first_bad_check_is_a_suspicion_that_the_second_confirms(connected):
    services.sweep()
    connected.set_fault("resend", "fail")
    due_again("resend")
    first = services.sweep()
    assert first.suspects == ["resend"]
    assert timedelta(seconds=30) < first.recheck_at - timezone.now() < timedelta(seconds=60)
    assert statuses()["resend"] == "healthy"
    began = CheckResult.objects.filter(integration__slug="resend").latest("created_at").created_at

    due_again("resend")
    second = services.sweep()
    row = Integration.objects.get(slug="resend")
    assert second.changed == ["resend: healthy → down"]
    assert (row.health_status, row.health_since, row.consecutive_failures) == ("down", began, 1)
    change = StatusChange.objects.filter(integration=row).latest("at")
    assert (change.old_status, change.new_status, change.at) == ("healthy", "down", began)
    incident = Incident.objects.get()
    assert (incident.opened_at, incident.worst_status, incident.closed_at) == (began, "down", None)
    assert CheckResult.objects.filter(integration=row).latest("created_at").trigger == "recheck"


def test_a_blip_leaves_no_outage(connected):
    services.sweep()
    connected.set_fault("resend", "fail")
    due_again("resend")
    services.sweep()
    connected.clear_fault("resend")
    due_again("resend")
    services.sweep()
    assert statuses()["resend"] == "healthy"
    assert Integration.objects.get(slug="resend").consecutive_failures == 0
    assert not Incident.objects.exists()


def test_a_recovery_closes_the_incident(connected):
    connected.set_fault("resend", "fail")
    resend = Integration.objects.get(slug="resend")
    services.check(integration=resend, actor=ALICE)
    connected.clear_fault("resend")
    services.check(integration=resend, actor=ALICE)
    incident = Incident.objects.get()
    assert incident.closed_at is not None
    assert [c.new_status for c in StatusChange.objects.filter(integration=resend).order_by("at")] == [
        "down",
        "healthy",
    ]


def test_failures_are_counted_by_scheduled_checks_only(connected):
    connected.set_fault("resend", "throttle")
    resend = Integration.objects.get(slug="resend")
    for expected in (1, 2, 3):
        due_again("resend")
        services.sweep()
        services.check(integration=resend, actor=ALICE)
        assert Integration.objects.get(slug="resend").consecutive_failures == expected


def test_a_check_by_hand_judges_at_once_and_is_told(connected):
    connected.set_fault("resend", "fail")
    result = services.check(integration=Integration.objects.get(slug="resend"), actor=ALICE)
    assert (result.status, result.trigger) == ("down", "manual")
    assert statuses()["resend"] == "down"
    entry = Activity.objects.exclude(action="oauth_connected").get()
    assert (entry.username, entry.action, entry.details["status"]) == ("alice", "health_check", "down")


# --- Grants and webhooks ---------------------------------------------------------------------------------------------


def test_a_dead_grant_is_down_at_once_with_the_way_back(connected):
    connected.set_fault("zoho-accounts", "invalid_code")
    Token.objects.update(expires_at=timezone.now())
    result = services.check(integration=Integration.objects.get(slug="zoho-crm"), actor=ALICE)
    assert (result.status, result.rule) == ("down", "grant_dead")
    assert "connect it again" in result.reason


def test_a_renewal_that_fails_for_now_is_degraded_while_the_token_lives(connected):
    connected.set_fault("zoho-accounts", "fail")
    Token.objects.update(expires_at=timezone.now() + timedelta(minutes=3))
    result = services.check(integration=Integration.objects.get(slug="zoho-crm"), actor=ALICE)
    assert (result.status, result.rule) == ("degraded", "refresh_failed")


def test_failing_webhooks_degrade(connected):
    webhook = Webhook.objects.get(integration__slug="resend")
    for number in range(5):
        WebhookLog.objects.create(webhook=webhook, body=b"", status="failed" if number < 2 else "processed")
    result = services.check(integration=Integration.objects.get(slug="resend"), actor=ALICE)
    assert (result.status, result.rule) == ("degraded", "webhook_failures")


def test_tests_and_duplicates_do_not_count_as_traffic(connected):
    webhook = Webhook.objects.get(integration__slug="resend")
    for _ in range(10):
        WebhookLog.objects.create(webhook=webhook, body=b"", status="failed", is_test=True)
        WebhookLog.objects.create(webhook=webhook, body=b"", status="duplicate")
    result = services.check(integration=Integration.objects.get(slug="resend"), actor=ALICE)
    assert result.status == "healthy"


@pytest.mark.parametrize(
    ("age", "status"),
    [(timedelta(hours=1), "healthy"), (timedelta(hours=47), "healthy"), (timedelta(hours=51), "down")],
)
def test_netcash_is_judged_by_its_silence(sandbox, age, status):
    payment(timezone.now() - age)
    assert services.check(integration=Integration.objects.get(slug="netcash"), actor=ALICE).status == status


def test_a_payment_notice_brings_netcash_back_without_waiting_for_its_turn(sandbox):
    Integration.objects.exclude(slug="netcash").update(is_active=False)
    services.sweep()
    payment(timezone.now())
    assert services.heard_from({"netcash", "resend"}, now=timezone.now()) is True
    services.sweep()
    assert statuses()["netcash"] == "healthy"
    assert services.heard_from({"netcash"}, now=timezone.now()) is False


def test_a_check_whose_worker_was_killed_falls_due_again_soon(connected, monkeypatch):
    now = timezone.now()

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(services.look, "at_all", die)
        with pytest.raises(KeyboardInterrupt):
            services.sweep(now=now)
    assert services.sweep(now=now).checked == 0
    assert services.sweep(now=now + services.LEASE).checked == 10


def test_after_a_clock_that_was_a_day_ahead_checks_go_on(registry, monkeypatch):
    monkeypatch.setattr(look, "at_all", lambda due: [(one, Seen()) for one in due])
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        assert services.sweep().checked == 10
    assert services.sweep().checked == 10
    assert services.sweep().checked == 0


def test_one_that_is_deleted_while_it_is_checked_disturbs_no_other(registry, monkeypatch):
    def look_and_lose(due):
        Integration.objects.filter(pk=due[0].pk).delete()
        return [(one, Seen()) for one in due]

    monkeypatch.setattr(look, "at_all", look_and_lose)
    done = services.sweep()
    assert (done.checked, done.broken) == (9, [])
    assert CheckResult.objects.count() == 9


@pytest.mark.parametrize("breaks", ["judging", "writing down"])
def test_a_check_that_breaks_disturbs_no_other_and_the_job_says_which_it_was(registry, monkeypatch, caplog, breaks):
    module, name = {"judging": (services.status, "judge"), "writing down": (services.record, "_change")}[breaks]
    real, calls = getattr(module, name), []

    def break_once(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, break_once)
    monkeypatch.setattr(look, "at_all", lambda due: [(one, Seen()) for one in due])
    monkeypatch.setattr(wakeup, "_send", lambda *_: None)
    with pytest.raises(cron.NotDone, match=r"9 checked: .* The check itself broke: ") as told:
        schedule.check_health()
    (slug,) = told.value.summary["broken"]
    assert CheckResult.objects.count() == 9
    assert not CheckResult.objects.filter(integration__slug=slug).exists()
    assert f"The check of {slug} broke" in caplog.text


def test_notices_do_not_cause_checks_where_silence_is_not_what_is_wrong(sandbox):
    netcash = Integration.objects.get(slug="netcash")
    payment(timezone.now())
    failures = [WebhookLog(webhook=netcash.webhooks.get(), body=b"", status="failed") for _ in range(9)]
    WebhookLog.objects.bulk_create(failures)
    assert services.check(integration=netcash, actor=ALICE).status == "degraded"
    assert [services.heard_from({"netcash"}, now=timezone.now()) for _ in range(5)] == [False] * 5


def test_what_is_switched_off_is_not_checked_at_anybodys_word(connected):
    Integration.objects.filter(slug="resend").update(is_active=False)
    with pytest.raises(services.Inactive, match="switched off"):
        services.check(integration=Integration.objects.get(slug="resend"), actor=ALICE)
    assert not CheckResult.objects.exists()


def test_a_low_quota_is_told(connected):
    ApiMetric.objects.create(
        integration=Integration.objects.get(slug="didit-kyc"), endpoint="/x", method="GET", status_code=200,
        response_time_ms=5, rate_limit_limit=600, rate_limit_remaining=10,
    )  # fmt: skip
    seen = look.quota_seen(Integration.objects.get(slug="didit-kyc"), Integration.objects.get(slug="didit-kyc").spec)
    assert (seen.remaining, seen.limit) == (10, 600)


def test_a_limit_of_a_second_says_nothing_about_the_quota(registry):
    ApiMetric.objects.create(
        integration=registry["resend"], endpoint="/x", method="GET", status_code=200, response_time_ms=5,
        rate_limit_limit=2, rate_limit_remaining=0,
    )  # fmt: skip
    assert look.quota_seen(registry["resend"], registry["resend"].spec) is None


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_figures_come_from_recorded_calls_and_are_none_without_any(registry):
    for elapsed, error in ((100, ""), (300, ""), (800, "HTTP 500"), (0, "no answer")):
        ApiMetric.objects.create(
            integration=registry["resend"], endpoint="/x", method="GET", response_time_ms=elapsed, error_message=error
        )
    found = figures.metrics(registry.values(), since=timezone.now() - timedelta(hours=24))
    resend = found[registry["resend"].pk]
    assert (resend.total, resend.average_ms, resend.error_rate, resend.success_rate) == (4, 300.0, 50.0, 50.0)
    assert registry["netcash"].pk not in found


def test_uptime_of_all_is_two_queries(registry, django_assert_num_queries):
    now = timezone.now()
    StatusChange.objects.create(
        integration=registry["resend"], old_status="healthy", new_status="down", reason="", at=now - timedelta(hours=6)
    )
    Integration.objects.filter(slug="resend").update(health_status="down", last_health_check_at=now)
    rows = list(Integration.objects.all())
    with django_assert_num_queries(2):  # the changes, and planned work
        found = uptime.day(rows, now)
    assert found[registry["resend"].pk].percent == pytest.approx(75.0)
    assert found[registry["netcash"].pk].percent is None
