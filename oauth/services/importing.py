"""Taking over tokens from an older system: read and judged as a whole first, then stored in one transaction or not at
all. No text that is made here holds anything of a token."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from integrations import activity
from integrations.actor import Actor
from integrations.models import Integration
from oauth import flow
from oauth.models import Grant, Token, TokenEvent
from oauth.services import store
from oauth.services.connect import leave_if_last
from oauth.services.status import oauth_of

FIELDS = ("slug", "access_token", "refresh_token", "expires_at", "scope")
LONGEST = {"slug": 50, "access_token": 8192, "refresh_token": 8192, "expires_at": 64, "scope": 8192}


class Refused(Exception):
    """The file can't be taken over. `lines`: what is wrong, a sentence for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the file. `refresh_token` "" means: none."""

    line: int
    integration: Integration
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime
    scope: str

    def given(self, now: datetime) -> flow.Tokens:
        """It was issued one lifetime before it expires, as far as can be told."""
        oauth = oauth_of(self.integration)
        life = oauth.lifetime if oauth else self.expires_at - now
        return flow.Tokens(
            access_token=self.access_token,
            refresh_token=self.refresh_token,
            issued_at=min(now, self.expires_at - life),
            expires_at=self.expires_at,
            scope=self.scope,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of an entry: `taken` or not, and why."""

    entry: Entry
    taken: bool
    words: str


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(content: bytes) -> list[Entry]:
    """The entries of JSON lines with `FIELDS`; `expires_at` is ISO 8601 with its zone, `refresh_token` and `scope` may
    be left out. Raises Refused with everything that is wrong."""
    known = {row.slug: row for row in Integration.objects.all()}
    entries: list[Entry] = []
    wrong: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = _entry(number, _object(line), known)
        except ValueError as error:
            wrong.append(f"Line {number}: {error}")
            continue
        if first := seen.get(entry.integration.slug):
            wrong.append(f"Line {number}: {entry.integration.slug} stands in line {first} already.")
        seen.setdefault(entry.integration.slug, number)
        entries.append(entry)
    if not entries and not wrong:
        wrong.append("There is nothing in it.")
    if wrong:
        raise Refused(wrong)
    return entries


def _object(line: bytes) -> dict[str, str]:
    """Raises ValueError in words that quote nothing of the line."""
    try:
        fields = json.loads(line.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (at character {error.pos + 1}).") from None
    except RecursionError:
        raise ValueError("it is nested too deeply.") from None
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object.")
    if set(fields) - set(FIELDS):
        raise ValueError(f"it has a field that is none of {', '.join(FIELDS)}.")
    return {name: _text(name, fields.get(name)) for name in FIELDS}


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError("it has a field twice.")
        found[name] = value
    return found


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text.")
    text = value.strip()
    if len(text) > LONGEST[name]:
        raise ValueError(f"{name} is longer than {LONGEST[name]:,} characters.")
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{name} has characters that don't belong there.")
    return text


def _entry(number: int, fields: Mapping[str, str], known: Mapping[str, Integration]) -> Entry:
    integration = known.get(fields["slug"])
    if integration is None:
        raise ValueError(f"slug names no integration; those with OAuth are {', '.join(_with_oauth(known))}.")
    if oauth_of(integration) is None:
        raise ValueError(f"{integration.slug} uses no OAuth.")
    if not fields["access_token"]:
        raise ValueError("access_token is missing.")
    return Entry(
        line=number,
        integration=integration,
        access_token=fields["access_token"],
        refresh_token=fields["refresh_token"],
        expires_at=_moment(fields["expires_at"]),
        scope=fields["scope"],
    )


def _with_oauth(known: Mapping[str, Integration]) -> Iterator[str]:
    return (slug for slug in sorted(known) if oauth_of(known[slug]))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - has no zone either
    if moment.tzinfo is None or not 2000 <= moment.year <= 2200:
        raise ValueError("expires_at is no time with its zone, such as 2026-11-23T12:00:00Z.")
    return moment.astimezone(UTC)


# --- Judging and storing ---------------------------------------------------------------------------------------------


def take(content: bytes, *, actor: Actor, dry_run: bool = False) -> list[Verdict]:
    """Store what is newer than what there is; the same file once more changes nothing. Raises Refused.

    Entries with one refresh token share one grant, also with integrations that have it already: then they get the
    tokens that those have, since whoever renewed them last knows best.
    """
    entries, now = read(content), timezone.now()
    with transaction.atomic():
        # In this order, as connecting and refreshing do, so that neither waits for the other for ever.
        touched = [entry.integration.pk for entry in entries]
        list(Integration.objects.select_for_update(no_key=True).filter(pk__in=touched).order_by("pk"))
        list(Grant.objects.select_for_update().order_by("pk"))
        held = Token.objects.select_for_update(of=("self",)).select_related("integration").order_by("pk")
        tokens = {row.integration_id: row for row in held}
        grants = Grant.objects.in_bulk()
        for token in tokens.values():
            token.grant = grants[token.grant_id]
        verdicts = [_judge(entry, tokens.get(entry.integration.pk)) for entry in entries]
        if not dry_run:
            _store([one.entry for one in verdicts if one.taken], tokens, actor=actor, now=now)
    return verdicts


def _judge(entry: Entry, token: Token | None) -> Verdict:
    taken, words = True, "imported"
    if token is not None:
        taken, words = _against(entry, token)
    return Verdict(entry=entry, taken=taken, words=words)


def _against(entry: Entry, token: Token) -> tuple[bool, str]:
    if entry.refresh_token and store.holds(token, entry.refresh_token):
        gone = token.grant.state in Grant.ENDED
        return False, "left alone: this grant has ended here" if gone else "left alone: it has this grant already"
    if token.grant.state in Grant.ENDED:
        newer = entry.given(timezone.now()).issued_at > token.grant.updated_at
        return newer, "imported" if newer else "left alone: what it had ended later than this was issued"
    if token.refresh_sealed and not entry.refresh_token:
        return False, "left alone: what it has renews itself, and this would not"
    if token.access_sealed or token.refresh_sealed:
        newer = token.expires_at is not None and entry.expires_at > token.expires_at
        return newer, "imported, in place of an older one" if newer else "left alone: what it has is as new or newer"
    return True, "imported"


def _store(entries: Sequence[Entry], tokens: Mapping[Any, Token], *, actor: Actor, now: datetime) -> None:
    """The newest of those that share a refresh token goes first: the others then find its grant and take what it
    has."""
    for entry in sorted(entries, key=lambda entry: entry.expires_at, reverse=True):
        token = tokens.get(entry.integration.pk) or Token(integration=entry.integration)
        before = None if token._state.adding else token.grant
        note = "Imported from a file."
        holder = store.holder_of(entry.refresh_token) if entry.refresh_token else None
        given = entry.given(now) if holder is None else _as_held(holder)
        if before is not None:
            note = f"{note} {leave_if_last(token, given)}".strip()
        token.refresh_sealed, token.refresh_count, token.metadata, token.scope = "", 0, {}, entry.scope
        token.grant = holder.grant if holder else store.new_grant(entry.integration)
        store.write(token, given)
        token.save()
        if before is not None and before != token.grant and not before.tokens.exists():
            before.delete()
        store.tell(token, TokenEvent.Kind.CONNECTED, actor, note, expires_at=token.expires_at, at=now)
        activity.record(
            actor=actor, action="oauth_imported", integration=entry.integration,
            details={"scope": token.scope, "expires_at": token.expires_at, "shared": holder is not None},
        )  # fmt: skip


def _as_held(holder: Token) -> flow.Tokens:
    now = timezone.now()
    return flow.Tokens(
        access_token=store.opened(holder.access_token),
        refresh_token=store.opened(holder.refresh_token),
        issued_at=holder.issued_at or now,
        expires_at=holder.expires_at or now,
        token_type=holder.token_type,
        scope=holder.scope,
        metadata=holder.metadata,
    )
