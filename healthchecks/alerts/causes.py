"""Integrations that are degraded or down, and grants that need a person."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from healthchecks.alerts import words
from healthchecks.alerts.scene import Finding, Found, Scene, rule_of
from healthchecks.models import Alarm
from healthchecks.record import GRANT_RULES
from integrations.models import HealthStatus, Integration
from oauth import services as oauth
from oauth.models import Grant, Token

FAILURES = 3
"""Scheduled checks in a row that are degraded or down, before anybody is told."""
DIES_WITHIN = timedelta(hours=24)
UNKNOWN_ENDS = timedelta(hours=6)
"""So long after nothing could be checked any more its alarm ends, without a word: by then a reminder would be due, and
nobody knows whether it would be true."""

State = Grant.State


def find(scene: Scene) -> Found:
    found = Found()
    for pk, rows in _by_grant(scene).items():
        key = f"grant:{pk}"
        with found.judging(f"the grant of {words.together([row.name for row in rows])}", key):
            if finding := _grant(key, rows, scene.now):
                found.findings.append(finding)
            elif rows[0].token.grant.state != State.CONNECTED:  # a recovery is told once it works, and not before
                found.unsure.add(key)
    for row in scene.rows:
        key = f"health:{row.slug}"
        with found.judging(f"the health of {row.name}", key):
            if _failing(row) and not _by_its_grant(row):
                found.findings.append(_health(key, row))
            elif row.health_status != HealthStatus.HEALTHY and not _long_unknown(row, scene.now):
                found.unsure.add(key)
    return found


# --- Health ----------------------------------------------------------------------------------------------------------


def _failing(row: Integration) -> bool:
    bad = row.health_status in (HealthStatus.DEGRADED, HealthStatus.DOWN)
    return bad and row.consecutive_failures >= FAILURES


def _long_unknown(row: Integration, now: datetime) -> bool:
    since = row.health_since if row.health_status == HealthStatus.UNKNOWN else None
    return since is not None and now - since >= UNKNOWN_ENDS


def _by_its_grant(row: Integration) -> bool:
    return rule_of(row) in GRANT_RULES and hasattr(row, "token")


def _health(key: str, row: Integration) -> Finding:
    down = row.health_status == HealthStatus.DOWN
    rule = rule_of(row)
    since = f"Since {words.moment(row.health_since)}. " if row.health_since else ""
    parts = [
        f"{since}{words.sentence(row.health_reason)}",
        f"Rule: {rule or 'unknown'}, {row.consecutive_failures} checks in a row.",
        f"What to do: {words.ADVICE.get(rule, 'Read the reason, and check it again from its page.')}",
    ]
    return Finding(
        key=key,
        kind=Alarm.Kind.HEALTH,
        severity=Alarm.Severity.CRITICAL if down else Alarm.Severity.WARNING,
        about=(row.slug,),
        title=f"{row.name} is {row.health_status}",
        text="\n".join(parts),
    )


# --- Grants ----------------------------------------------------------------------------------------------------------


def _by_grant(scene: Scene) -> dict[UUID, list[Integration]]:
    """All who live by it, also those in planned work: a message names them all."""
    found: dict[UUID, list[Integration]] = defaultdict(list)
    for row in scene.rows:
        if token := token_of(row):
            found[token.grant_id].append(row)
    return found


def token_of(row: Integration) -> Token | None:
    return getattr(row, "token", None)


def _grant(key: str, rows: Sequence[Integration], now: datetime) -> Finding | None:
    grant = rows[0].token.grant
    needs_somebody = grant.state in (State.NEEDS_REAUTH, State.UNCERTAIN)
    failing = [row for row in rows if _failing(row) and _by_its_grant(row) and not _renewed_since(row)]
    dying = [row for row in rows if _dies(row.token, now)]
    concerned = rows if needs_somebody else [row for row in rows if row in failing or row in dying]
    if not concerned:
        return None
    down = grant.state == State.NEEDS_REAUTH or any(row.health_status == HealthStatus.DOWN for row in failing)
    names = words.together([row.name for row in concerned])
    reasons = [f"{row.name}: {words.sentence(row.health_reason)}" for row in failing if not grant.last_error]
    said = [words.sentence(grant.last_error), *dict.fromkeys(reasons), *_ends(dying, grant)]
    shared = "They lived by one grant: each has to be connected." if needs_somebody and len(rows) > 1 else ""
    return Finding(
        key=key,
        kind=Alarm.Kind.GRANT,
        severity=Alarm.Severity.CRITICAL if down else Alarm.Severity.WARNING,
        about=tuple(row.slug for row in concerned),
        title=_title(names, len(concerned), grant, dying=bool(dying) and not failing)[:200],
        text="\n".join(part for part in (*said, _what_to_do(_advice(rows[0].token), said), shared) if part),
    )


def _title(names: str, number: int, grant: Grant, *, dying: bool) -> str:
    if grant.state in (State.NEEDS_REAUTH, State.UNCERTAIN):
        return f"{names} must be connected again"
    if grant.state in (State.REVOKED, State.REVOKING):
        return f"{names} {'have' if number > 1 else 'has'} no grant any more: it was revoked"
    return f"The token of {names} {'ends soon, and nothing renews it' if dying else 'can’t be renewed'}"


def _ends(dying: Sequence[Integration], grant: Grant) -> Iterator[str]:
    for row in dying:
        if row.token.expires_at and grant.state in (State.CONNECTED, State.RETRYING):
            yield f"{row.name}: its token ends {words.moment(row.token.expires_at)}."


def _what_to_do(advice: str, said: Sequence[str]) -> str:
    """Not what the provider's refusal has just said: "…: connect it again."."""
    return "" if advice.rstrip(".").lower() in " ".join(said).lower() else f"What to do: {advice}"


def _advice(token: Token) -> str:
    if told := oauth.advice(token):
        return told
    return "Refresh it by hand, or connect it again." if token.auto_refresh else "Switch automatic renewal on."


def _dies(token: Token, now: datetime) -> bool:
    """It ends within a day and nothing renews it. What is tried again by itself, or was revoked, is not meant."""
    if not token.access_sealed or token.expires_at is None or token.grant.state in (*Grant.ENDED, State.UNCERTAIN):
        return False
    return token.expires_at - now < DIES_WITHIN and not (token.refresh_sealed and token.auto_refresh)


def _renewed_since(row: Integration) -> bool:
    """Its token is younger than its last check, which therefore says nothing of it."""
    token, checked = row.token, row.last_health_check_at
    sound = token.grant.state == State.CONNECTED and token.issued_at is not None
    return bool(sound and checked and token.issued_at and token.issued_at > checked)
