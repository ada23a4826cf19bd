"""Retention: what has had its time goes, what still waits stays."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from integrations.actor import Actor
from webhooks.models import Forward, LaneMinute, Refusal, Webhook, WebhookLog
from webhooks.services import figures, forward, prune

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def log(webhook: Webhook, days: float, status: str = "processed", **fields) -> WebhookLog:
    return WebhookLog.objects.create(
        webhook=webhook, body=b"x", status=status, created_at=NOW - timedelta(days=days), **fields
    )


def left() -> set[object]:
    return set(WebhookLog.objects.values_list("pk", flat=True))


def test_each_webhook_keeps_its_own_days(webhook):
    other = Webhook.objects.get(integration__slug="didit-kyc")
    Webhook.objects.filter(pk=other.pk).update(retention_days=10)
    young, old = log(webhook, 89), log(webhook, 91)
    other_young, other_old = log(other, 9), log(other, 11)
    summary = prune.run(now=NOW)
    assert left() == {young.pk, other_young.pk}
    assert summary["removed"] == {webhook.webhook_url: 1, other.webhook_url: 1}
    assert (summary["total"], summary["finished"]) == (2, True)
    assert {old.pk, other_old.pk}.isdisjoint(left())


def test_what_still_waits_is_never_removed(webhook):
    waiting = [
        log(webhook, 400, status="pending", due_at=NOW),
        log(webhook, 400, status="pending"),
        log(webhook, 400, status="failed", due_at=NOW + timedelta(hours=1)),
    ]
    on_its_way = log(webhook, 400)
    Forward.objects.create(log=on_its_way, webhook=webhook, url="https://example.com", due_at=NOW)
    holds_bytes = log(webhook, 400)
    part = log(webhook, 400, status="failed", due_at=NOW, part_of=holds_bytes.pk)
    log(webhook, 400, status="failed")
    log(webhook, 400, status="duplicate")
    assert prune.run(now=NOW)["total"] == 2
    assert left() == {*(row.pk for row in waiting), on_its_way.pk, holds_bytes.pk, part.pk}


def test_prune_stopped(webhook):
    webhook.forward_url = "https://example.com/in"
    webhook.forward_stopped_at = NOW
    webhook.save()
    stopped = log(webhook, 400)
    Forward.objects.create(log=stopped, webhook=webhook, url=webhook.forward_url, status="stopped")
    delivered = log(webhook, 400)
    Forward.objects.create(log=delivered, webhook=webhook, url=webhook.forward_url, status="delivered")
    assert prune.run(now=NOW)["total"] == 1
    assert left() == {stopped.pk}
    assert forward.resume(webhook, actor=Actor(username="alice"), now=NOW) == 1


def test_what_was_stopped_goes_once_there_is_nowhere_to_send_it(webhook):
    stopped = log(webhook, 400)
    Forward.objects.create(log=stopped, webhook=webhook, url="https://example.com/in", status="stopped")
    assert webhook.forward_url == ""
    assert prune.run(now=NOW)["total"] == 1


def test_a_dry_run_counts_and_removes_nothing(webhook):
    log(webhook, 100)
    assert prune.run(now=NOW, dry_run=True)["total"] == 1
    assert len(left()) == 1


def test_many_go_in_batches_and_what_the_budget_does_not_reach_stays(webhook, monkeypatch):
    monkeypatch.setattr(prune, "BATCH", 2)
    for _ in range(5):
        log(webhook, 100)
    assert prune.run(now=NOW, budget_seconds=-1) == {"dry_run": False, "removed": {}, "total": 0, "finished": False}
    assert prune.run(now=NOW)["total"] == 5


def test_refusals_and_figures_go_too(webhook):
    Refusal.objects.create(webhook=webhook, reason="x", body=b"", sealed="", created_at=NOW - timedelta(days=8))
    Refusal.objects.create(webhook=webhook, reason="x", body=b"", sealed="", created_at=NOW - timedelta(days=6))
    LaneMinute.objects.create(minute=NOW - timedelta(days=31), process="a")
    assert prune.run(now=NOW)["removed"] == {"refused": 1, "lane_minutes": 1}
    assert Refusal.objects.count() == 1


def test_totals_of_the_lane_never_fall(webhook):
    for days, process in ((40, "a"), (31, "b"), (1, "a")):
        LaneMinute.objects.create(
            minute=NOW - timedelta(days=days), process=process, received=10, commits=2, queue_max=days
        )
    before = figures.totals()
    assert prune.run(now=NOW)["removed"] == {"lane_minutes": 2}
    assert prune.run(now=NOW)["total"] == 0
    assert LaneMinute.objects.count() == 2
    assert figures.totals() == before == figures.Counts(received=30, commits=6, queue_max=40)
    assert figures.recent(timedelta(days=3), now=NOW) == figures.Counts(received=10, commits=2, queue_max=1)


def test_the_command_says_what_would_go(webhook, capsys):
    log(webhook, 2)
    call_command("prune_webhooks", "--dry-run", "--days", "1")
    assert "1  would be removed" in capsys.readouterr().out
    assert len(left()) == 1
    with pytest.raises(CommandError, match="begins at 1"):
        call_command("prune_webhooks", "--days", "0")
