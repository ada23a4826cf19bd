"""A hundred thousand forged posts, and an hour with the wrong secret."""

import json
import random
import time
from collections.abc import Iterator

from tests.faults.load import RECEIVER, Delivery, flood, processed, signed, steadily
from tests.flows.system import RESEND_SECRET, running

FORGED = 100_000
SOURCES = 5_000
"""So many that no limit by source helps: the forger's best day."""


def forgeries(number: int) -> Iterator[Delivery]:
    for n in range(number):
        headers, body = signed(f"forged_{n:06}") if n % 1000 == 0 else ({}, b"")
        if not headers:
            headers = {
                "content-type": "application/json",
                "svix-id": f"forged_{n:06}",
                "svix-timestamp": str(int(time.time())),
                "svix-signature": "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            }
            body = json.dumps({"type": "email.delivered", "data": {"n": n, "padding": "x" * 700}}).encode()
        else:
            body += b" "
        address = random.Random(n).randrange(SOURCES)
        yield headers | {"x-forwarded-for": f"198.18.{address // 250}.{address % 250}"}, body


def test_a_hundred_thousand_forged_posts_leave_bounded_traces_and_harm_nobody(tmp_path):
    with running(tmp_path, "postgresql", TRUSTED_PROXIES="127.0.0.1/32") as system:
        entries = system.rows("SELECT COUNT(*) FROM integration_activity_log")[0][0]
        with steadily(system, per_second=20, prefix="beside") as genuine:
            began = time.monotonic()
            forged = flood(system, forgeries(FORGED))
            took = time.monotonic() - began
        system.wait_until(lambda: processed(system, "beside") == genuine.statuses[200], seconds=90, what="all of them")
        time.sleep(12)  # counts are written every ten seconds
        kept, hours = system.rows(
            "SELECT (SELECT COUNT(*) FROM integration_webhook_quarantine), COUNT(*) FROM integration_webhook_refusals"
        )[0]
        tallies = system.rows("SELECT reasons FROM integration_webhook_refusals")
        counted = sum(number for (reasons,) in tallies for number in reasons.values())
        more = system.rows("SELECT COUNT(*) FROM integration_activity_log")[0][0] - entries
        logs = system.rows("SELECT COUNT(*) FROM integration_webhook_logs WHERE idempotency_key LIKE '%forged%'")[0][0]
        proof = system.manage("verify_activity")
    print(
        f"\n{FORGED:,} forged in {took:.0f} s: {forged}\ngenuine beside them: {genuine}\n"
        f"kept {kept} in {hours} hour(s), counted {counted:,}; {more} activity entries, {logs} logs\n{proof}"
    )
    assert forged.statuses.total() == counted == FORGED
    assert set(forged.statuses) <= {401, 429}
    assert set(genuine.statuses) == {200}
    assert kept <= 100 * hours
    assert more <= 2 * (took / 60 + 2)
    assert logs == 0


def test_what_was_genuine_while_the_secret_was_wrong_is_recovered_and_nothing_else(tmp_path):
    """The hour is six minutes: longer than the five after which a signature would be stale."""
    wrong = "whsec_d3Jvbmctc2lnbmluZy1rZXktMjRieXRlcyEh"
    with running(tmp_path, "postgresql", RESEND_WEBHOOK_SECRET=wrong) as system:
        genuine = [signed(f"genuine_{n:06}") for n in range(60)]
        forged = [(headers | {"svix-id": f"forged_{n:06}"}, body) for n, (headers, body) in enumerate(genuine[:40])]
        mixed = [*genuine, *forged]
        random.Random(1).shuffle(mixed)
        refused = flood(system, iter(mixed), connections=4)
        time.sleep(360)
        system.stop()
        system.env |= {"RESEND_WEBHOOK_SECRET": RESEND_SECRET}
        system.start()
        said = system.manage("reverify_webhooks", RECEIVER)
        again = system.manage("reverify_webhooks", RECEIVER)
        system.wait_until(lambda: processed(system, "genuine") == 60, seconds=60, what="the genuine ones")
        late = processed(system, "forged")
    print(f"\n{refused}\n{said}{again}")
    assert refused.statuses == {401: 100}
    assert late == 0
    assert said.startswith("60 released (0 of them had come another way), 40 still refused")
    assert again.startswith("0 released")
