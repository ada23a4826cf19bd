"""Changing the registry."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from integrations import activity
from integrations.actor import Actor
from integrations.models import Integration

MAX_METADATA = 16_384
"""Bytes of JSON: notes, not a file store. Each change of it is kept for good in the activity log."""


class TooLarge(ValueError):
    """The metadata would grow beyond its limit."""


@transaction.atomic
def change(
    integration: Integration,
    *,
    actor: Actor,
    is_active: bool | None = None,
    metadata: dict[str, Any] | None = None,
    interval_minutes: int | None = None,
    thresholds: dict[str, Any] | None = None,
    noted: Mapping[str, Any] | None = None,
) -> Integration:
    """Write what differs, with one activity row that says from what to what.

    `metadata` and `thresholds` are merged at their top level; a key set to None is removed. `noted`: what else
    the activity row is to say. Raises TooLarge.
    """
    # NO KEY: rows that point at it may be written meanwhile, by somebody who has the log that we are about to write.
    row = Integration.objects.select_for_update(no_key=True).get(pk=integration.pk)
    wanted: dict[str, Any] = {
        "is_active": is_active,
        "health_check_interval_minutes": interval_minutes,
        "metadata": None if metadata is None else _merged(row.metadata, metadata),
        "thresholds": None if thresholds is None else _merged(row.thresholds, thresholds),
    }
    if len(json.dumps(wanted["metadata"])) > MAX_METADATA:
        raise TooLarge(f"The metadata would be larger than {MAX_METADATA:,} bytes.")
    before = {name: getattr(row, name) for name, value in wanted.items() if value not in (None, getattr(row, name))}
    if not before:
        return row
    for name in before:
        setattr(row, name, wanted[name])
    if interval_minutes is not None:  # a shorter interval counts from now, not from the end of the longer one
        row.check_due_at = min(row.check_due_at, timezone.now() + timedelta(minutes=interval_minutes))
    row.save(update_fields=[*before, "check_due_at", "updated_at"])
    activity.record(
        actor=actor,
        action="integration_changed",
        integration=row,
        details={**_difference(before, {name: wanted[name] for name in before}), **(noted or {})},
    )
    return row


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """From what to what; of objects only the keys that differ."""
    told: dict[str, dict[str, Any]] = {"before": dict(before), "after": dict(after)}
    for name, old in before.items():
        if isinstance(old, dict):
            new = after[name]
            differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            told["before"][name] = {key: old[key] for key in differing if key in old}
            told["after"][name] = {key: new[key] for key in differing if key in new}
    return told


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**old, **new}.items() if value is not None}
