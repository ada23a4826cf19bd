"""Whatever is sent to a receiver, it is answered, and never by a failure of ours.

HOSTILE_SECONDS makes it go on for that long (`make faults WHAT=hostile`).
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from integrations import http
from integrations.providers import PROVIDERS, get
from integrations.providers.spec import Delivery
from tests.providers.signatures.test_any_bytes import BODIES, HEADERS, JSON, LATIN, PROOFS
from tests.webhooks.conftest import SECRETS, raw, signed
from tests.webhooks.sender import Sender
from webhooks.models import WebhookLog
from webhooks.services import keys
from webhooks.sources import Sources

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("secrets", "nobody_answers")]

PATHS = {provider.slug: provider.webhook.path for provider in PROVIDERS if provider.webhook}
SIGNED = [slug for slug in PATHS if get(slug).webhook.method != "jwt"]  # Zoho's private key isn't ours
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "0"))
TEXT = LATIN.map(lambda text: text.replace("\r", "").replace("\n", ""))
TOKENS = st.sampled_from(HEADERS) | st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
MOMENTS = st.integers(-(2**70), 2**70).map(str) | st.floats().map(str) | TEXT
ROWS_KEPT = 300


@pytest.fixture
def nobody_answers(monkeypatch) -> None:
    """Zoho's keys can be had, and none of them fits."""
    monkeypatch.setattr(keys, "_fetch", lambda route, url: {"keys": []})
    monkeypatch.setattr(http, "send", lambda *args, **kwargs: pytest.fail("a stranger made us call somebody"))


@pytest.fixture
def sender(registry) -> Iterator[Sender]:
    keys._kept.clear()
    one = Sender()
    one.lane._sources = Sources(0)
    yield one
    one.stop()
    keys._kept.clear()


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[str, Delivery]:
    """A receiver, and noise; or what its provider would send, one part of it spoilt; or genuinely signed nonsense."""
    slug = draw(st.sampled_from(sorted(PATHS)))
    kind = draw(st.sampled_from(["noise", "spoilt", "nonsense", "bytes", "moment"]))
    if kind == "noise" or (kind != "bytes" and slug not in SIGNED):
        headers = draw(st.dictionaries(TOKENS, PROOFS | TEXT, max_size=6))
        return slug, Delivery(body=draw(BODIES), headers=sendable(headers), query=draw(LATIN))
    if kind == "bytes":
        return "resend", raw(draw(BODIES), delivery_id=draw(st.from_regex(r"[!-~]{1,300}", fullmatch=True)))
    if kind == "nonsense":
        payload = draw(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
        return slug, get(slug).webhook.sign(
            payload, SECRETS[get(slug).webhook.secret_env], now=timezone.now().timestamp(), delivery_id="x"
        )
    genuine = signed(slug, now=timezone.now() + timedelta(seconds=draw(st.integers(-700, 700))))
    if kind == "moment":
        names = [name for name in genuine.headers if "time" in name] or list(genuine.headers)
        changed = {draw(st.sampled_from(names)): draw(MOMENTS)}
        return slug, Delivery(body=genuine.body, headers=genuine.headers | sendable(changed), query=genuine.query)
    cut, other = draw(st.integers(0, len(genuine.body))), draw(st.integers(0, 40))
    body = genuine.body[:cut] + draw(st.binary(max_size=5)) + genuine.body[cut + other :]
    return slug, Delivery(body=body, headers=genuine.headers, query=draw(LATIN))


def sendable(headers: dict[str, str]) -> dict[str, str]:
    """What HTTP can carry."""
    return {name: "".join(c for c in value if ord(c) < 256 and c not in "\r\n") for name, value in headers.items()}


def test_no_bytes_headers_or_timestamps_are_a_failure_of_ours(sender):
    seen: Counter[tuple[str, int]] = Counter()

    @settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(one=deliveries())
    def attack(one: tuple[str, Delivery]) -> None:
        slug, delivery = one
        assume(len(delivery.body) < 2**20)
        answer = sender.post(delivery, PATHS[slug])
        seen[slug, answer.status] += 1
        assert answer.status in (200, 401, 415), answer
        if answer.status == 200:
            assert WebhookLog.objects.filter(pk=json.loads(answer.body)["logId"]).exists()
        if seen.total() % ROWS_KEPT == 0:
            WebhookLog.objects.all().delete()  # among them NetCash's, of which only so many may wait

    began = time.monotonic()
    while True:
        seed(random.getrandbits(64) if SECONDS else 1)(attack)()
        if time.monotonic() - began >= SECONDS:
            break
    if SECONDS:
        table = "\n".join(f"{slug:14} {status}  {number:,}" for (slug, status), number in sorted(seen.items()))
        print(f"\n{seen.total():,} deliveries in {time.monotonic() - began:.0f} s\n{table}")
    assert {status for _, status in seen} >= {200, 401}
