"""`make fuzz`: every operation of the API document, with what nobody would think of, against the running system.

As a Super Admin whose token may do what is dangerous, and as an Operations Manager; once to rows that are there, once
to whatever comes up. Nothing may break (5xx), nothing may be answered that the document doesn't say.
`make fuzz EXAMPLES=100 SECONDS=3600` looks longer, `make fuzz ONLY=webhooks` at a part.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

from tests import services
from tests.flows.system import System, running

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method", "ignored_auth",
)  # fmt: skip
PEOPLE = {"Super Admin": ("--scope", "dangerous"), "Operations Manager": ()}


def main(examples: int, seconds: int, only: str, seed: int) -> int:
    """`seconds`: for each of the four runs."""
    engine = "postgresql" if services.postgres() and services.redis() else "sqlite"
    rates = {"API_READ_RATE": "1000000/min", "API_ACTION_RATE": "1000000/min"}
    with tempfile.TemporaryDirectory() as place, running(Path(place), engine, **rates) as system:
        system.manage("shell", "-v0", "-c", "from tests import fuzz; fuzz.fill()")
        there = json.loads(system.manage("shell", "-v0", "-c", "from tests import fuzz; print(fuzz.there())"))
        failed = [
            f"{role}, {'what is there' if known else 'whatever it likes'}"
            for role, scopes in PEOPLE.items()
            for known in (there, {})
            if not clean(
                system, Path(place), role, scopes, known, examples=examples, seconds=seconds, only=only, seed=seed
            )
        ]
        broken = [
            line for line in system.said().splitlines() if re.search(r'"level": ?"(error|critical)"|Traceback', line)
        ]
    print(f"{engine}: {'; '.join(failed) or 'nothing found'}; {len(broken)} errors in the log")
    print(*broken[:5], sep="\n")
    return bool(failed or broken)


def clean(
    system: System, place: Path, role: str, scopes: tuple[str, ...], known: dict[str, str],
    *, examples: int, seconds: int, only: str, seed: int,
) -> bool:  # fmt: skip
    """Whether a run found nothing. `known`: values of path parameters; without them they are made up."""
    token = system.manage("create_api_token", role.replace(" ", "-"), *scopes).strip()
    config = place / "schemathesis.toml"
    config.write_text("[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in known.items()))
    headers = {"Authorization": f"Bearer {token}"}
    document = place / "openapi.json"
    document.write_text(requests.get(f"{system.url}/api/schema?format=json", headers=headers, timeout=30).text)
    print(f"\n=== {role}, {'what is there' if known else 'whatever it likes'}", flush=True)
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(document),
            "--url", system.url, "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS),
            "--max-examples", str(examples), "--seed", str(seed), "--max-time", str(seconds), "--no-shrink",
            "--continue-on-failure", "--workers", "2", "--warnings", "off", "--no-color",
            "--generation-database", "none", "--suppress-health-check", "all", "--request-timeout", "20",
            *(("--include-path-regex", only) if only else ()),
        ],
        cwd=place, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    return done.returncode == 0


# --- In the running system (`manage.py shell`) -----------------------------------------------------------------------


def fill() -> None:
    """Two days of a small company, and who asks."""
    from django.contrib.auth.models import Group

    from integrations.accounts.models import User
    from tests.pictures import life

    life.make(days=2)
    for role in PEOPLE:
        name = role.replace(" ", "-")
        User.objects.create_user(name, f"{name}@example.com").groups.add(Group.objects.get(name=role))


def there() -> str:
    """A value for each path parameter that leads to something, as JSON."""
    from tests.config.test_access import things

    return json.dumps({name.partition(":")[2]: str(value) for name, value in things().items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(main(**vars(parser.parse_args())))
