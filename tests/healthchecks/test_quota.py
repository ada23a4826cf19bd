"""Where the rate limit stands, who says so, and when it is used up if it goes on like this."""

from datetime import UTC, datetime, timedelta

import pytest

from healthchecks import look, quota
from healthchecks.quota import Told, counted, told
from integrations import http
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import Limit
from tests.factories import IntegrationFactory

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DAILY = Limit(requests=50_000, seconds=86_400, remaining_header="X-Left")
BY_THE_MINUTE = Limit(requests=300, seconds=60, remaining_header="X-Left", reset_header="X-Reset")


def said(remaining: int, ago: timedelta = timedelta(0), *, limit=None, resets_in=None) -> Told:
    return Told(remaining, limit, NOW + resets_in if resets_in else None, NOW - ago)


# --- What headers tell -----------------------------------------------------------------------------------------------


def test_what_is_left_and_who_says_so():
    stand = told(DAILY, said(40_000), None, now=NOW)
    assert (stand.remaining, stand.limit, stand.told, stand.used_percent) == (40_000, 50_000, True, pytest.approx(20))
    assert stand.words == "40,000 of 50,000 calls are left (24 h window), as the provider tells."
    assert not stand.is_warning


def test_the_limit_that_is_told_wins_over_the_declared_one():
    assert told(DAILY, said(90_000, limit=100_000), None, now=NOW).used_percent == pytest.approx(10)
    assert told(DAILY, said(72_000), None, now=NOW).limit == 72_000, "the declared one can't be right"


@pytest.mark.parametrize(("remaining", "warns"), [(10_001, False), (10_000, True), (0, True)])
def test_from_eighty_percent_on_it_warns(remaining, warns):
    assert told(DAILY, said(remaining), None, now=NOW).is_warning is warns


def test_a_window_of_seconds_never_warns():
    second = Limit(requests=2, seconds=1, remaining_header="X-Left")
    stand = told(second, said(0), None, now=NOW)
    assert stand.used_percent == 100
    assert not stand.is_warning


# --- The forecast ----------------------------------------------------------------------------------------------------


def test_it_is_forecast_when_the_quota_ends():
    stand = told(DAILY, said(5_000, resets_in=8 * HOUR), said(7_500, HOUR / 2), now=NOW)
    assert stand.per_hour == pytest.approx(5_000)
    assert stand.runs_out_at == NOW + HOUR
    assert stand.words.endswith("At 5,000 an hour nothing is left in 60 min, 7 h before it starts anew.")


def test_if_it_starts_anew_before_there_is_nothing_to_fear():
    stand = told(DAILY, said(5_000, resets_in=HOUR / 2), said(7_500, HOUR / 2), now=NOW)
    assert stand.runs_out_at is None
    assert "At " not in stand.words


def test_where_nobody_told_when_it_starts_anew_a_whole_window_is_looked_ahead():
    assert told(DAILY, said(20_000), said(20_500, HOUR / 2), now=NOW).runs_out_at == NOW + 20 * HOUR
    assert told(DAILY, said(30_000), said(30_500, HOUR / 2), now=NOW).runs_out_at is None


def test_what_is_not_used_does_not_run_out():
    stand = told(DAILY, said(5_000), said(5_000, HOUR / 2), now=NOW)
    assert (stand.per_hour, stand.runs_out_at) == (0, None)


def test_two_calls_in_a_row_say_nothing_of_the_speed():
    stand = told(DAILY, said(5_000), said(5_100, timedelta(seconds=2)), now=NOW)
    assert (stand.per_hour, stand.runs_out_at) == (None, None)


def test_what_is_used_up_has_no_end_to_come():
    stand = told(DAILY, said(0), said(500, HOUR / 2), now=NOW)
    assert stand.runs_out_at is None
    assert stand.words.startswith("0 of 50,000 calls are left")


# --- By our own count ------------------------------------------------------------------------------------------------


def test_without_headers_our_own_calls_are_counted():
    stand = counted(BY_THE_MINUTE, 240, 240, now=NOW)
    assert (stand.remaining, stand.limit, stand.told, stand.is_warning) == (60, 300, False, True)
    assert stand.words == "60 of 300 calls are left (60 s window), by our own count."


def test_a_steady_speed_uses_up_no_sliding_window():
    assert counted(DAILY, 48_000, 2_000, now=NOW).runs_out_at is None


def test_a_rising_one_does():
    stand = counted(DAILY, 24_000, 4_000, now=NOW)  # 1,000 an hour leave the window, 4,000 come
    assert stand.per_hour == pytest.approx(4_000)
    assert stand.runs_out_at == pytest.approx(NOW + HOUR * 26_000 / 3_000, abs=timedelta(seconds=1))


def test_more_calls_than_the_limit_leave_nothing():
    assert counted(BY_THE_MINUTE, 1_000, 1_000, now=NOW).remaining == 0


# --- From what is recorded -------------------------------------------------------------------------------------------


def call(integration: Integration, ago: timedelta = timedelta(0), **fields) -> None:
    fields = {"endpoint": "/x", "method": "GET", "status_code": 200, "response_time_ms": 5, **fields}
    ApiMetric.objects.create(integration=integration, created_at=NOW - ago, **fields)


@pytest.mark.django_db
def test_the_newest_answer_that_told_counts(registry):
    crm = registry["zoho-crm"]
    call(crm, 50 * MINUTE, rate_limit_remaining=9_000)
    call(crm, 40 * MINUTE, rate_limit_remaining=8_800)
    call(crm, MINUTE, rate_limit_remaining=8_000)
    call(crm)  # an answer without that header
    stand = quota.quotas([crm], now=NOW)[crm.pk]
    assert (stand.remaining, stand.limit, stand.told) == (8_000, 50_000, True)
    assert stand.per_hour == pytest.approx(1_200)
    assert stand.runs_out_at == NOW + HOUR * 8_000 / 1_200


@pytest.mark.django_db
def test_only_what_has_gone_since_it_started_anew_is_speed(registry):
    crm = registry["zoho-crm"]
    for ago, remaining in ((59, 300), (41, 10), (40, 50_000), (20, 49_000)):
        call(crm, ago * MINUTE, rate_limit_remaining=remaining)
    assert quota.quotas([crm], now=NOW)[crm.pk].per_hour == pytest.approx(1_500)


@pytest.mark.django_db
def test_what_was_told_of_a_window_that_is_over_is_forgotten(registry):
    didit = registry["didit-kyc"]
    call(didit, 50 * MINUTE / 60, rate_limit_remaining=1, rate_limit_limit=300, rate_limit_reset_at=NOW - MINUTE / 60)
    stand = quota.quotas([didit], now=NOW)[didit.pk]
    assert (stand.told, stand.remaining) == (False, 299)
    call(didit, 10 * MINUTE / 60, rate_limit_remaining=290, rate_limit_reset_at=NOW + MINUTE / 2)
    stand = quota.quotas([didit], now=NOW)[didit.pk]
    assert (stand.told, stand.remaining, stand.resets_at) == (True, 290, NOW + MINUTE / 2)
    later = quota.quotas([didit], now=NOW + 2 * MINUTE)[didit.pk]
    assert (later.told, later.remaining, later.resets_at) == (False, 300, None)


@pytest.mark.django_db
def test_where_each_endpoint_has_a_limit_the_busiest_counts(registry):
    sign, google = registry["zoho-sign"], registry["google-maps"]
    for row in (sign, google):
        for n in range(6):
            call(row, endpoint="/a" if n < 4 else "/b")
        call(row, 2 * MINUTE)
    found = quota.quotas([sign, google], now=NOW)
    assert (found[sign.pk].limit, found[sign.pk].remaining) == (50, 46)
    assert (found[google.pk].limit, found[google.pk].remaining) == (3000, 2994)


@pytest.mark.django_db
def test_one_query_does_for_all_and_who_has_no_limit_has_no_quota(registry, django_assert_num_queries):
    rows = [*registry.values(), *(IntegrationFactory() for _ in range(20))]
    with django_assert_num_queries(1):
        found = quota.quotas(rows, now=NOW)
    assert set(found) == {row.pk for row in registry.values() if row.spec.limit}
    assert registry["netcash"].pk not in found
    with django_assert_num_queries(0):
        assert quota.quotas([registry["netcash"]], now=NOW) == {}


# --- For a check -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_check_goes_by_the_very_answer_and_asks_nobody(registry, django_assert_num_queries):
    """What was recorded of it may not be written yet."""
    didit = registry["didit-kyc"]
    call(didit, rate_limit_remaining=299, rate_limit_limit=300)
    with django_assert_num_queries(0):
        seen = look.quota_seen(didit, didit.spec, http.Rate(limit=300, remaining=12, resets_at=NOW))
    assert (seen.remaining, seen.limit, seen.reset_at) == (12, 300, NOW)


@pytest.mark.django_db
def test_what_only_we_have_counted_says_nothing_of_health(registry):
    """An integration that can't be checked must not be healthy for having called nobody."""
    google = registry["google-maps"]
    assert look.quota_seen(google, google.spec) is None


@pytest.mark.django_db(transaction=True)
def test_a_real_answer_hands_its_headers_on(sandbox, registry):
    seen = look.at_one(registry["didit-kyc"], None)
    assert seen.api.finding == "ok"
    told_by = ApiMetric.objects.get(integration=registry["didit-kyc"])
    assert (seen.quota.remaining, seen.quota.limit) == (told_by.rate_limit_remaining, told_by.rate_limit_limit)
