"""What is amiss now, as pure data, read from the database. Nothing is written and nobody is called.

A cause is told once: what follows from it is folded into it, or left aside while it lasts. One dead grant is one
finding, however many integrations live by it; a provider that is down explains its own error rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Subquery

from healthchecks.alerts import causes, events, targets, words
from healthchecks.alerts.scene import Finding, Found, Planned, Scene, rule_of
from healthchecks.models import Alarm, CheckResult
from integrations.models import Integration


@dataclass(frozen=True, slots=True)
class Look:
    scene: Scene
    findings: Mapping[str, Finding]
    unsure: frozenset[str]

    def is_unsure(self, alarm: Alarm) -> bool:
        kinds = tuple(key for key in self.unsure if key.endswith(":"))
        return alarm.key in self.unsure or alarm.key.startswith(kinds)

    def is_over(self, alarm: Alarm) -> bool:
        """Whether what was open isn't so any more; not where that can't be said."""
        gone = alarm.key not in self.findings and not self.is_unsure(alarm)
        return gone and not self.scene.planned.covers(alarm.slugs)


def look(*, now: datetime) -> Look:
    """What can't be judged for an error of ours, or a row that nobody foresaw, costs only itself, and is a finding."""
    scene, found = _scene(now), Found()
    with found.judging("health and grants", "health:", "grant:"):
        found.add(causes.find(scene))
    explained = {slug for finding in found.findings for slug in finding.about}
    with found.judging("targets and quotas", "target:", "quota:"):
        found.add(targets.find(scene, explained=explained))
    with found.judging("webhooks and jobs", *events.KEYS):
        found.add(events.find(scene, explained=explained))
    if found.broken:
        found.findings.append(_not_judged(found.broken))
    there = {finding.key: finding for finding in found.findings}
    left_out = _folded(scene, there) | {key for key, one in there.items() if scene.planned.covers(one.about)}
    told = {key: one for key, one in there.items() if key not in left_out}
    return Look(scene, told, frozenset(found.unsure | left_out))


def _not_judged(broken: Mapping[str, str]) -> Finding:
    """Critical: whoever is not looked at may be down, and nobody would hear of it."""
    reasons = "\n".join(f"{what}: {error}." for what, error in broken.items())
    return Finding(
        key="judging",
        kind=Alarm.Kind.HEALTH,
        severity=Alarm.Severity.CRITICAL,
        about=(),
        title=f"Alerts can’t be judged: {words.together(list(broken))}"[:200],
        text=f"{reasons}\nWhat to do: read the worker's log, which has the error. All else is still told.",
    )


def _folded(scene: Scene, there: Mapping[str, Finding]) -> set[str]:
    """Degraded for want of quota: the quota's own finding says it better."""
    low = [row.slug for row in scene.rows if rule_of(row) == "quota_low"]
    return {f"health:{slug}" for slug in low if f"quota:{slug}" in there}


def _scene(now: datetime) -> Scene:
    last = CheckResult.objects.filter(integration=OuterRef("pk")).order_by("-created_at")
    rows = Integration.objects.filter(is_active=True).select_related("token__grant").order_by("name")
    active = tuple(rows.annotate(last_rule=Subquery(last.values("rule")[:1])))
    return Scene(now, active, Planned.at(now))
