"""Ten thousand events replayed by filter while the worker is killed again and again."""

import time

import requests

from tests.faults.load import flood, processed, signed
from tests.flows.system import System, running

EVENTS = 10_000
LOGS = "integration_webhook_logs"


def call(system: System, method: str, path: str, **told: object) -> requests.Response:
    answer = requests.request(
        method,
        f"{system.url}/api/admin/integrations{path}",
        headers={"Authorization": f"Bearer {system.token}"},
        timeout=30,
        **told,
    )
    answer.raise_for_status()
    return answer


def test_a_replay_of_ten_thousand_survives_the_death_of_its_worker(tmp_path):
    with running(tmp_path, "postgresql", SANDBOX="0", API_READ_RATE="10000/min") as system:
        taken = flood(system, (signed(f"event_{n:06}") for n in range(EVENTS)))
        system.wait_until(lambda: processed(system, "event") == EVENTS, seconds=120, what="all of them")
        wanted = {"filter": {"integration": "resend", "status": "processed"}}
        count = call(system, "POST", "/webhooks/replay?dryRun=true", json=wanted).json()
        began = time.monotonic()
        batch = call(system, "POST", "/webhooks/replay", json=wanted).json()["batchId"]
        answered = time.monotonic() - began
        seen, killed = [], 0
        while True:
            progress = call(system, "GET", f"/webhooks/replays/{batch}").json()
            seen.append((round(time.monotonic() - began, 1), progress["queued"], progress["processed"]))
            if progress["status"] == "done" and progress["pending"] == 0:
                break
            assert time.monotonic() - began < 300, progress
            if killed < 4 and progress["queued"] > killed * EVENTS // 5 and system.child(" worker "):
                system.kill_child(" worker ")
                killed += 1
            time.sleep(0.5)
        made, originals = system.rows(
            f"SELECT COUNT(*), COUNT(DISTINCT replay_of) FROM {LOGS} WHERE replay_of IS NOT NULL"
        )[0]
        done = system.rows(f"SELECT COUNT(*) FROM {LOGS} WHERE replay_of IS NOT NULL AND status = 'processed'")[0][0]
        one = system.rows(f"SELECT CAST(id AS VARCHAR(36)), CAST(webhook_id AS VARCHAR(36)) FROM {LOGS} LIMIT 1")[0]
        began = time.monotonic()
        single = call(system, "POST", f"/webhooks/{one[1]}/replay", json={"logId": one[0]}).json()
        alone = time.monotonic() - began
    print(
        f"\ntaken in: {taken}\ncounted first: {count}; answered in {answered:.2f} s; worker killed {killed} times\n"
        f"(seconds, queued, processed): {seen[:: max(1, len(seen) // 12)]} ... {seen[-1]}\n"
        f"made {made}, of {originals} originals, {done} processed; one alone in {alone:.2f} s: {single}"
    )
    assert killed >= 3
    assert (made, originals, done, count["queued"]) == (EVENTS, EVENTS, EVENTS, EVENTS)
