"""A hundred integrations, a third of which hang: declared as data, and played by `crowd_server.py`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from integrations import providers
from integrations.models import Integration
from integrations.providers import answers
from integrations.providers.spec import Probe, Provider

MANNERS = {"ok": 0.45, "hang": 0.33, "reset": 0.11, "drip": 0.11}
"""How many of them behave how."""
STATUSES = {"ok": "healthy", "hang": "down", "reset": "down", "drip": "down"}

PLAIN = Provider(
    slug="crowd", name="Crowd", vendor="Crowd", category="coverage", icon="users", base_url_env="", base_url="",
    read=answers.rest("error"), probe=Probe(path="/ping"),
)  # fmt: skip


def manners(number: int) -> list[str]:
    """`number` of them, well mixed."""
    dealt = [manner for manner, share in MANNERS.items() for _ in range(round(share * number))]
    dealt = (dealt + ["ok"] * number)[:number]
    return [dealt[place * 37 % number] for place in range(number)] if number % 37 else dealt


@contextmanager
def gathered(monkeypatch: Any, url: str, *, number: int, timeout_s: float) -> Iterator[dict[str, str]]:
    """Integrations that are due, and no others that are active; by slug how each behaves."""
    crowd = {f"crowd-{place}": manner for place, manner in enumerate(manners(number))}
    declared = {
        slug: replace(
            PLAIN, slug=slug, base_url_env=f"WEBHOOK_{slug.upper().replace('-', '_')}_URL",
            probe=Probe(path="/ping", timeout_s=timeout_s),
        )
        for slug in crowd
    }  # fmt: skip
    monkeypatch.setattr(providers, "_BY_SLUG", providers._BY_SLUG | declared)
    for slug, manner in crowd.items():
        monkeypatch.setenv(declared[slug].base_url_env, f"{url}/{manner}/{slug}")
    Integration.objects.update(is_active=False)
    Integration.objects.bulk_create(
        Integration(slug=slug, name=slug, category="coverage", provider="Crowd") for slug in crowd
    )
    yield crowd


@contextmanager
def served() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.healthchecks.crowd_server"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()
