"""Keeping the vault (`crypto`): everything sealed moved under the newest key, and a canary for each key in use.

Which columns are sealed is handed in: `config/vault.py` names them all.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from django.db.models import QuerySet

from integrations import activity, crypto
from integrations.actor import Actor
from integrations.models import KeyCanary

CANARY = "This opens with the key that sealed it."
TRIES = 10
"""So often in a row a value may be found changed; a refresh changes one every few seconds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of sealed text, "" where there is none. `context` gives what the value of a row is bound to."""

    model: type[models.Model]
    name: str
    context: Callable[[Any], str]

    def __str__(self) -> str:
        return f"{self.model._meta.db_table}.{self.model._meta.get_field(self.name).column}"  # type: ignore[union-attr]  # a column, not a relation


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of one column: `before` and `after` count values by the id of their key; `resealed` were moved (in a
    dry run: would be); `shut` says of each that can't be opened which row it is, and why."""

    column: Column
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    resealed: int = 0
    shut: list[str] = field(default_factory=list)


def rotate(columns: Sequence[Column], *, actor: Actor, dry_run: bool = False, batch: int = 100) -> list[Report]:
    """Open every sealed value and seal it again with the newest key, where that isn't the one already.

    Each value is written by itself, and only over the one that was read: whoever stores another meanwhile wins, and
    theirs is looked at again. So it may run beside everything, twice at once, and be killed and started again. `batch`
    rows are read at a time. Canaries of keys that nothing lies under any more are taken away.
    """
    if not dry_run:
        plant()
    reports = [_rotate_column(column, dry_run, batch) for column in columns]
    if not dry_run:
        _settle(reports, actor)
    return reports


def _rotate_column(column: Column, dry_run: bool, batch: int) -> Report:
    report = Report(column=column)
    for row in _rows(column, batch):
        report.before[crypto.key_of(getattr(row, column.name))] += 1
        try:
            report.resealed += _rotate_value(column, row, dry_run)
        except crypto.CannotDecrypt as error:
            report.shut.append(f"{column} of row {row.pk}: {error}")
        if now := getattr(row, column.name):
            report.after[crypto.key_of(now)] += 1
    return report


def _rotate_value(column: Column, row: models.Model, dry_run: bool) -> bool:
    """Whether it was written anew (in a dry run: would be); `row` then has the value that is stored."""
    for _ in range(TRIES):
        old: str = getattr(row, column.name)
        if not old:
            return False
        context = column.context(row)
        text = crypto.unseal(old, context=context)
        if crypto.key_of(old) == crypto.newest() or dry_run:
            return crypto.key_of(old) != crypto.newest()
        new = crypto.seal(text, context=context)
        if QuerySet(column.model).filter(pk=row.pk, **{column.name: old}).update(**{column.name: new}):
            setattr(row, column.name, new)
            return True
        stored = QuerySet(column.model).filter(pk=row.pk).values_list(column.name, flat=True).first()
        setattr(row, column.name, stored or "")
    raise crypto.CannotDecrypt("It was changed each time it was to be sealed anew. Run this once more.")


def _rows(column: Column, batch: int) -> Iterator[models.Model]:
    """By primary key, so many at a time: no statement is open while values are written."""
    rows: QuerySet[models.Model] = QuerySet(column.model).exclude(**{column.name: ""}).only(column.name).order_by("pk")
    page = list(rows[:batch])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:batch])


def _settle(reports: Sequence[Report], actor: Actor) -> None:
    in_use = {key for report in reports for key in report.after}
    with transaction.atomic():
        KeyCanary.objects.exclude(key_id__in=[*in_use, crypto.newest()]).delete()
        if done := sum(report.resealed for report in reports):
            details = {"key": crypto.newest(), "resealed": done, "shut": sum(len(report.shut) for report in reports)}
            activity.record(actor=actor, action="token_keys_rotated", details=details)


# --- Canaries --------------------------------------------------------------------------------------------------------


def plant() -> None:
    """Have a canary for the key that seals."""
    canary = KeyCanary(key_id=crypto.newest())
    canary.sealed = crypto.seal(CANARY, context=canary.context())
    KeyCanary.objects.get_or_create(key_id=canary.key_id, defaults={"sealed": canary.sealed})


def amiss() -> list[str]:
    """What is wrong with the keys, a sentence for each; [] when everything that they sealed opens."""
    return [sentence for canary in KeyCanary.objects.order_by("key_id") if (sentence := _trouble(canary))]


def _trouble(canary: KeyCanary) -> str:
    name = repr(canary.key_id)
    if canary.key_id not in crypto.key_ids():
        return f"TOKEN_ENCRYPTION_KEYS lacks key {name}, under which tokens or other secrets are sealed."
    try:
        crypto.unseal(canary.sealed, context=canary.context())
    except crypto.CannotDecrypt:
        return f"Key {name} in TOKEN_ENCRYPTION_KEYS is another one than the key {name} that has sealed secrets here."
    return ""


WHAT_TO_DO = (
    "Put the right key back into TOKEN_ENCRYPTION_KEYS, as ID:KEY, and start again; `manage.py rotate_token_keys` "
    "then frees it. If it is lost for good: `manage.py rotate_token_keys --forget ID`, and connect again."
)


def forget(key_id: str, *, actor: Actor) -> bool:
    """Never mind that `key_id` is missing or wrong: what it sealed stays shut. False: nothing was known of it."""
    with transaction.atomic():
        if not KeyCanary.objects.filter(key_id=key_id).delete()[0]:
            return False
        activity.record(actor=actor, action="token_key_forgotten", details={"key": key_id})
    return True
