"""`make test`: every test there is, against every real service that can be reached, and one line that says which.

With REQUIRE_REAL=1 (continuous integration) a missing PostgreSQL, Redis or Chromium is a failure, not a skip.
"""

import os
import subprocess
import sys
import time

from tests import services

WORKERS = os.environ.get("TEST_WORKERS", "2")
# Who may do what is the same on every database; what uses none is left out by tests/conftest.py.
ONCE = ["--ignore=tests/sandbox", "--ignore=tests/providers", "--ignore=tests/clients",
        "--ignore=tests/config/test_access.py"]  # fmt: skip
PLAIN = ["-m", "not browser and not processes", "-n", WORKERS]
# A browser, a crew of processes, a small machine: what fails runs again a little later, and the summary tells.
BUSY = ["-n", WORKERS, "--reruns", "2", "--reruns-delay", "20", "-rR"]


def main() -> int:
    print("\n".join(services.report()[1:]), flush=True)
    if os.environ.get("REQUIRE_REAL") == "1" and not (services.postgres() and services.redis() and services.CHROMIUM):
        print("REQUIRE_REAL=1, but not all of them are there.")
        return 1
    phases: list[tuple[str, list[str], dict[str, str]]] = [("on SQLite", PLAIN, {})]
    if services.postgres():
        phases.append(("on PostgreSQL", [*PLAIN, *ONCE], {"TEST_ENGINE": "postgresql"}))
    phases += [
        ("in the browser", ["-m", "browser", *BUSY], {}),
        ("with real processes", ["-m", "processes", *BUSY, "--dist", "loadgroup"], {}),
    ]
    results = [(name, *phase(name, args, env)) for name, args, env in phases]
    print()
    for name, failed, seconds in results:
        print(f"{'FAILED' if failed else 'passed'}  {name:<20} {seconds:4.0f} s")
    missing = [what for what, there in (("PostgreSQL", services.postgres()), ("Redis", services.redis()),
                                        ("Chromium", services.CHROMIUM)) if not there]  # fmt: skip
    if missing:
        print(f"Not tested against: {', '.join(missing)} (not reachable).")
    return int(any(failed for _, failed, _ in results))


def phase(name: str, args: list[str], env: dict[str, str]) -> tuple[bool, float]:
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *args]
    done = subprocess.run(command, env={**os.environ, **env}, check=False)
    return done.returncode not in (0, 5), time.monotonic() - started  # 5: nothing to run


if __name__ == "__main__":
    sys.exit(main())
