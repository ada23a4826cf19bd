"""The activity log: append, and prove that nothing was changed, inserted or removed.

Each row carries HMAC-SHA256(ACTIVITY_KEY, hash of the row before + this row's fields). The key lives outside the
database, so whoever can write to the table can break the chain but not mend it.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from integrations.actor import Actor
from integrations.models import Activity, ActivityAnchor, ActivityHead, Integration

log = logging.getLogger(__name__)

SUCCESS, FAILURE, REFUSED = "success", "failure", "refused"


def record(
    *,
    actor: Actor,
    action: str,
    integration: Integration | None = None,
    outcome: str = SUCCESS,
    details: dict[str, Any] | None = None,
    once_key: str | None = None,
) -> Activity:
    """Append one row, in the caller's transaction: the action and its trace are committed together or not at all."""
    with transaction.atomic():
        head = ActivityHead.objects.select_for_update().get_or_create(pk=1)[0]
        row = Activity(
            seq=head.seq + 1,
            integration_id=integration.pk if integration else None,
            integration_slug=integration.slug if integration else "",
            admin_user_id=actor.user_id,
            username=actor.username[:150],
            action=action,
            outcome=outcome,
            details=_plain(details or {}),
            ip_address=actor.ip_address,
            user_agent=_printable(actor.user_agent[:300]),
            request_id=actor.request_id[:64],
            created_at=timezone.now(),
            once_key=once_key,
        )
        row.hash = _hash(head.hash, row)
        row.save(force_insert=True)
        ActivityHead.objects.filter(pk=1).update(seq=row.seq, hash=row.hash)
    # A witness outside the database: whoever takes rows away there can't take them out of the server's log as well.
    log.info("Activity #%d %s", row.seq, row.hash)
    return row


def record_once(
    *, actor: Actor, action: str, key: str, integration: Integration | None, outcome: str, details: dict[str, Any]
) -> bool:
    """Append unless a row with this `key` exists: outsiders can repeat themselves without flooding the log."""
    if Activity.objects.filter(once_key=key).exists():
        return False
    try:
        record(actor=actor, action=action, integration=integration, outcome=outcome, details=details, once_key=key)
    except IntegrityError:  # another process wrote it between our look and our insert
        return False
    return True


def record_refusal(
    *, actor: Actor, where: str, details: dict[str, Any], integration: Integration | None = None
) -> bool:
    """Somebody tried what they may not. Told once a minute for each person and `where` (a route, not an address of the
    caller's choosing): a script that insists must not flood the log.
    """
    return record_once(
        actor=actor,
        action="permission_denied",
        key=f"permission_denied:{timezone.now():%Y%m%d%H%M}:{actor.user_id}:{where}"[:200],
        integration=integration,
        outcome=REFUSED,
        details=details,
    )


def verify(*, upto: int | None = None) -> Iterator[str]:
    """Walk the chain and yield one sentence per thing that is wrong; nothing yielded means that it holds.

    The rows there are form one chain, from the first ever or from right above a signed anchor, up to the head row (or
    to the row `upto`). Triggers keep the head from going back; that the database's owner can lift them is what the
    copies of the head in the server's log, and anchors kept elsewhere, are for.

    Others append and remove meanwhile. So the head is read before the rows, which are one snapshot, and anchors after.
    """
    head = _head()
    wanted = Activity.objects.order_by("seq")
    rows = (wanted if upto is None else wanted.filter(seq__lte=upto)).iterator(chunk_size=1000)
    first = next(rows, None)
    signed: dict[int, str] = {}
    for anchor in ActivityAnchor.objects.order_by("seq"):
        if _ours(anchor):
            signed[anchor.seq] = anchor.hash
        else:
            yield f"The anchor at #{anchor.seq} carries a signature that isn't ours."
    seq, previous = _beginning(signed, first.seq if first else head.seq + 1)
    trusted = True  # whether `previous` is what this row was chained to
    reached = _reached(head, seq, previous)
    for row in chain([first] if first else [], rows):
        if row.seq != seq + 1:
            yield f"{_missing(seq, row.seq)} before #{row.seq} ({row.created_at:%Y-%m-%d %H:%M})."
            trusted = False
        if (trusted and not hmac.compare_digest(row.hash, _hash(previous, row))) or _contradicts(signed, row):
            what = f"{row.username} {row.action}, {row.created_at:%Y-%m-%d %H:%M}"
            yield f"Row #{row.seq} ({what}) was changed or inserted by hand."
        seq, previous, trusted = row.seq, row.hash, True
        reached = reached or (seq == head.seq and previous == head.hash)
    if upto is not None:
        if seq < upto:
            yield f"{_missing(seq, upto + 1)}."
    elif not reached or _head().seq < seq:
        yield f"The log ends at #{seq}, but #{head.seq} was written: the newest rows are missing or were replaced."


def misfits(rows: Iterable[Activity]) -> set[int]:
    """The numbers of those whose content doesn't fit their hash and what stands before them: what a page can prove of
    the rows that it shows, in two queries. That no others were taken away only `verify` proves."""
    shown = list(rows)
    below = {row.seq - 1 for row in shown} - {row.seq for row in shown}
    known = {0: ""} | {row.seq: row.hash for row in shown}
    known |= dict(Activity.objects.filter(seq__in=below).values_list("seq", "hash"))
    # After the rows: what was removed meanwhile has its anchor by now.
    anchors = ActivityAnchor.objects.filter(seq__in=below - set(known))
    known |= {anchor.seq: anchor.hash for anchor in anchors if _ours(anchor)}
    bad = [
        row.seq for row in shown
        if row.seq - 1 not in known or not hmac.compare_digest(row.hash, _hash(known[row.seq - 1], row))
    ]  # fmt: skip
    # One that retention took away in this very moment is none of them.
    return set(Activity.objects.filter(seq__in=bad).values_list("seq", flat=True)) if bad else set()


def removed() -> ActivityAnchor | None:
    """The anchor of ours under which the rows up to it were removed; None: none were."""
    first = Activity.objects.order_by("seq").values_list("seq", flat=True).first()
    anchors = ActivityAnchor.objects.order_by("-seq")
    below = anchors if first is None else anchors.filter(seq__lt=first)
    return next((anchor for anchor in below.iterator() if _ours(anchor)), None)


def _head() -> ActivityHead:
    return ActivityHead.objects.filter(pk=1).first() or ActivityHead()


def _reached(head: ActivityHead, seq: int, previous: str) -> bool:
    """Whether the chain that begins above an anchor at `seq` needs no row to get to `head`: all up to it are removed,
    or (it was read a moment before) more than that."""
    return seq > head.seq or (seq == head.seq and previous == head.hash)


def _missing(seq: int, following: int) -> str:
    return f"Row #{seq + 1} is missing" if following == seq + 2 else f"Rows #{seq + 1} to #{following - 1} are missing"


def _beginning(signed: Mapping[int, str], first: int) -> tuple[int, str]:
    """What stands before the row `first`: (seq, hash) of the newest anchor below it, or of the log's beginning.
    Retention removes rows exactly up to an anchor, so a gap after it is one made by hand.
    """
    below = max((seq for seq in signed if seq < first), default=0)
    return below, signed.get(below, "")


def _ours(anchor: ActivityAnchor) -> bool:
    return hmac.compare_digest(anchor.signature, sign_anchor(anchor.seq, anchor.hash))


def _contradicts(signed: Mapping[int, str], row: Activity) -> bool:
    return row.seq in signed and not hmac.compare_digest(signed[row.seq], row.hash)


def sign_anchor(seq: int, chain_hash: str) -> str:
    return hmac.new(_key(), f"anchor:{seq}:{chain_hash}".encode(), hashlib.sha256).hexdigest()


def _key() -> bytes:
    return settings.ACTIVITY_KEY.encode()


def _hash(previous: str, row: Activity) -> str:
    fields = [
        row.seq, str(row.id), str(row.integration_id or ""), row.integration_slug, str(row.admin_user_id or ""),
        row.username, row.action, row.outcome, row.details, row.ip_address or "", row.user_agent, row.request_id,
        _instant(row.created_at), row.once_key or "",
    ]  # fmt: skip
    text = json.dumps([previous, *fields], sort_keys=True, separators=(",", ":"))
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _plain(value: Any) -> Any:
    """`value` as every database gives it back: no floats (jsonb rewrites them), no characters that jsonb refuses."""
    if isinstance(value, dict):
        return {_printable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _printable(str(value))


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
