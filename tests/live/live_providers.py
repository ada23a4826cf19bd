"""Each provider as it really is: our check of it, and what of its client only reads."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healthchecks import look
from integrations import credentials, http, providers
from integrations.actor import SYSTEM
from integrations.clients.base import Refusal
from integrations.clients.operations import find
from integrations.models import Integration
from oauth import flow
from oauth import services as oauth

pytestmark = pytest.mark.django_db(transaction=True)

REFRESH_TOKEN = "LIVE_ZOHO_REFRESH_TOKEN"
ZOHO = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", REFRESH_TOKEN)
READING = ("GET", "HEAD")
READING_POSTS = ("/oauth/v2/token", "/crm/v8/coql", "/v1/places:autocomplete", "/PayNow/TransactionStatus/Check")
"""What has to be asked with a POST, and changes nothing."""


@dataclass(frozen=True, slots=True)
class Live:
    """`needs`: variables without which it isn't called. `reads`: operations with what to call them with. `unknown`:
    one that asks for a thing that isn't there, and is told so for good, rather than that our key is."""

    needs: tuple[str, ...]
    reads: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unknown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


LIVE: Mapping[str, Live] = {
    "zoho-crm": Live(
        ZOHO,
        {
            "records": {"module": "Leads", "fields": ["Last_Name"], "per_page": 1},
            "search": {"module": "Leads", "email": "nobody@example.com"},
            "coql": {"query": "select Last_Name from Leads where Last_Name = 'Nobody' limit 1"},
            "watches": {},
        },
        {"record": {"module": "Leads", "id": "1"}},
    ),
    "zoho-sign": Live((*ZOHO, "ZOHO_ORG_ID"), {"requests": {}}, {"request": {"id": "1"}}),
    "zoho-billing": Live(
        (*ZOHO, "ZOHO_ORG_ID"),
        {"plans": {"per_page": 1}, "customers": {"per_page": 1}, "subscriptions": {"per_page": 1}, "events": {}},
        {"event": {"id": "1"}},
    ),
    "zoho-desk": Live((*ZOHO, "ZOHO_ORG_ID"), {"tickets": {"limit": 1}}, {"ticket": {"id": "1"}}),
    "didit-kyc": Live(
        ("DIDIT_API_KEY",),
        {"balance": {}, "destinations": {}},
        {"decision": {"session_id": "00000000-0000-4000-8000-000000000000"}},
    ),
    "netcash": Live(("NETCASH_SERVICE_KEY",), {}, {"transaction_status": {"trace": "0"}}),
    "mtn-coverage": Live(
        ("MTN_PROBE_LAYER",), {"covered": {"latitude": -26.2041, "longitude": 28.0473, "layers": ["MTN_PROBE_LAYER"]}}
    ),
    "clickatell": Live(("CLICKATELL_API_KEY",), {"balance": {}}),
    "resend": Live(
        ("RESEND_API_KEY",),
        {"domains": {}, "webhooks": {}},
        {"email": {"id": "00000000-0000-4000-8000-000000000000"}},
    ),
    "google-maps": Live(
        ("GOOGLE_MAPS_API_KEY",), {"geocode": {"address": "Cape Town, South Africa"}, "autocomplete": {"text": "Cape"}}
    ),
}  # fmt: skip


def set_up(slug: str) -> Live:
    live = LIVE[slug]
    if unset := [name for name in live.needs if not os.environ.get(name)]:
        pytest.skip(f"{' and '.join(unset)} not set")
    return live


@pytest.fixture(autouse=True)
def only_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that could change anything leaves this machine, whatever a test does."""
    send = http.send

    def reading(request: http.Request, **given: Any) -> Any:
        path = "/" + request.url.partition("://")[2].partition("/")[2]
        if request.method not in READING and not path.endswith(READING_POSTS):
            raise AssertionError(f"{request.method} {path} may change something")
        return send(request, **given)

    monkeypatch.setattr(http, "send", reading)


@pytest.fixture
def integration(request: pytest.FixtureRequest, registry: dict[str, Integration]) -> Integration:
    """With a token, where it takes one: a fresh one for each test, of the ten that Zoho gives in ten minutes; so all
    that is asked of a provider is asked in one test."""
    row = registry[request.getfixturevalue("slug")]
    if row.requires_oauth and (refresh := os.environ.get(REFRESH_TOKEN)):
        long_ago = timezone.now() - timedelta(days=1)
        given = flow.Tokens(access_token="", refresh_token=refresh, issued_at=long_ago, expires_at=long_ago)
        oauth.connect(row, given, actor=SYSTEM)
    return row


@pytest.mark.parametrize("slug", list(LIVE))
def test_the_provider_is_as_we_think(slug: str, integration: Integration) -> None:
    live = set_up(slug)
    provider = providers.get(slug)
    assert provider
    if provider.probe:
        seen = look.at_one(integration, None)
        assert seen.api
        assert seen.api.finding == "ok", f"the check says: {seen.api.finding}: {seen.api.words}"
        print(f"\n{slug}: the check was answered in {seen.api.elapsed_ms} ms by {credentials.base_url(provider)}")
    client = oauth.client_of(integration)
    wrong: list[str] = []
    for name, given in live.reads.items():
        operation = find(slug, name)
        assert operation
        assert not operation.changes
        try:
            operation.function(client, **_filled(name, given))
            print(f"{slug} {name}: ok")
        except Exception as error:  # noqa: BLE001 - the others are asked all the same
            wrong.append(f"{name}: {error}")
    for name, given in live.unknown.items():
        operation = find(slug, name)
        assert operation
        assert not operation.changes
        try:
            operation.function(client, **given)
            print(f"{slug} {name}: it has one of that name, after all")
        except Refusal as error:
            print(f"{slug} {name}: {error.words}")
            if not error.permanent or error.code == "credentials_refused":
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)


def _filled(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(given)
    if name == "events":
        filled["since"] = timezone.now() - timedelta(hours=1)
    if filled.get("layers") == ["MTN_PROBE_LAYER"]:
        filled["layers"] = [os.environ["MTN_PROBE_LAYER"]]
    return filled
