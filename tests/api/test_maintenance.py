"""Who sees and ends planned work on everything: those who may read everything."""

from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks.models import Maintenance
from integrations.models import Activity
from tests.api.conftest import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def work(registry) -> Maintenance:
    now = timezone.now()
    return Maintenance.objects.create(
        integration=None, starts_at=now, ends_at=now + timedelta(hours=1), reason="Network", username="alice"
    )


def test_who_may_see_one_integration_does_not_see_work_on_all(calling, charlie, registry, work):
    assign_perm("integrations.read", charlie, registry["resend"])
    assign_perm("integrations.manage", charlie, registry["resend"])
    theirs = calling(charlie)
    assert theirs.get("/maintenance").json()["maintenance"] == []
    assert_problem(theirs.send("DELETE", f"/maintenance/{work.pk}"), 404, "not_found")


def test_who_may_read_all_sees_it_and_may_not_end_it(calling, bob, work):
    theirs = calling(bob)
    assert [row["reason"] for row in theirs.get("/maintenance").json()["maintenance"]] == ["Network"]
    assert_problem(theirs.send("DELETE", f"/maintenance/{work.pk}"), 403, "permission_denied")


def test_wanting_to_silence_everything_without_the_right_leaves_a_trace(calling, charlie, registry):
    assign_perm("integrations.read", charlie, registry["resend"])
    assign_perm("integrations.manage", charlie, registry["resend"])
    ends = (timezone.now() + timedelta(hours=1)).isoformat()
    assert_problem(calling(charlie).post("/maintenance", {"endsAt": ends, "reason": "x"}), 403, "permission_denied")
    entry = Activity.objects.get(username="charlie", outcome="refused")
    assert entry.details["path"] == "/api/admin/integrations/maintenance"
