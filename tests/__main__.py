"""`make test`: every test there is, against every real service that can be reached, and one line that says which.

With REQUIRE_REAL=1 (continuous integration) a missing PostgreSQL, Redis or Chromium is a failure, not a skip.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import services

WORKERS = os.environ.get("TEST_WORKERS", "2")
# Who may do what is the same on every database; what uses none is left out by tests/conftest.py.
ONCE = ["--ignore=tests/sandbox", "--ignore=tests/providers", "--ignore=tests/clients",
        "--ignore=tests/config/test_access.py"]  # fmt: skip
PLAIN = ["-m", "not browser and not processes", "-n", WORKERS]
BROWSER = ["-m", "browser", "-n", WORKERS]
PROCESSES = ["-m", "processes", "-n", WORKERS, "--dist", "loadgroup"]
PAUSE = 20  # seconds before what failed runs again: the turn of a minute, or a busy moment, is past then
FEW = 20  # failures that may be chance; more of them are not


@dataclass(frozen=True)
class Result:
    name: str
    passed: bool
    seconds: float
    flaky: tuple[str, ...]  # the tests that failed at first and passed when they ran again


def main() -> int:
    print("\n".join(services.report()[1:]), flush=True)
    if os.environ.get("REQUIRE_REAL") == "1" and not (services.postgres() and services.redis() and services.CHROMIUM):
        print("REQUIRE_REAL=1, but not all of them are there.")
        return 1
    phases: list[tuple[str, list[str], dict[str, str]]] = [("on SQLite", PLAIN, {})]
    if services.postgres():
        phases.append(("on PostgreSQL", [*PLAIN, *ONCE], {"TEST_ENGINE": "postgresql"}))
    phases += [("in the browser", BROWSER, {}), ("with real processes", PROCESSES, {})]
    results = [phase(*one) for one in phases]
    print()
    for result in results:
        print(f"{'passed' if result.passed else 'FAILED'}  {result.name:<20} {result.seconds:4.0f} s")
        for test in result.flaky:
            print(f"        flaky: {test}")
    missing = [what for what, there in (("PostgreSQL", services.postgres()), ("Redis", services.redis()),
                                        ("Chromium", services.CHROMIUM)) if not there]  # fmt: skip
    if missing:
        print(f"Not tested against: {', '.join(missing)} (not reachable).")
    return int(not all(result.passed for result in results))


def phase(name: str, args: list[str], env: dict[str, str]) -> Result:
    """Run it. A few failures run again, later, alone and in a new process where nothing of the first is left; one
    that passes then is told as flaky."""
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "pytest", "-q", *args, "-o", f"cache_dir={cache}"]
        code, failed = _run(command, env), _failed(cache)
        passed = code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if code == pytest.ExitCode.TESTS_FAILED and len(failed) <= FEW:
            print(f"\n=== {name}, again: {', '.join(failed)} ===", flush=True)
            time.sleep(PAUSE)
            again = ["-n", "0", "--last-failed", "--last-failed-no-failures", "none"]
            passed = _run([*command, *again], env) == pytest.ExitCode.OK
        still = _failed(cache)
    return Result(name, passed, time.monotonic() - started, tuple(one for one in failed if one not in still))


def _run(command: list[str], env: dict[str, str]) -> int:
    return subprocess.run(command, env={**os.environ, **env}, check=False).returncode


def _failed(cache: str) -> list[str]:
    kept = Path(cache, "v", "cache", "lastfailed")
    return sorted(json.loads(kept.read_bytes())) if kept.exists() else []


if __name__ == "__main__":
    sys.exit(main())
