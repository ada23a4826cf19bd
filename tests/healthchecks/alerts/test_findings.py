"""What counts as amiss: each cause once, and nothing on too few samples."""

from datetime import timedelta

import pytest
from django.utils import timezone

from healthchecks.alerts import alarms, findings, outbox
from healthchecks.models import Alarm, Alert, StatusChange
from integrations.actor import Actor
from integrations.cron.models import CronJob, CronRun
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import ProviderError
from oauth.models import Grant, Token
from tests.factories import ApiMetricFactory, GrantFactory, TokenFactory, WebhookLogFactory
from tests.healthchecks.alerts.conftest import unwell, well
from webhooks.models import Forward, Registration, Silence, Webhook, WebhookLog
from webhooks.services import forward as forwarding
from webhooks.services import process, receive

pytestmark = pytest.mark.django_db(transaction=True)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZOHO = ("zoho-crm", "zoho-sign", "zoho-billing", "zoho-desk")


def found() -> dict[str, findings.Finding]:
    return dict(findings.look(now=timezone.now()).findings)


def given_up(integration: Integration, *, number: int = 1, **fields: object) -> None:
    now = timezone.now()
    for _ in range(number):
        WebhookLogFactory(
            webhook=Webhook.objects.get(integration=integration),
            **{"status": "failed", "due_at": None, "created_at": now, "started_at": now, **fields},
        )


def calls(integration: Integration, *, good: int, bad: int, ago: timedelta = timedelta(minutes=5), ms: int = 100):
    at = timezone.now() - ago
    for n in range(good + bad):
        ApiMetricFactory(
            integration=integration, created_at=at, response_time_ms=ms, error_message="HTTP 500" if n < bad else ""
        )


@pytest.fixture
def shared(registry, clock) -> Grant:
    """Four integrations that live by one grant."""
    grant = GrantFactory()
    for slug in ZOHO:
        TokenFactory(integration=registry[slug], grant=grant)
    return grant


def test_all_is_well_and_nothing_is_found(registry, clock):
    for row in registry.values():
        well(row)
    assert found() == {}


# --- Health and grants -----------------------------------------------------------------------------------------------


def test_health_says_what_since_when_by_which_rule_and_what_to_do(registry, clock):
    unwell(registry["resend"])
    finding = found()["health:resend"]
    assert (finding.severity, finding.about) == ("critical", ("resend",))
    assert "Since 2031-11-26 11:30 SAST. The API can't be reached: nobody answers." in finding.text
    assert "Rule: api_unreachable, 3 checks in a row." in finding.text
    assert "What to do: Look at the provider's status page" in finding.text


def test_degraded_is_a_warning(registry, clock):
    unwell(registry["resend"], status="degraded", rule="api_slow")
    assert found()["health:resend"].severity == "warning"


def test_a_dead_grant_is_one_alert_that_names_all_who_die_with_it(shared, registry, to_phone, turn):
    Grant.objects.update(state="needs_reauth", last_error="Zoho says that the grant is gone: invalid_code.")
    turn()
    assert len(to_phone.got) == 1
    assert "Zoho Billing, Zoho CRM, Zoho Desk and Zoho Sign must be connected again" in to_phone.titles[0]
    assert "invalid_code" in to_phone.got[0]["message"]
    for slug in ZOHO:  # and the checks that follow find each of them down for it
        unwell(registry[slug], rule="grant_dead", reason="The grant is dead.")
    turn()
    assert len(to_phone.got) == 1
    assert Alarm.objects.get().kind == "grant"
    assert StatusChange.objects.filter(new_status="down").count() == 4
    assert Integration.objects.exclude(last_alert_sent_at=None).count() == 4


@pytest.mark.parametrize(
    ("said", "advised"),
    [("The grant is gone (invalid_code): connect it again.", False), ("The grant is gone: invalid_code.", True)],
)
def test_what_to_do_is_not_said_twice(shared, registry, said, advised):
    Grant.objects.update(state="needs_reauth", last_error=said)
    (text,) = (finding.text for finding in found().values())
    assert ("What to do: Connect it again." in text) == advised
    assert text.lower().count("connect it again") == 1


def test_they_are_told_of_even_if_one_of_them_was_told_of_before(shared, registry, to_phone, turn):
    unwell(registry["zoho-crm"])
    turn()
    Grant.objects.update(state="needs_reauth")
    turn()
    assert len(to_phone.got) == 2


def test_an_alarm_belongs_to_one_integration_only_while_it_is_about_that_one(registry, clock, turn):
    grant = GrantFactory(state="needs_reauth")
    TokenFactory(integration=registry["zoho-crm"], grant=grant)
    turn()
    assert Alarm.objects.get().integration == registry["zoho-crm"]
    for slug in ZOHO[1:]:
        TokenFactory(integration=registry[slug], grant=grant)
    turn()
    alarm = Alarm.objects.get()
    assert (alarm.integration, len(alarm.slugs)) == (None, 4)
    Integration.objects.filter(slug="zoho-crm").delete()
    assert Alarm.objects.get() == alarm  # it is about the others
    for slug in ZOHO[1:3]:
        Token.objects.filter(integration=registry[slug]).delete()
    turn()
    assert Alarm.objects.get().integration == registry["zoho-desk"]


def test_connecting_them_one_by_one_ends_it_with_the_last(shared, registry, clock, to_phone, turn):
    Grant.objects.update(state="needs_reauth")
    turn()
    for number, slug in enumerate(ZOHO, start=1):
        Token.objects.filter(integration=registry[slug]).update(grant=GrantFactory())
        turn()
        clock.shift(timedelta(minutes=10))
        turn()
        assert len(to_phone.got) == (2 if number == 4 else 1)
    assert "is in order again" in to_phone.titles[1]
    assert Alert.objects.filter(kind="recovered").count() == 1


def test_a_refresh_that_fails_for_all_is_one_warning(shared, registry):
    Grant.objects.update(state="retrying", last_error="Zoho answers HTTP 500.")
    for slug in ZOHO:
        unwell(registry[slug], status="degraded", rule="refresh_failed", reason="Its last renewal failed.")
    assert [finding.kind for finding in found().values()] == ["grant"]
    assert found()[f"grant:{shared.pk}"].severity == "warning"


@pytest.mark.parametrize(
    ("fields", "tells"),
    [({"refresh_sealed": ""}, True), ({"auto_refresh": False}, True), ({}, False)],
    ids=["no refresh token", "switched off", "renews itself"],
)
def test_a_token_that_ends_within_a_day_and_nothing_renews(registry, clock, fields, tells):
    TokenFactory(integration=registry["zoho-crm"], expires_at=timezone.now() + 23 * HOUR, **fields)
    assert bool(found()) is tells
    Token.objects.update(expires_at=timezone.now() + 25 * HOUR)
    assert found() == {}


def test_a_check_from_before_it_was_connected_again_says_nothing(registry, clock):
    token = TokenFactory(integration=registry["zoho-crm"])
    unwell(registry["zoho-crm"], rule="grant_dead")
    assert [finding.kind for finding in found().values()] == ["grant"]
    clock.shift(timedelta(minutes=1))
    Token.objects.filter(pk=token.pk).update(issued_at=timezone.now())
    assert found() == {}


def test_a_grant_in_planned_work_is_told_if_it_concerns_others_too(shared, registry, clock):
    from healthchecks.models import Maintenance

    now = timezone.now()
    Grant.objects.update(state="needs_reauth")
    for slug in ZOHO[:3]:
        Maintenance.objects.create(
            integration=registry[slug], starts_at=now, ends_at=now + HOUR, reason="x", username="a"
        )
    assert len(found()[f"grant:{shared.pk}"].about) == 4
    Maintenance.objects.create(
        integration=registry[ZOHO[3]], starts_at=now, ends_at=now + HOUR, reason="x", username="a"
    )
    assert found() == {}


# --- Quota and targets -----------------------------------------------------------------------------------------------


def test_four_fifths_of_a_quota_are_worth_a_word(registry, clock):
    crm = registry["zoho-crm"]
    metric = ApiMetricFactory(
        integration=crm, rate_limit_limit=1000, rate_limit_remaining=201, created_at=timezone.now()
    )
    assert found() == {}
    ApiMetric.objects.filter(pk=metric.pk).update(rate_limit_remaining=200)
    finding = found()["quota:zoho-crm"]
    assert finding.title == "Zoho CRM: 80 % of its quota is used"
    assert "200 of 1,000" in finding.text


def test_degraded_for_want_of_quota_is_told_as_the_quota(registry, clock):
    ApiMetricFactory(integration=registry["zoho-crm"], rate_limit_limit=1000, rate_limit_remaining=10)
    unwell(registry["zoho-crm"], status="degraded", rule="quota_low")
    assert list(found()) == ["quota:zoho-crm"]


@pytest.mark.parametrize(
    ("good", "bad", "tells"),
    [(1, 1, False), (17, 2, False), (0, 19, False), (57, 3, False), (56, 4, True), (0, 20, True)],
)
def test_an_error_rate_over_its_target_on_enough_calls(registry, clock, good, bad, tells):
    calls(registry["resend"], good=good, bad=bad)
    assert ("target:resend:error_rate" in found()) is tells


def test_an_error_rate_that_has_healed_within_the_hour_is_none(registry, clock):
    calls(registry["resend"], good=0, bad=30, ago=5 * HOUR)
    calls(registry["resend"], good=5, bad=0)
    assert found() == {}


def test_a_target_is_the_integrations_own(registry, clock):
    calls(registry["resend"], good=56, bad=4, ms=900)
    Integration.objects.filter(slug="resend").update(thresholds={"errorRate": 10, "responseTimeMs": 800})
    assert list(found()) == ["target:resend:response_time"]
    assert "its target is at most 800 ms" in found()["target:resend:response_time"].text


@pytest.mark.parametrize(
    ("received", "failed", "tells"), [(5, 5, False), (19, 3, False), (60, 3, False), (40, 3, True)]
)
def test_too_many_webhooks_fail(registry, clock, received, failed, tells):
    given_up(registry["resend"], number=failed, due_at=timezone.now() + HOUR)
    given_up(registry["resend"], number=received - failed, status="processed")
    assert ("target:resend:webhook_failures" in found()) is tells


def test_uptime_of_the_week_under_its_target_while_the_day_misses_it_too(registry, clock):
    resend, now = registry["resend"], timezone.now()
    well(resend)
    Integration.objects.filter(pk=resend.pk).update(last_health_check_at=now)
    StatusChange.objects.all().delete()

    def outage(began: timedelta, lasted: timedelta) -> None:
        for at, old, new in ((now - began, "healthy", "down"), (now - began + lasted, "down", "healthy")):
            StatusChange.objects.create(integration=resend, old_status=old, new_status=new, reason="x", at=at)

    StatusChange.objects.create(
        integration=resend, old_status="unknown", new_status="healthy", reason="x", at=now - 6 * DAY
    )
    outage(5 * DAY, HOUR)
    assert found() == {}  # of the week it misses, of the day it doesn't
    outage(3 * HOUR, HOUR)
    assert "target:resend:uptime" in found()
    Integration.objects.filter(pk=resend.pk).update(thresholds={"uptime": 90})
    assert found() == {}


def test_what_was_watched_for_a_day_only_has_no_uptime_to_speak_of(registry, clock):
    resend, now = registry["resend"], timezone.now()
    well(resend)
    StatusChange.objects.all().delete()
    for at, old, new in ((DAY, "unknown", "down"), (12 * HOUR, "down", "healthy")):
        StatusChange.objects.create(integration=resend, old_status=old, new_status=new, reason="x", at=now - at)
    assert found() == {}


def test_who_is_down_is_not_told_of_for_its_figures_too(registry, clock):
    calls(registry["resend"], good=0, bad=30)
    assert "target:resend:error_rate" in found()
    unwell(registry["resend"])
    look = findings.look(now=timezone.now())
    assert list(look.findings) == ["health:resend"]
    assert "target:resend:error_rate" in look.unsure  # what is open about them stays open


# --- Webhooks --------------------------------------------------------------------------------------------------------


def test_events_that_were_given_up_are_one_alarm_for_each_receiver_with_their_count(registry, clock):
    given_up(registry["resend"], number=3)
    given_up(registry["netcash"])
    assert sorted(finding.title for finding in found().values()) == [
        "NetCash Pay Now: 1 event given up", "Resend Email: 3 events given up",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"due_at": timezone.now()}, {"status": "processed"}, {"is_test": True}, {"verified": False},
        {"started_at": timezone.now() - 400 * DAY},
    ],
    ids=["tried again", "processed later", "a test", "never verified", "long ago"],
)  # fmt: skip
def test_what_was_not_given_up_lately_is_none(registry, clock, fields):
    given_up(registry["resend"], **fields)
    assert found() == {}


def test_what_can_not_be_read_was_never_tried_and_is_given_up_all_the_same(registry, clock):
    given_up(registry["resend"], started_at=None)
    assert [finding.title for finding in found().values()] == ["Resend Email: 1 event given up"]
    clock.shift(DAY + HOUR)
    assert found() == {}


def drain_in_vain() -> None:
    """What is due fails for good."""

    def refuse(event: process.Event) -> None:
        raise ProviderError("never", permanent=True)

    process.drain(process.Table(handlers={("resend", "*"): refuse}))


def test_held_then_given_up(registry, clock):
    given_up(registry["resend"], status="pending", due_at=timezone.now(), started_at=None)
    clock.shift(3 * DAY)
    drain_in_vain()
    assert [finding.title for finding in found().values()] == ["Resend Email: 1 event given up"]


def test_revived_then_given_up(registry, clock):
    given_up(registry["resend"])
    clock.shift(3 * DAY)
    assert found() == {}
    assert receive.revive(WebhookLog.objects.get().pk, now=timezone.now())
    drain_in_vain()
    assert [finding.title for finding in found().values()] == ["Resend Email: 1 event given up"]


def forward(integration: Integration, **fields: object) -> Forward:
    now, hook = timezone.now(), Webhook.objects.get(integration=integration)
    log = WebhookLog.objects.create(webhook=hook, body=b"{}", payload={}, status="processed", processed_at=now)
    usual = {"url": "https://example.com/in", "status": "failed", "created_at": now, "started_at": now}
    return Forward.objects.create(log=log, webhook=hook, **{**usual, **fields})


def test_forwards_that_were_given_up_are_told_with_their_count(registry, clock, to_phone, turn):
    for _ in range(2):
        forward(registry["resend"])
    (finding,) = found().values()
    assert (finding.kind, finding.title) == ("webhooks", "Resend Email: 2 forwards given up")
    turn()
    assert "status=failed" not in to_phone.got[0]["message"]  # their events are processed


@pytest.mark.parametrize(
    "fields",
    [
        {"due_at": timezone.now()}, {"status": "delivered"}, {"status": "stopped"},
        {"started_at": timezone.now() - 400 * DAY},
    ],
    ids=["tried again", "delivered later", "stopped", "long ago"],
)  # fmt: skip
def test_a_forward_that_was_not_given_up_lately_is_none(registry, clock, fields):
    forward(registry["resend"], **fields)
    assert found() == {}


def test_resumed_forwards_given_up(registry, clock, settings):
    settings.WEBHOOK_RETRY_WAITS = []
    hook = Webhook.objects.get(integration=registry["resend"])
    hook.forward_url, hook.forward_stopped_at = "https://example.invalid/in", timezone.now()
    hook.save()
    for _ in range(3):
        forward(registry["resend"], status="stopped")
    clock.shift(3 * DAY)
    assert forwarding.resume(hook, actor=Actor(username="alice"), now=timezone.now()) == 3
    assert forwarding.run_due().failed == 3  # there is nothing to sign with
    assert [finding.title for finding in found().values()] == ["Resend Email: 3 forwards given up"]


def test_forwarding_that_a_410_stopped_is_told_until_it_is_resumed(registry, clock):
    hook = Webhook.objects.filter(integration=registry["resend"])
    hook.update(forward_url="https://example.com/in?key=canary", forward_stopped_at=timezone.now())
    (finding,) = found().values()
    assert finding.title == "Resend Email: forwarding has stopped"
    assert "its target said 410 (gone) 2031-11-26 12:00 SAST" in finding.text
    assert "resume forwarding" in finding.text
    assert "canary" not in finding.text
    hook.update(forward_url="")
    assert found() == {}
    hook.update(forward_url="https://example.com/in", forward_stopped_at=None)
    assert found() == {}


def test_what_was_given_up_ends_without_a_word(registry, clock, to_phone, turn):
    given_up(registry["resend"])
    turn()
    clock.shift(DAY + HOUR)
    turn()
    assert Alarm.objects.get().closed_at is not None
    assert len(to_phone.got) == 1


def test_silence_is_told_unless_it_is_why_the_integration_is_down(registry, clock):
    now = timezone.now()
    for slug in ("resend", "netcash"):
        Silence.objects.create(
            webhook=Webhook.objects.get(integration=registry[slug]), last_received_at=now - 9 * HOUR,
            expected_minutes=120, noticed_at=now,
        )  # fmt: skip
    unwell(registry["netcash"], rule="silence")
    assert sorted(finding.kind for finding in found().values()) == ["health", "silence"]
    assert "more than 2 h is unusual" in next(one.text for one in found().values() if one.kind == "silence")


def test_drift_is_told_once_for_each_receiver(registry, clock):
    hook = Webhook.objects.get(integration=registry["resend"])
    for n in range(2):
        Registration.objects.create(webhook=hook, provider_id=str(n), finding="It is switched off there")
    Registration.objects.create(webhook=hook, provider_id="9")
    (finding,) = found().values()
    assert (finding.kind, finding.text.count("It is switched off there.")) == ("drift", 1)


# --- Jobs ------------------------------------------------------------------------------------------------------------


def run(job: CronJob, status: str, minutes_ago: int = 0) -> None:
    CronRun.objects.create(
        job=job, status=status, started_at=timezone.now() - timedelta(minutes=minutes_ago), error_message="It broke"
    )


@pytest.mark.parametrize(
    ("status", "tells"),
    [
        ("failed", True),
        ("timeout", True),
        ("unknown", False),
        ("success", False),
        ("skipped", False),
        ("running", False),
    ],
)
def test_a_job_whose_last_run_went_wrong(registry, clock, status, tells):
    run(CronJob.objects.get(job_name="cleanup-webhook-logs"), status)
    assert bool(found()) is tells


def test_a_job_that_runs_every_minute_is_told_of_after_three_failures_in_a_row(registry, clock):
    job = CronJob.objects.get(job_name="webhooks-process-due")
    run(job, "failed", 2)
    run(job, "failed", 1)
    assert found() == {}
    run(job, "timeout")
    assert (
        found()["job:webhooks-process-due"].title == "The job webhooks-process-due ran out of time, 3 times in a row"
    )
    run(job, "success")
    assert found() == {}


def test_slots_that_were_missed_are_told_together_and_once(registry, clock, to_phone, turn):
    jobs = {name: CronJob.objects.get(job_name=name) for name in ("webhooks-process-due", "oauth-auto-refresh")}

    def missed(name: str, minutes_ago: int) -> None:
        at = timezone.now() - timedelta(minutes=minutes_ago)
        CronRun.objects.create(job=jobs[name], status="missed", scheduled_for=at, started_at=timezone.now())

    for n in range(7):
        missed("webhooks-process-due", n + 1)
    missed("oauth-auto-refresh", 3)
    finding = found()["slots:missed"]
    assert finding.title == "8 slots of 2 jobs missed"
    assert "oauth-auto-refresh: 1; webhooks-process-due: 7." in finding.text
    turn()
    clock.shift(HOUR)
    missed("oauth-auto-refresh", 10)
    turn()
    clock.shift(7 * HOUR)
    turn()
    assert found() == {}
    assert [title.split("] ")[1] for title in to_phone.titles] == ["8 slots of 2 jobs missed"]


def test_a_job_tells_again_once_it_runs(registry, clock, to_phone, turn):
    job = CronJob.objects.get(job_name="cleanup-webhook-logs")
    run(job, "failed", 5)
    turn()
    run(job, "skipped", 2)
    turn()
    run(job, "success")
    turn()
    assert [title.split("] ")[1] for title in to_phone.titles] == [
        "The job cleanup-webhook-logs failed", "Runs again: The job cleanup-webhook-logs failed",
    ]  # fmt: skip


def test_a_job_that_is_switched_off_or_belongs_to_what_is_gives_none(registry, clock):
    job = CronJob.objects.get(job_name="zoho-sync")
    CronJob.objects.filter(pk=job.pk).update(is_active=True)
    run(job, "failed")
    assert found()["job:zoho-sync"].about == ("zoho-billing",)
    Integration.objects.filter(slug="zoho-billing").update(is_active=False)
    assert found() == {}


def test_a_look_costs_no_more_for_more_alarms(registry, clock, django_assert_max_num_queries, settings, to_phone):
    for row in registry.values():
        unwell(row)
    alarms.watch(now=timezone.now())
    outbox.run_due()
    with django_assert_max_num_queries(30):
        alarms.watch(now=timezone.now())
