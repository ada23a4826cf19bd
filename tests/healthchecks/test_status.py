"""The rules, one by one."""

from datetime import UTC, datetime, timedelta

import pytest

from healthchecks.status import ApiSeen, GrantSeen, QuotaSeen, Seen, WebhooksSeen, judge, span

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

OK = ApiSeen(finding="ok", status_code=200, elapsed_ms=120)
GRANT = GrantSeen(expires_at=NOW + timedelta(minutes=52))


@pytest.mark.parametrize(
    ("seen", "status", "rule", "says"),
    [
        # down
        (
            Seen(grant=GrantSeen(trouble="The grant is gone", dead=True), api=OK),
            "down",
            "grant_dead",
            "The grant is gone.",
        ),
        (
            Seen(grant=GrantSeen(trouble="HTTP 503", expires_at=NOW - HOUR)),
            "down",
            "token_expired",
            "The token has expired and could not be renewed: HTTP 503",
        ),
        (
            Seen(api=ApiSeen(finding="unreachable", words="no answer")),
            "down",
            "api_unreachable",
            "can't be reached: no answer",
        ),
        (
            Seen(api=ApiSeen(finding="refused", words="bad key", status_code=401)),
            "down",
            "credentials_refused",
            "(HTTP 401): bad key",
        ),
        (
            Seen(api=ApiSeen(finding="failed", words="oops", status_code=503)),
            "down",
            "api_failing",
            "(HTTP 503): oops",
        ),
        (
            Seen(webhooks=WebhooksSeen(silence_hours=48, last_processed_at=NOW - 51 * HOUR)),
            "down",
            "silence",
            "No payment notice since 2026-11-20 11:00 SAST; more than 48 h is too long.",
        ),
        # degraded
        (
            Seen(api=OK, webhooks=WebhooksSeen(received=10, failed=3)),
            "degraded",
            "webhook_failures",
            "3 of 10 webhooks failed",
        ),
        (
            Seen(grant=GrantSeen(expires_at=NOW + 5 * HOUR, renews_itself=False), api=OK),
            "degraded",
            "token_dying",
            "ends at 19:00 SAST and nothing renews it",
        ),
        (
            Seen(grant=GrantSeen(expires_at=NOW + HOUR, last_error="HTTP 503"), api=OK),
            "degraded",
            "refresh_failed",
            "still lives, but its last renewal failed: HTTP 503",
        ),
        (Seen(api=ApiSeen(finding="ok", elapsed_ms=5001)), "degraded", "api_slow", "took 5.0 s; over 5 s is slow"),
        (Seen(api=ApiSeen(finding="throttled", status_code=418)), "degraded", "throttled", "slow down (HTTP 418)"),
        (
            Seen(api=OK, quota=QuotaSeen(remaining=19, limit=100)),
            "degraded",
            "quota_low",
            "19 of 100 requests are left (19 %)",
        ),
        # healthy
        (Seen(api=OK), "healthy", "checks_passed", "The API answered in 120 ms."),
        (Seen(grant=GRANT, api=OK), "healthy", "checks_passed", "The token is valid until 14:52 SAST."),
        (Seen(api=ApiSeen(finding="ok", elapsed_ms=5000)), "healthy", "checks_passed", "5000 ms"),
        (Seen(api=OK, quota=QuotaSeen(remaining=20, limit=100)), "healthy", "checks_passed", "20 of 100"),
        (
            Seen(api=OK, webhooks=WebhooksSeen(received=10, failed=2)),
            "healthy",
            "checks_passed",
            "10 webhooks in the last 24 h, 2 failed",
        ),
        (Seen(api=OK, webhooks=WebhooksSeen(received=4, failed=4)), "healthy", "checks_passed", "4 webhooks"),
        (
            Seen(webhooks=WebhooksSeen(silence_hours=48, last_processed_at=NOW - 2 * HOUR, received=1)),
            "healthy",
            "checks_passed",
            "The last payment notice came at 12:00 SAST.",
        ),
        (
            Seen(api=ApiSeen(finding="skipped", words="RESEND_API_KEY not set"), webhooks=WebhooksSeen(received=1)),
            "healthy",
            "checks_passed",
            "1 webhook in the last 24 h",
        ),
        # unknown
        (Seen(), "unknown", "nothing_to_check", "nothing that could be checked"),
        (
            Seen(api=ApiSeen(finding="skipped", words="RESEND_API_KEY not set")),
            "unknown",
            "nothing_to_check",
            "The API was not probed: RESEND_API_KEY not set.",
        ),
        (
            Seen(grant=GrantSeen(trouble="never connected", absent=True)),
            "unknown",
            "nothing_to_check",
            "never connected.",
        ),
        (
            Seen(webhooks=WebhooksSeen(silence_hours=48)),
            "unknown",
            "nothing_to_check",
            "No payment notice has ever come.",
        ),
        (
            Seen(webhooks=WebhooksSeen(secret_missing="RESEND_WEBHOOK_SECRET")),
            "unknown",
            "nothing_to_check",
            "turned away: RESEND_WEBHOOK_SECRET is not set",
        ),
    ],
)
def test_each_rule_decides_and_says_so(seen, status, rule, says):
    verdict = judge(seen, now=NOW)
    assert (verdict.status, verdict.rule) == (status, rule)
    assert says in verdict.reason


def test_the_worst_layer_decides_and_every_layer_is_told():
    seen = Seen(
        grant=GRANT,
        api=ApiSeen(finding="failed", status_code=500),
        webhooks=WebhooksSeen(received=10, failed=10),
        quota=QuotaSeen(remaining=1, limit=100),
    )
    verdict = judge(seen, now=NOW)
    assert verdict.rule == "api_failing"
    assert [(layer.layer, layer.status) for layer in verdict.layers] == [
        ("grant", "healthy"), ("api", "down"), ("webhooks", "degraded"), ("quota", "degraded"),
    ]  # fmt: skip


def test_a_renewal_in_trouble_is_no_outage_while_the_token_lives():
    verdict = judge(Seen(grant=GrantSeen(trouble="HTTP 503", expires_at=NOW + timedelta(minutes=3)), api=OK), now=NOW)
    assert (verdict.status, verdict.rule) == ("degraded", "refresh_failed")


def test_every_reason_is_a_sentence():
    for finding in ("ok", "refused", "throttled", "failed", "unreachable", "skipped"):
        assert judge(Seen(api=ApiSeen(finding=finding, words="words")), now=NOW).reason.endswith(".")


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (timedelta(seconds=20), "0 min"),
        (timedelta(minutes=52), "52 min"),
        (timedelta(hours=3, minutes=10), "3 h"),
        (timedelta(hours=51), "2 days"),
        (timedelta(seconds=-5), "0 min"),
    ],
)
def test_times_are_said_as_people_say_them(delta, words):
    assert span(delta) == words
