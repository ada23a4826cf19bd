"""What the lanes did, minute by minute and process by process, and when each secret was last of use."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, QuerySet, Sum
from django.db.models.functions import Greatest

from webhooks.models import LaneMinute, SecretUse

EARLIER: dict[str, Any] = {"minute": datetime(1970, 1, 1, tzinfo=UTC), "process": "earlier"}
"""The row that stands for all that was folded away, so that totals never fall."""


@lru_cache(maxsize=256)
def fingerprint(secret: str) -> str:
    """Names a secret without telling it, not even to somebody who guesses: a keyed hash."""
    return hmac.new(settings.SECRET_KEY.encode(), b"webhook-secret:" + secret.encode(), hashlib.sha256).hexdigest()[
        :16
    ]


@transaction.atomic
def write(
    *,
    process: str,
    minutes: Mapping[datetime, Mapping[str, int]],
    uses: Mapping[tuple[UUID, str], datetime],
) -> None:
    """Add what happened since the last time. Names ending in `_max` are maxima, all others are added up."""
    for minute, counts in sorted(minutes.items()):
        row, _ = LaneMinute.objects.get_or_create(minute=minute, process=process)
        _add(row, counts)
    for (webhook_id, name), at in sorted(uses.items()):
        SecretUse.objects.update_or_create(webhook_id=webhook_id, fingerprint=name, defaults={"last_matched_at": at})


# --- Reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counts:
    """What all lanes did. Times in milliseconds; `turned_away`: answered 503, with the request to come again."""

    received: int = 0
    duplicates: int = 0
    refused: int = 0
    turned_away: int = 0
    commits: int = 0
    commit_ms_total: int = 0
    commit_ms_max: int = 0
    queue_max: int = 0

    @property
    def deliveries_per_commit(self) -> float:
        return self.received / self.commits if self.commits else 0.0

    @property
    def commit_ms(self) -> float:
        return self.commit_ms_total / self.commits if self.commits else 0.0


def totals() -> Counts:
    """Since the beginning."""
    return _counts(LaneMinute.objects.all())


def recent(span: timedelta, *, now: datetime) -> Counts:
    return _counts(LaneMinute.objects.filter(minute__gt=now - span - timedelta(minutes=1)))


def fold(rows: QuerySet[LaneMinute]) -> None:
    """Add `rows` up into the one that stands for all earlier minutes, in the transaction that removes them."""
    LaneMinute.objects.get_or_create(**EARLIER)
    earlier = LaneMinute.objects.select_for_update().get(**EARLIER)  # two that fold at once would count twice
    _add(earlier, asdict(_counts(rows)))


def _add(row: LaneMinute, counts: Mapping[str, int]) -> None:
    LaneMinute.objects.filter(pk=row.pk).update(
        **{
            name: Greatest(F(name), count) if name.endswith("_max") else F(name) + count
            for name, count in counts.items()
        }
    )


def _counts(rows: QuerySet[LaneMinute]) -> Counts:
    wanted = {name: (Max if name.endswith("_max") else Sum)(name) for name in Counts.__dataclass_fields__}
    found: dict[str, Any] = rows.aggregate(**wanted)
    return Counts(**{name: value or 0 for name, value in found.items()})
