"""Pages: what each costs with ten integrations and with three hundred, its server time, queries and bytes, in one run.

Through Django's own stack in this process, against PostgreSQL, a week of made-up life in it; everything warm.
"""

import gzip
from typing import Any

from benchmarks.place import Place
from benchmarks.reading import PAGES, Figure, caller, measure, set_up

OTHERS = 290
TIMES = 20
MOST_MS, MOST_QUERIES, MOST_POLL = 200, 12, 10_000
PATHS = {
    "overview": "", "API health": "/apis", "one integration": "/apis?integration=resend", "webhooks": "/webhooks",
    "tokens": "/oauth", "jobs": "/cron", "detail": "/zoho-crm", "activity": "/activity", "alerts": "/alerts",
    "palette": "/palette",
}  # fmt: skip
POLLED = set(PATHS) - {"palette", "detail"}


def run(place: Place) -> None:
    set_up(place)
    from integrations.models import Integration
    from tests.pictures import life

    life.make()
    few = {name: look(path) for name, path in PATHS.items()}
    life.more(OTHERS)
    many = {name: look(path) for name, path in PATHS.items()}
    print(f"\nWith {Integration.objects.count()} integrations, against {Integration.objects.count() - OTHERS}:\n")
    print(f"{'':<18}{'p50 ms':>9}{'ratio':>8}{'p95 ms':>9}{'queries':>9}{'gzip':>11}{'a poll':>11}{'poll ms':>9}")
    for name, (figure, size, poll, poll_size) in many.items():
        ratio = figure.p50 / few[name][0].p50
        polled = f"{poll_size:>9,} B{poll.p50:>9.0f}" if name in POLLED else ""
        over = figure.p50 > MOST_MS or figure.queries > MOST_QUERIES or (name in POLLED and poll_size > MOST_POLL)
        print(
            f"{name:<18}{figure.p50:>9.0f}{ratio:>8.1f}{figure.p95:>9.0f}{figure.queries:>9}{size:>9,} B{polled}"
            f"{'   <- over' if over else ''}"
        )


def look(path: str) -> tuple[Figure, int, Figure, int]:
    """The page and its poll: each with its bytes as a browser gets them."""
    client: Any = caller("bench-all", superuser=True).client
    poll = {"HX-Request": "true"}
    page, fragment = client.get(PAGES + path), client.get(PAGES + path, headers=poll)
    if (page.status_code, fragment.status_code) != (200, 200):
        raise RuntimeError(f"{path or '/'}: {page.status_code}, {fragment.status_code}")
    return (
        measure(lambda: client.get(PAGES + path), TIMES), len(gzip.compress(page.content, 6)),
        measure(lambda: client.get(PAGES + path, headers=poll), TIMES), len(gzip.compress(fragment.content, 6)),
    )  # fmt: skip
