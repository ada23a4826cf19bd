"""What proves the activity log from outside the database: signed checkpoints, and signed exports.

A checkpoint is one line that says which entry was the newest at a moment. Kept elsewhere, it finds what the chain
alone can't: an end that was cut off together with the head that knew of it, or a log written anew by somebody who has
the key.
"""

import csv
import hashlib
import hmac
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from integrations.models import Activity, ActivityAnchor, ActivityHead
from integrations.sheets import neutral

FIELDS = (
    "seq", "created_at", "username", "action", "outcome", "integration", "details", "ip_address", "user_agent",
    "request_id", "id", "admin_user_id", "once_key", "hash",
)  # fmt: skip
_WORD, _VERSION = "activity-checkpoint", "v1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """At `at` the newest entry had the number `seq` and this `hash`. `str()` of it is the signed line."""

    seq: int
    hash: str
    at: datetime

    def __str__(self) -> str:
        return f"{_WORD} {_VERSION} #{self.seq} {self._moment} {self.hash or '-'} {self.signature}"

    @property
    def _moment(self) -> str:
        return f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def signature(self) -> str:
        return _sign(f"checkpoint:{self.seq}:{self._moment}:{self.hash}")


def take(*, now: datetime) -> Checkpoint:
    head = ActivityHead.objects.filter(pk=1).first() or ActivityHead()
    return Checkpoint(head.seq, head.hash, now.replace(microsecond=0))


def read(line: str) -> Checkpoint:
    """`ValueError` says what is wrong with the line: it is none, or its signature isn't ours."""
    try:
        word, version, seq, at, chained, signature = line.split()
        found = Checkpoint(int(seq.removeprefix("#")), chained.removeprefix("-"), datetime.fromisoformat(at))
    except ValueError as error:
        raise ValueError("is no checkpoint") from error
    if (word, version) != (_WORD, _VERSION):
        raise ValueError("is no checkpoint")
    if not hmac.compare_digest(found.signature, signature):
        raise ValueError("carries a signature that isn't ours")
    return found


def compare(lines: Iterable[str]) -> Iterator[str]:
    """One sentence for each line that the log as it stands contradicts, or that is no checkpoint of ours."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            finding = _contradiction(read(line))
        except ValueError as error:
            finding = f"Line {number} of the checkpoints {error}."
        if finding:
            yield finding


def _contradiction(seen: Checkpoint) -> str:
    """What speaks against `seen`; "" if nothing does. Of entries that retention removed nothing can be said but what
    the anchor at that very number says."""
    when = f"{seen.at:%Y-%m-%d %H:%M}"
    head = ActivityHead.objects.filter(pk=1).first() or ActivityHead()
    if head.seq < seen.seq:
        return f"The log ends at #{head.seq}, but on {when} UTC it reached #{seen.seq}: its end was cut off."
    kept = Activity.objects.filter(seq=seen.seq).values_list("hash", flat=True).first()
    kept = kept or ActivityAnchor.objects.filter(seq=seen.seq).values_list("hash", flat=True).first()
    if kept and not hmac.compare_digest(kept, seen.hash):
        return f"Row #{seen.seq} is not the one that stood there on {when} UTC: the log was written anew."
    return ""


# --- Exports ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seal:
    """What an export has, signed: it stands beside the file, as JSON."""

    rows: int
    first: int
    last: int
    sha256: str
    at: str

    def __str__(self) -> str:
        told = {"rows": self.rows, "first": self.first, "last": self.last, "sha256": self.sha256, "at": self.at}
        return json.dumps(told | {"signature": self.signature}, indent=2) + "\n"

    @property
    def signature(self) -> str:
        return _sign(f"export:{self.rows}:{self.first}:{self.last}:{self.sha256}:{self.at}")


def export(rows: QuerySet[Activity], write: Callable[[bytes], object], *, form: str, now: datetime) -> Seal:
    """Write `rows`, oldest first, as "csv" or as "json" (one object a line), and seal what was written."""
    digest, count, first, last = hashlib.sha256(), 0, 0, 0
    lines = _csv(rows) if form == "csv" else _json(rows)
    for seq, line in lines:
        write(line)
        digest.update(line)
        if seq:
            count, first, last = count + 1, first or seq, seq
    return Seal(count, first, last, digest.hexdigest(), f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")


def broken(parts: Iterable[bytes], seal: str) -> str:
    """What is wrong with an export and its seal, in a sentence; "" if it is as it was sealed."""
    try:
        told = json.loads(seal)
        signature = told.pop("signature")
        sealed = Seal(**told)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "The seal can't be read."
    if not hmac.compare_digest(sealed.signature, str(signature)):
        return "The seal carries a signature that isn't ours."
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    if digest.hexdigest() != sealed.sha256:
        return "The export is not the one that was sealed: it was changed, cut or added to."
    return ""


def _json(rows: QuerySet[Activity]) -> Iterator[tuple[int, bytes]]:
    for row in rows.order_by("seq").iterator(chunk_size=1000):
        yield row.seq, json.dumps(_told(row), ensure_ascii=False).encode() + b"\n"


def _csv(rows: QuerySet[Activity]) -> Iterator[tuple[int, bytes]]:
    yield 0, _line(FIELDS)
    for row in rows.order_by("seq").iterator(chunk_size=1000):
        told = _told(row) | {"details": json.dumps(row.details, ensure_ascii=False, sort_keys=True)}
        yield row.seq, _line([neutral(told[name]) for name in FIELDS])


def _line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def _told(row: Activity) -> dict[str, Any]:
    return {
        "seq": row.seq, "created_at": row.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "username": row.username, "action": row.action, "outcome": row.outcome, "integration": row.integration_slug,
        "details": row.details, "ip_address": row.ip_address, "user_agent": row.user_agent,
        "request_id": row.request_id, "id": str(row.id),
        "admin_user_id": str(row.admin_user_id) if row.admin_user_id else None, "once_key": row.once_key,
        "hash": row.hash,
    }  # fmt: skip


def _sign(text: str) -> str:
    return hmac.new(settings.ACTIVITY_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
