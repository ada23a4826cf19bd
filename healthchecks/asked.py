"""What the page of API health is asked for, in its address."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.translation import gettext_noop

from healthchecks.traffic import RANGES, Endpoint

SORTS = (("calls", gettext_noop("Calls")), ("errors", gettext_noop("Errors")), ("slow", gettext_noop("Slowest")))

_DEFAULTS = {"range": "24h", "sort": "calls"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address bar asks for. `endpoint` is as people read it: "GET /v1/emails"."""

    integration: str = ""
    range: str = "24h"
    endpoint: str = ""
    sort: str = "calls"

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        """A value that isn't one of ours is as if it weren't there."""

        def text(name: str, most: int) -> str:
            return query.get(name, "").replace("\x00", "").strip()[:most]  # NUL: PostgreSQL takes none

        integration = text("integration", 50)
        endpoint = text("endpoint", 220) if integration else ""
        length, sort = text("range", 5), text("sort", 10)
        return cls(
            integration=integration,
            range=length if length in RANGES else "24h",
            endpoint=endpoint if " " in endpoint else "",
            sort=sort if sort in dict(SORTS) else "calls",
        )

    @property
    def only(self) -> Endpoint | None:
        method, _, path = self.endpoint.partition(" ")
        return Endpoint(method, path) if path else None

    def told(self, **other: str) -> dict[str, str]:
        """As it stands in the address bar, with something else in some places; defaults are left out."""
        told = {"integration": self.integration, "range": self.range, "endpoint": self.endpoint, "sort": self.sort}
        return {name: value for name, value in (told | other).items() if value and value != _DEFAULTS.get(name)}

    def query(self, **other: str) -> str:
        return urlencode(self.told(**other))
