"""Ninety days of deliveries and what goes with them, made by PostgreSQL itself: a couple of minutes for a million.

All tables are filled in the order of time, as they would have grown. Payloads have 1.4 KB in the newest week and
0.3 KB before, so that two million rows stay under 4 GB: only payloads of a week are ever looked into.
"""

from typing import Any

import psycopg

DAYS = 90

# Of a hundred deliveries. Busy and quiet ones: a quiet receiver must not be slow because others are busy.
SHARES = {
    "/api/webhooks/resend": 40, "/api/webhooks/clickatell": 20, "/api/webhooks/zoho/crm": 15,
    "/api/webhooks/zoho/billing": 9, "/api/webhooks/netcash": 8, "/api/webhooks/zoho/desk": 5,
    "/api/webhooks/zoho/sign": 2, "/api/webhooks/didit/kyc": 1,
}  # fmt: skip

_EMPTIED = "integration_webhook_logs, integration_api_metrics, integration_metric_rollups, integration_metric_hours, \
integration_metric_daily_rollups, integration_metric_days, \
integration_health_checks, integration_status_changes, integration_cron_runs, integration_webhook_quarantine"

_ID = """(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
    || '8' || substr(md5(random()::text), 1, 15))::uuid"""
"""A UUID version 7 of that moment."""

_LOGS = f"""
INSERT INTO integration_webhook_logs (id, webhook_id, event_type, payload, body, query_string, headers, status,
    verified, verification, denied, idempotency_key, claims_key, processing_time_ms, error_message, traceback,
    created_at, processed_at, sent_at, stored_at, forwards, is_test, duplicate_of, due_at, attempts, retry_count)
SELECT {_ID.format(at="at")}, webhook, type, said, convert_to(said::text, 'UTF8'), '',
    jsonb_build_object('host', 'integrations.example.com', 'content-type', 'application/json',
        'user-agent', 'Svix-Webhooks/1.62.0', 'svix-id', 'msg_' || key, 'svix-signature', '[redacted]'),
    status, true, 'Standard Webhooks v1 in svix-signature', false, 'evt_' || key, status <> 'duplicate',
    (random() * 90)::int, CASE WHEN status = 'failed'
        THEN 'The service answered HTTP 503 for order ' || substr(key, 1, 8) || '.' ELSE '' END, '',
    at, CASE WHEN status IN ('processed', 'duplicate') THEN at + interval '2 seconds' END,
    at - interval '1 second', at, true, random() < 0.001, CASE WHEN status = 'duplicate' THEN gen_random_uuid() END,
    CASE WHEN status = 'pending' THEN at WHEN status = 'failed' AND at > %(now)s - interval '1 day'
        THEN at + interval '1 day' END,
    CASE status WHEN 'failed' THEN 4 WHEN 'pending' THEN 0 ELSE 1 END,
    CASE status WHEN 'failed' THEN 3 ELSE 0 END
FROM (
    SELECT at, webhook, key, types[1 + floor(cardinality(types) * power(random(), 2))::int] AS type,
        CASE WHEN n > %(total)s - 200 THEN 'pending' WHEN dice < 0.02 THEN 'failed' WHEN dice < 0.05 THEN 'duplicate'
            ELSE 'processed' END AS status,
        jsonb_build_object('id', key, 'created_at', at, 'data', jsonb_build_object('reference', 'CT-' || n,
            'amount', n %% 5000, 'subject', 'Your invoice', 'note', repeat('v', 60),
            'rows', CASE WHEN at > %(now)s - interval '7 days' THEN jsonb_build_array(
                md5(key || 1), md5(key || 2), md5(key || 3), md5(key || 4), repeat('w', 500), repeat('x', 400))
                ELSE '[]' END)) AS said
    FROM (
        SELECT n, md5(n::text) AS key, random() AS dice, (n::bigint * 7919 %% 100)::int AS place,
            %(now)s - interval '{DAYS} days' * (1 - n::float / %(total)s) AS at
        FROM generate_series(1, %(total)s) AS n
    ) AS numbered JOIN bench_places USING (place)
    ORDER BY n
) AS made
"""

_OTHERS = (
    f"""INSERT INTO integration_webhook_attempts (id, log_id, target, at, duration_ms, error, answer)
    SELECT {_ID.format(at="created_at")}, id, 'handler', created_at, 12, error_message, ''
    FROM integration_webhook_logs, generate_series(1, 4) AS nth
    WHERE status = 'failed' OR (nth = 1 AND idempotency_key < 'evt_1') ORDER BY created_at""",
    f"""INSERT INTO integration_webhook_forwards (id, log_id, webhook_id, url, status, status_code, error_message,
        created_at, done_at, due_at, attempts, retry_count)
    SELECT {_ID.format(at="created_at")}, id, webhook_id, 'https://crm.example.com/in', kind, 200, '', created_at,
        CASE kind WHEN 'delivered' THEN created_at END,
        CASE WHEN kind = 'failed' AND created_at > now() - interval '1 day' THEN now() + interval '1 hour' END, 1, 0
    FROM (SELECT *, CASE WHEN random() < 0.02 THEN 'failed' ELSE 'delivered' END AS kind
        FROM integration_webhook_logs WHERE status = 'processed' AND idempotency_key < 'evt_2') AS sent
    ORDER BY created_at""",
    f"""INSERT INTO integration_api_metrics (id, integration_id, endpoint, method, status_code, response_time_ms,
        rate_limit_remaining, rate_limit_limit, error_message, source, created_at)
    SELECT {_ID.format(at="at")}, ids[1 + n %% cardinality(ids)], '/v1/' || n %% 9, 'GET',
        CASE WHEN bad THEN 503 ELSE 200 END, (80 + random() * 400)::int, 900, 1000,
        CASE WHEN bad THEN 'HTTP 503' ELSE '' END, CASE WHEN n %% 10 = 0 THEN 'probe' ELSE 'call' END, at
    FROM (SELECT n, random() < 0.01 AS bad, %(now)s - interval '{DAYS} days' * (1 - n::float / %(total)s) AS at
        FROM generate_series(1, %(total)s) AS n) AS calls, (SELECT array_agg(id) AS ids FROM integration_registry) AS r
    ORDER BY n""",
    f"""INSERT INTO integration_health_checks (id, integration_id, status, rule, reason, layers, response_time_ms,
        trigger, created_at)
    SELECT {_ID.format(at="at")}, ids[1 + n %% cardinality(ids)], 'healthy', 'checks_passed', 'The API answered.',
        '[{{"layer": "api", "status": "healthy", "seen": "answered in 120 ms", "rule": "checks_passed"}}]', 120,
        'sweep', at
    FROM (SELECT n, %(now)s - interval '{DAYS} days' * (1 - n::float / (%(total)s / 20)) AS at
        FROM generate_series(1, %(total)s / 20) AS n) AS c,
        (SELECT array_agg(id) AS ids FROM integration_registry) AS r ORDER BY n""",
    f"""INSERT INTO integration_status_changes (id, integration_id, old_status, new_status, reason, at,
        gap)
    SELECT {_ID.format(at="at")}, ids[1 + n %% cardinality(ids)], 'healthy', 'degraded', 'It was slow.', at, false
    FROM (SELECT n, %(now)s - interval '{DAYS} days' * (1 - n::float / (%(total)s / 2000)) AS at
        FROM generate_series(1, %(total)s / 2000) AS n) AS c,
        (SELECT array_agg(id) AS ids FROM integration_registry) AS r ORDER BY n""",
    f"""INSERT INTO integration_webhook_quarantine (id, webhook_id, reason, detail, body, sealed, truncated,
        user_agent, created_at)
    SELECT {_ID.format(at="at")}, webhook, 'no_signature', '', 'x', '', false, 'curl', at
    FROM (SELECT (n %% 100)::int AS place, %(now)s - interval '7 days' * (1 - n::float / (%(total)s / 200)) AS at
        FROM generate_series(1, %(total)s / 200) AS n) AS c JOIN bench_places USING (place) ORDER BY at""",
    # Three of four are of the job that runs each minute: at two million deliveries 125,000 runs, its ninety days.
    f"""INSERT INTO integration_cron_runs (id, job_id, scheduled_for, status, trigger, triggered_by, reason, arguments,
        cancelled_by, picked_up_at, started_at, duration_ms, result_summary, error_message, traceback)
    SELECT {_ID.format(at="at")}, CASE WHEN n %% 4 > 0 THEN busy ELSE ids[1 + n / 4 %% cardinality(ids)] END, at,
        CASE WHEN dice < 0.01 THEN 'failed' WHEN dice < 0.02 THEN 'missed' ELSE 'success' END, 'schedule', '', '',
        '{{}}', '', at, at, 40, '{{"message": "12 events processed."}}', '', ''
    FROM (SELECT n, random() AS dice, %(now)s - interval '{DAYS} days' * (1 - n::float / (%(total)s / 12)) AS at
        FROM generate_series(1, %(total)s / 12) AS n) AS c,
        (SELECT array_agg(id) FILTER (WHERE job_name <> 'webhooks-process-due') AS ids,
            (array_agg(id) FILTER (WHERE job_name = 'webhooks-process-due'))[1] AS busy
        FROM integration_cron_jobs) AS r ORDER BY n""",
    # Append-only, so what the smaller size wrote stays: its times come twice.
    f"""INSERT INTO integration_activity_log (id, seq, integration_slug, username, action, outcome, details,
        user_agent, request_id, created_at, hash)
    SELECT {_ID.format(at="at")}, n, slugs[1 + n %% cardinality(slugs)], 'person' || n %% 20, 'webhook_replayed',
        'success', '{{"webhook": "/api/webhooks/resend"}}', 'Mozilla/5.0', '', at, md5(n::text)
    FROM (SELECT n, %(now)s - interval '{DAYS} days' * (1 - n::float / (%(total)s / 20)) AS at
        FROM generate_series((SELECT coalesce(max(seq), 0) + 1 FROM integration_activity_log), %(total)s / 20) AS n
        ) AS c, (SELECT array_agg(slug) AS slugs FROM integration_registry) AS r ORDER BY n""",
)


def fill(connection: "psycopg.Connection[Any]", total: int) -> None:
    """Replace what is there by `total` deliveries, `total` calls, and a proportion of everything else."""
    connection.execute(f"TRUNCATE {_EMPTIED} CASCADE")
    _places(connection)
    row = connection.execute("SELECT now() - interval '1 minute'").fetchone()
    assert row
    for statement in (_LOGS, *_OTHERS):
        # `%` is doubled in all of them, parameters or not.
        connection.execute(statement, {"total": total, "now": row[0]})
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _places(connection: "psycopg.Connection[Any]") -> None:
    """Which receiver has which of a hundred places in line, and what types of events it gets."""
    connection.execute("DROP TABLE IF EXISTS bench_places")
    connection.execute("CREATE TEMP TABLE bench_places (place int PRIMARY KEY, webhook uuid, types text[])")
    place = 0
    for url, share in SHARES.items():
        connection.execute(
            """INSERT INTO bench_places SELECT %(place)s + n, id,
                COALESCE(NULLIF(ARRAY(SELECT jsonb_array_elements_text(event_types)), '{}'), ARRAY['event'])
            FROM integration_webhooks, generate_series(0, %(share)s - 1) AS n WHERE webhook_url = %(url)s""",
            {"place": place, "share": share, "url": url},
        )
        place += share
