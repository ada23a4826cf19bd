"""How true the percentiles are: a week of calls, of which roll-ups know only histograms, against the exact figures."""

import os
import time
from datetime import timedelta
from typing import Any

from benchmarks.place import Place
from benchmarks.reading import set_up

CALLS = int(os.environ.get("BENCH_CALLS", "1000000"))
MOST_PERCENT = 2.0

TIMES = {
    "alike": "80 + random() * 400",
    "long tail": "exp(4.5 + 0.9 * sqrt(-2 * ln(1 - random())) * cos(6.283185 * random()))",
    "two humps": "CASE WHEN random() < 0.94 THEN 40 + random() * 30 ELSE 3000 + random() * 4000 END",
    "by the hour": "20 + 500 * abs(sin(n / 3000.0)) + random() * 50",
    "a few milliseconds": "floor(random() * 6)",
}
"""Response times in milliseconds, each for an integration of its own."""


def run(place: Place, *, calls: int = CALLS) -> None:
    set_up(place)
    from django.utils import timezone

    from healthchecks import figures, rollups
    from integrations.models import Integration

    now = timezone.now()
    hour = rollups.floor(now)
    rows = dict(zip(TIMES, Integration.objects.order_by("slug"), strict=False))
    for name, row in rows.items():
        make(place, row.pk, TIMES[name], calls // len(TIMES), hour - timedelta(days=7), hour)
    place.connection.execute("VACUUM ANALYZE integration_api_metrics")
    began = time.monotonic()
    done = rollups.roll(now=now, budget_seconds=3600)
    print(f"{done.words} {done.calls / (time.monotonic() - began):,.0f} calls/s")
    print(f"\n{'':20} {'calls':>9} {'exact p95':>10} {'from roll-ups':>14} {'off by':>8} {'p50 off by':>11}")
    worst = 0.0
    for name, row in rows.items():
        (found,) = figures.windows(row, since=[hour - timedelta(days=7)])
        half, most = exact(place, row.pk)
        off = [
            100 * abs((got or 0) - true) / max(true, 1) for got, true in ((found.p50_ms, half), (found.p95_ms, most))
        ]
        worst = max(worst, *off)
        print(f"{name:20} {found.total:9,} {most:10} {found.p95_ms or 0:14.1f} {off[1]:7.2f}% {off[0]:10.2f}%")
    verdict = "within" if worst <= MOST_PERCENT else "NOT WITHIN"
    print(f"\nThe worst is off by {worst:.2f} %: {verdict} {MOST_PERCENT:g} %.")


def make(place: Place, pk: Any, times: str, number: int, since: Any, until: Any) -> None:
    place.connection.execute(
        f"""INSERT INTO integration_api_metrics (id, integration_id, endpoint, method, status_code, response_time_ms,
            error_message, source, created_at)
        SELECT gen_random_uuid(), %(pk)s, '/v1/' || n %% 9, 'GET', 200, ({times})::int, '', 'call',
            %(since)s + (%(until)s::timestamptz - %(since)s::timestamptz) * ((n - 0.5) / %(number)s)
        FROM generate_series(1, %(number)s) AS n""",
        {"pk": pk, "number": number, "since": since, "until": until},
    )


def exact(place: Place, pk: Any) -> tuple[int, int]:
    """Median and 95th percentile of the calls themselves: each is the time of a call that was made."""
    row = place.connection.execute(
        """SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY response_time_ms),
            percentile_disc(0.95) WITHIN GROUP (ORDER BY response_time_ms)
        FROM integration_api_metrics WHERE integration_id = %s""",
        [pk],
    ).fetchone()
    assert row
    return int(row[0]), int(row[1])
