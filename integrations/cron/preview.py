"""What a schedule means, before anybody saves it: in words, its next runs, who starts in the same minute."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AnonymousUser

from integrations import permissions
from integrations.accounts.models import User
from integrations.cron import schedules
from integrations.cron.fields import FIELDS, Problem
from integrations.cron.models import CronJob
from integrations.cron.schedules import Moment


@dataclass(frozen=True, slots=True)
class Part:
    """One of the five fields as it was typed."""

    name: str
    text: str
    is_wrong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`stored` is how `text` would be kept, "" when it is refused: then `problems` say why."""

    text: str
    zone: str
    stored: str = ""
    words: str = ""
    runs: Sequence[Moment] = ()
    problems: Sequence[Problem] = ()
    warnings: Sequence[str] = ()

    @property
    def parts(self) -> list[Part]:
        """Nothing where there aren't five: then no place could be named."""
        typed = self.text.split()
        wrong = {problem.position for problem in self.problems}
        if len(typed) != len(FIELDS):
            return []
        each = zip(FIELDS, typed, strict=True)
        return [Part(field.label.partition(" ")[0], text, field.position in wrong) for field, text in each]


def of(text: str, zone: str, *, user: User | AnonymousUser, now: datetime, job_id: UUID | None = None) -> Preview:
    """`job_id`: the job it is for, which doesn't clash with itself. Only jobs that `user` may see are named."""
    try:
        runs = schedules.upcoming(text, zone, now)
    except schedules.Refused as refused:
        return Preview(text=text, zone=zone, problems=refused.problems)
    return Preview(
        text=text,
        zone=zone,
        stored=schedules.read(text),
        words=schedules.describe(text),
        runs=runs,
        warnings=schedules.clashes(text, zone, _others(user, job_id), now),
    )


def _others(user: User | AnonymousUser, job_id: UUID | None) -> list[tuple[str, str, str]]:
    """The active jobs that `user` may see."""
    rows = permissions.readable(user, CronJob.objects.filter(is_active=True))
    if job_id:
        rows = rows.exclude(pk=job_id)
    return list(rows.values_list("job_name", "schedule", "timezone"))
