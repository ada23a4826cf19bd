"""One bad row, or an error of ours, costs what can't be judged for it, and nothing else."""

import pytest
from django.urls import reverse
from django.utils import timezone

from healthchecks.alerts import alarms, causes, events, findings, quiet, targets
from healthchecks.models import Alarm
from integrations.cron.models import CronJob
from integrations.models import Integration
from tests.healthchecks.alerts.conftest import unwell, well
from tests.healthchecks.alerts.test_findings import calls, given_up, run

pytestmark = pytest.mark.django_db(transaction=True)


def breaks(*_args: object, **_more: object) -> None:
    raise TypeError("s3cret words of a row")


@pytest.mark.parametrize(
    "thresholds",
    [
        {"errorRate": None}, {"errorRate": "5"}, {"errorRate": []}, {"errorRate": True}, {"uptime": {}}, [], "5",
        {"responseTimeMs": "fast"}, {"webhookFailureRate": False}, {"quietHours": "22:00-06:00"}, {"quietHours": [1]},
    ],
)  # fmt: skip
def test_a_target_that_is_no_number_counts_as_none(registry, clock, to_phone, turn, thresholds):
    Integration.objects.filter(slug="resend").update(thresholds=thresholds)
    calls(registry["resend"], good=20, bad=20)
    unwell(registry["zoho-desk"], status="degraded", rule="api_slow")
    turn()
    assert set(Alarm.objects.values_list("key", flat=True)) == {"target:resend:error_rate", "health:zoho-desk"}
    assert len(to_phone.got) == 2
    resend = Integration.objects.get(slug="resend")
    assert targets.of(resend) == targets.DEFAULTS
    assert quiet.until(resend.thresholds, timezone.now(), timezone.get_default_timezone()) is None


@pytest.mark.parametrize(
    ("module", "name", "kept"),
    [
        (causes, "find", "health:"), (targets, "find", "target:"), (events, "find", ("webhooks:", "job:")),
        (causes, "_health", "health:"), (targets._Figures, "missed", "target:"), (targets, "quotas", "none:"),
        (events, "_given_up", "webhooks:"), (events, "_drift", "none:"), (events, "_silences", "none:"),
        (events, "_forwards_given_up", "none:"), (events, "_runs_often", "job:"),
    ],
)  # fmt: skip
def test_what_breaks_is_told_and_silences_nothing_else(
    registry, clock, to_phone, turn, monkeypatch, module, name, kept
):
    unwell(registry["netcash"])
    calls(registry["resend"], good=20, bad=20)
    given_up(registry["didit-kyc"])
    run(CronJob.objects.get(job_name="cleanup-webhook-logs"), "failed")
    turn()
    before = set(Alarm.objects.values_list("key", flat=True))
    assert len(before) == 4
    monkeypatch.setattr(module, name, breaks)
    turn()
    still = set(Alarm.objects.filter(closed_at=None).values_list("key", flat=True))
    assert still == before | {"judging"}  # what can't be judged is not over
    alarm = Alarm.objects.get(key="judging")
    assert (alarm.severity, alarm.title.startswith("Alerts can’t be judged: ")) == ("critical", True)
    assert "TypeError" in alarm.text
    assert "s3cret" not in alarm.text
    assert any("Alerts can’t be judged" in title for title in to_phone.titles)
    others = [key for key in findings.look(now=timezone.now()).findings if key != "judging"]
    assert set(others) >= {key for key in before if not key.startswith(kept)}
    monkeypatch.undo()
    turn()
    assert Alarm.objects.get(key="judging").closed_at is not None


def test_the_admin_shows_thresholds_and_takes_none(client, person, registry):
    client.force_login(person("root", is_superuser=True, is_staff=True))
    where = reverse("admin:integrations_integration_change", args=[registry["resend"].pk])
    Integration.objects.update(thresholds={"errorRate": 3})
    assert "errorRate" in client.get(where).content.decode()
    client.post(where, {"thresholds": "[]"})
    assert Integration.objects.get(slug="resend").thresholds == {"errorRate": 3}
    assert 'name="thresholds"' not in client.get(where).content.decode()


def test_one_row_that_breaks_costs_no_other(registry, clock, monkeypatch):
    really = targets._Figures.missed

    def missed(figures, row):
        return breaks() if row.slug == "resend" else really(figures, row)

    monkeypatch.setattr(targets._Figures, "missed", missed)
    for slug in ("resend", "clickatell"):
        calls(registry[slug], good=20, bad=20)
    look = findings.look(now=timezone.now())
    assert set(look.findings) == {"target:clickatell:error_rate", "judging"}
    assert look.is_unsure(Alarm(key="target:resend:error_rate"))
    assert not look.is_unsure(Alarm(key="target:clickatell:error_rate"))


def test_it_is_over_for_those_that_can_be_judged(registry, clock, to_phone, turn, monkeypatch):
    unwell(registry["netcash"])
    turn()
    monkeypatch.setattr(targets, "find", breaks)
    well(registry["netcash"])
    turn()
    assert Alarm.objects.get(key="health:netcash").closed_at is not None


# --- How much it costs -----------------------------------------------------------------------------------------------


def test_why_nobody_was_told_costs_no_more_for_more_alarms(registry, clock, to_phone, django_assert_num_queries):
    now = timezone.now()
    for number in (1, 40):
        Alarm.objects.all().delete()
        rows = Alarm.objects.bulk_create(
            Alarm(key=f"quota:{n}", kind="quota", severity="warning", slugs=["resend"], title="x", text="",
                  opened_at=now)
            for n in range(number)
        )  # fmt: skip
        with django_assert_num_queries(3):
            assert len(alarms.held_back(rows, now=now)) == number
