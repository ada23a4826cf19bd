"""Uptime against the truth: flaps, a real outage, a gap in which nobody looked, planned work."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import record, uptime
from healthchecks.models import CheckResult, Incident, Maintenance, StatusChange
from healthchecks.status import ApiSeen, Seen, judge
from integrations.models import ApiMetric, Integration

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def at(**offset: float) -> datetime:
    return START + timedelta(**offset)


# --- The arithmetic --------------------------------------------------------------------------------------------------


def test_a_day_with_an_hour_down_and_six_unknown() -> None:
    changes = [(at(hours=6), "healthy"), (at(hours=20), "down"), (at(hours=21), "degraded")]
    found = uptime.compute(changes, "unknown", start=START, end=at(days=1))
    assert found.percent == pytest.approx(100 * 17 / 18)
    assert found.coverage == pytest.approx(75)
    assert found.down == HOUR


def test_planned_work_counts_on_neither_side() -> None:
    changes = [(at(hours=10), "down"), (at(hours=12), "healthy")]
    planned = [(at(hours=9), at(hours=11)), (at(hours=10, minutes=30), at(hours=11, minutes=30))]
    found = uptime.compute(changes, "healthy", start=START, end=at(days=1), planned=planned)
    assert found.down == 30 * MINUTE
    assert found.planned == 2.5 * HOUR
    assert found.coverage == pytest.approx(100)
    assert found.percent == pytest.approx(100 * 21 / 21.5)


def test_nothing_known_is_no_number() -> None:
    assert uptime.compute([], "unknown", start=START, end=at(days=1)).percent is None
    whole = uptime.compute([], "healthy", start=START, end=at(days=1), planned=[(at(days=-1), at(days=2))])
    assert (whole.percent, whole.coverage) == (None, 0)


@given(
    st.lists(
        st.tuples(st.integers(-60, 360), st.sampled_from(["healthy", "degraded", "down", "unknown"])), max_size=8
    ),
    st.lists(st.tuples(st.integers(-60, 360), st.integers(1, 120)), max_size=4),
)
def test_it_is_what_counting_minutes_gives(changes: list[tuple[int, str]], work: list[tuple[int, int]]) -> None:
    steps = sorted((at(minutes=minute), status) for minute, status in changes)
    planned = [(at(minutes=begins), at(minutes=begins + length)) for begins, length in work]
    found = uptime.compute(steps, "healthy", start=START, end=at(minutes=300), planned=planned)
    up = down = counted = 0
    for minute in range(300):
        moment = at(minutes=minute)
        if any(begins <= moment < ends for begins, ends in planned):
            continue
        status = ([(START, "healthy"), *steps] and [s for t, s in [(at(days=-1), "healthy"), *steps] if t <= moment])[
            -1
        ]
        counted += 1
        up, down = up + (status in ("healthy", "degraded")), down + (status == "down")
    assert found.percent == (pytest.approx(100 * up / (up + down)) if up + down else None)
    assert found.coverage == (pytest.approx(100 * (up + down) / counted) if counted else 0)


# --- A trace of ten days ---------------------------------------------------------------------------------------------

FLAPS = [(at(days=day, hours=5), at(days=day, hours=5, seconds=40)) for day in (0, 1, 3, 6, 8, 9)]
OUTAGES = [
    (at(days=2, hours=3, minutes=4), at(days=2, hours=9, minutes=21)),
    (at(days=7, hours=13, minutes=53), at(days=7, hours=14, minutes=34)),
]
UNWATCHED = (at(days=4, hours=22), at(days=5, hours=7))
OUTAGE_UNSEEN = (at(days=5, hours=1), at(days=5, hours=3))
WORK = (at(days=6, hours=20), at(days=6, hours=23))
OUTAGE_PLANNED = (at(days=6, hours=20, minutes=10), at(days=6, hours=22))
DOWN = [*FLAPS, *OUTAGES, OUTAGE_UNSEEN, OUTAGE_PLANNED]
END = at(days=10)


def is_down(moment: datetime) -> bool:
    return any(begins <= moment < ends for begins, ends in DOWN)


def watch(row: Integration) -> None:
    """Look whenever the system would: at each quarter of an hour, and between them at what is suspected or down."""
    moment = START
    while moment < END:
        row.refresh_from_db()
        nobody = UNWATCHED[0] <= moment < UNWATCHED[1]
        turn = moment.minute % 15 == 0
        extra = row.health_status == "down" or row.health_reason.startswith("Perhaps down")
        if not nobody and row.check_due_at <= moment and (turn or extra):
            finding = "unreachable" if is_down(moment) else "ok"
            seen = Seen(api=ApiSeen(finding=finding, words="no answer", elapsed_ms=20))
            with time_machine.travel(moment, tick=False):
                record.keep(row, judge(seen, now=moment), seen, trigger=CheckResult.Trigger.SWEEP)
        moment += MINUTE if extra else 15 * MINUTE - timedelta(minutes=moment.minute % 15)


def use(row: Integration) -> None:
    """Real calls, one every five minutes, that fail while the provider is down."""
    moments = [START + n * 5 * MINUTE + 90 * timedelta(seconds=1) for n in range(int((END - START) / (5 * MINUTE)))]
    ApiMetric.objects.bulk_create(
        ApiMetric(
            integration=row, endpoint="/domains", method="GET", response_time_ms=20, created_at=moment,
            status_code=None if is_down(moment) else 200, error_message="no answer" if is_down(moment) else "",
        )
        for moment in moments
    )  # fmt: skip


def true_uptime() -> float:
    """Second by second, of what was watched and not planned."""
    seconds = down = 0
    for second in range(int((END - START).total_seconds())):
        moment = START + timedelta(seconds=second)
        if UNWATCHED[0] <= moment < UNWATCHED[1] or WORK[0] <= moment < WORK[1]:
            continue
        seconds, down = seconds + 1, down + is_down(moment)
    return 100 * (1 - down / seconds)


@pytest.mark.django_db
def test_ten_days_against_the_truth_and_against_counting_beats(registry: dict[str, Integration]) -> None:
    row = registry["resend"]
    Integration.objects.filter(pk=row.pk).update(check_due_at=START)
    Maintenance.objects.create(
        integration=row, starts_at=WORK[0], ends_at=WORK[1], reason="new firewall", username="x"
    )
    use(row)
    watch(row)
    row.refresh_from_db()
    ours = uptime.of([row], start=START, end=END)[row.pk]
    turns = CheckResult.objects.filter(integration=row, trigger=CheckResult.Trigger.SWEEP)
    beats = 100 * turns.exclude(status="down").count() / turns.count()
    truth = true_uptime()
    assert ours.percent is not None
    assert abs(ours.percent - truth) < 0.1 < abs(beats - truth)
    assert ours.coverage == pytest.approx(100 * (1 - 9 / 237), abs=0.3)
    assert ours.planned == 3 * HOUR
    # Flaps are no outages; what nobody saw is none either; what was planned is one, which alarms nobody.
    incidents = Incident.objects.filter(integration=row).order_by("opened_at")
    for incident, (began, ended) in zip(incidents, [OUTAGES[0], OUTAGE_PLANNED, OUTAGES[1]], strict=True):
        assert timedelta(0) <= incident.opened_at - began <= 6 * MINUTE  # a call every five minutes dates it
        assert incident.closed_at is not None
        assert timedelta(0) <= incident.closed_at - ended <= 3 * MINUTE


# --- What nobody watched ---------------------------------------------------------------------------------------------


def look(row: Integration, finding: str, moment: datetime, trigger: str = "sweep") -> None:
    seen = Seen(api=ApiSeen(finding=finding, words="no answer", elapsed_ms=20))  # type: ignore[arg-type]
    with time_machine.travel(moment, tick=False):
        row.refresh_from_db()
        record.keep(row, judge(seen, now=moment), seen, trigger=trigger)


@pytest.mark.django_db
def test_a_gap_becomes_part_of_the_history_and_opens_no_incident(registry: dict[str, Integration]) -> None:
    row = registry["resend"]
    look(row, "ok", START)
    look(row, "ok", at(hours=5))
    changes = list(StatusChange.objects.filter(integration=row).order_by("at").values_list("new_status", "at", "gap"))
    assert changes == [
        ("healthy", START, False),
        ("unknown", at(minutes=25), True),
        ("healthy", at(hours=5), True),
    ]
    assert not Incident.objects.exists()
    row.refresh_from_db()
    found = uptime.of([row], start=START, end=at(hours=5))[row.pk]
    assert (found.percent, round(found.coverage, 2)) == (100, round(100 * 25 / 300, 2))


@pytest.mark.django_db
def test_what_comes_after_the_last_look_is_not_known(registry: dict[str, Integration]) -> None:
    row = registry["resend"]
    look(row, "ok", START)
    row.refresh_from_db()
    found = uptime.of([row], start=START, end=at(hours=10))[row.pk]
    assert found.coverage == pytest.approx(100 * 25 / 600)
    never = uptime.of([registry["netcash"]], start=START, end=at(hours=10))[registry["netcash"].pk]
    assert (never.percent, never.coverage) == (None, 0)


@pytest.mark.django_db
def test_a_long_window_asks_twice_whatever_it_holds(
    registry: dict[str, Integration], django_assert_num_queries: object
) -> None:
    StatusChange.objects.bulk_create(
        StatusChange(integration=row, old_status=old, new_status=new, reason="x", at=at(hours=n))
        for row in registry.values()
        for n, (old, new) in enumerate(pairwise(["healthy", "down"] * 20))
    )
    with django_assert_num_queries(2):  # type: ignore[operator]
        uptime.of(registry.values(), start=START, end=at(days=90))
