"""Who gets what where: every caller there is, and the answer each must get, worked out from one table.

The table is tests/config/test_access.py's, which asks every cell for real. `python -m tests.matrix` prints what it
says as markdown, for a release note.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass

import django

ANYBODY = "anybody"
SIGNED_IN = "signed in"
READ, MANAGE, REFRESH, REPLAY, TRIGGER = "read", "manage", "refresh", "replay", "trigger"
UNSET = "nobody: it is there once a setting says so"
OWN_SECRET = "who has CRON_SECRET"  # whoever is signed in: tests/api/test_cron.py

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EVERYTHING = frozenset({SIGNED_IN, READ, MANAGE, REFRESH, REPLAY, TRIGGER})

# What an answer says, whatever its status in detail.
LET_IN, STRANGER, REFUSED, HIDDEN, UNPROVED, NO_SUCH = "✓", "L", "F", "H", "P", "·"
MEANING = {
    LET_IN: "let in (what it then says is its own affair, but no 5xx)",
    STRANGER: "asked to sign in: 401, or a redirect to the login",
    REFUSED: "403",
    HIDDEN: "404: it belongs to an integration that is out of sight (403 where nothing of it is told)",
    UNPROVED: "a fresh login first: 403 `fresh_login_required`, or a redirect to the page that asks",
    NO_SUCH: "405: the route has no such method",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """`may`: what is held. `sees`: the only integration in sight, if it isn't all. `proved`: fresh enough for what is
    dangerous."""

    name: str
    may: frozenset[str] = frozenset()
    by: str = "session"  # "session", "token", or "dead token": one that opens nothing
    sees: str = ""
    proved: bool = True


ROLES = {
    "Super Admin": EVERYTHING,
    "System Admin": EVERYTHING,
    "IT Manager": frozenset({SIGNED_IN, READ, REFRESH, REPLAY}),
    "Operations Manager": frozenset({SIGNED_IN, READ}),
    "Support Agent": frozenset({SIGNED_IN}),
}
HERE, ELSEWHERE = "zoho-crm", "netcash"
"""The integration that the routes are filled in with, and another."""
CALLERS = (
    Caller("nobody"),
    Caller("disabled Super Admin"),
    *(Caller(role, may) for role, may in ROLES.items()),
    Caller("superuser", EVERYTHING),
    Caller("Super Admin, signed in an hour ago", EVERYTHING, proved=False),
    Caller("may read one integration", frozenset({SIGNED_IN, READ}), sees=HERE),
    Caller("may read and manage another one", frozenset({SIGNED_IN, READ, MANAGE}), sees=ELSEWHERE),
    Caller("Super Admin's token", EVERYTHING, "token", proved=False),
    Caller("the same, scope dangerous", EVERYTHING, "token"),
    Caller("the same, scope read", frozenset({SIGNED_IN, READ}), "token", proved=False),
    Caller("the same, confined to another integration", EVERYTHING, "token", sees=ELSEWHERE, proved=False),
    Caller("expired token", by="dead token"),
    Caller("revoked token", by="dead token"),
    Caller("token of a disabled user", by="dead token"),
)

# Asked of all that is there at once: who sees one integration only can't.
OF_ALL = ("admin/integrations/alerts/test", "api/admin/integrations/alerts/test", "admin/integrations/people")
# Zoho CRM's, though its address doesn't say so. The API lists none of what isn't in sight.
OF_ONE = frozenset({("admin/integrations/webhooks/retry-queue", "GET")})
# One's own affair: no integration's, though its address names something. 404: one has no such thing.
OWN = ("accounts/", "admin/integrations/account")


def expected(
    route: str, methods: Mapping[str, str], method: str, caller: Caller, dangerous: Set[tuple[str, str]]
) -> set[str]:
    """What `caller` may be told: one of LET_IN …, or two where either is right.

    `methods`: the route's line of the table; `dangerous`: the routes and methods that want a fresh login.
    """
    of_api = route.startswith("api/")
    known = caller.may and (caller.by == "session" or (of_api and route != "api/docs"))  # pages take no tokens
    if method == "HEAD" and "GET" in methods:
        as_get = expected(route, methods, "GET", caller, dangerous)
        return as_get if of_api and methods["GET"] != OWN_SECRET and route != "api/docs" else as_get | {NO_SUCH}
    needed = methods.get(method)
    if needed is None:
        return _without(route, methods, method, caller, known=bool(known))
    if needed == ANYBODY:
        return {LET_IN}
    if needed == UNSET:
        return {HIDDEN}
    if needed == OWN_SECRET or not known:
        return {STRANGER}
    out_of_sight = caller.sees == ELSEWHERE and ("<" in route or (route, method) in OF_ONE)
    out_of_sight = out_of_sight and not route.startswith((*OWN, *OF_ALL))
    if caller.sees and route.startswith(OF_ALL) and needed != READ:
        return {REFUSED}
    if needed not in caller.may:
        return {REFUSED, HIDDEN} if out_of_sight else {REFUSED}
    if (route, method) in dangerous and not caller.proved:
        return {UNPROVED}
    if out_of_sight:
        return {HIDDEN}
    if route.startswith(OWN):
        return {LET_IN, HIDDEN}
    return {LET_IN}


def _without(route: str, methods: Mapping[str, str], method: str, caller: Caller, *, known: bool) -> set[str]:
    """The route has no such method: who may read is told so, everybody else no more than elsewhere."""
    if route.startswith("api/") and route != "api/docs" and OWN_SECRET not in methods.values():
        if not known:
            return {STRANGER}
        return {NO_SUCH} if READ in caller.may else {REFUSED}
    if method in ("PUT", "PATCH", "DELETE", "OPTIONS") and not route.startswith("api/"):
        return {NO_SUCH}  # no page has any of them, whoever asks
    if UNSET in methods.values():
        return {NO_SUCH, HIDDEN}
    return {NO_SUCH} if known else {NO_SUCH, STRANGER}


# --- For people ------------------------------------------------------------------------------------------------------


def markdown(table: Mapping[str, Mapping[str, str]], dangerous: Set[tuple[str, str]]) -> str:
    """All cells: a line for routes that answer alike, a column for each caller, a letter for each method;
    where two answers are right, the first of the list above."""
    rows: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for route, methods in table.items():
        cells = tuple(_cell(route, methods, caller, dangerous) for caller in CALLERS)
        rows[cells].append(f"`/{route}`")
    width = len(CALLERS) + 1
    return "\n".join(
        [
            (
                f"{len(table)} routes × {len(METHODS)} methods × {len(CALLERS)} callers = "
                f"{len(table) * len(METHODS) * len(CALLERS):,} cells. In each, in this order: {', '.join(METHODS)}."
            ),
            "",
            *(f"- `{letter}` {words}" for letter, words in MEANING.items()),
            "",
            "| " + " | ".join(["routes", *(caller.name for caller in CALLERS)]) + " |",
            "|" + "---|" * width,
            *(f"| {'<br>'.join(routes)} | {' | '.join(cells)} |" for cells, routes in rows.items()),
        ]
    )


def _cell(route: str, methods: Mapping[str, str], caller: Caller, dangerous: Set[tuple[str, str]]) -> str:
    order = list(MEANING)
    told = (expected(route, methods, m, caller, dangerous) for m in METHODS)
    return "`" + "".join(min(letters, key=order.index) for letters in told) + "`"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from tests.config.test_access import DANGEROUS, TABLE

    print(markdown(TABLE, DANGEROUS))
