"""What is lent: everything a provider names, in its own format, and the same again for the same installation."""

import base64
import re
import uuid

import jwt

from integrations import credentials, providers
from integrations.sandbox import keys, values


def test_everything_a_provider_names_is_lent(lent: dict[str, str]) -> None:
    for provider in providers.PROVIDERS:
        named = [*credentials.names(provider), *provider.settings]
        named += [provider.webhook.secret_env] if provider.webhook else []
        assert all(lent[name] for name in named)


def test_each_has_its_providers_format(lent: dict[str, str]) -> None:
    whsec = lent["RESEND_WEBHOOK_SECRET"]
    assert whsec.startswith("whsec_")
    assert 24 <= len(base64.b64decode(whsec.removeprefix("whsec_"), validate=True)) <= 64
    assert re.fullmatch(r"[A-Za-z0-9]{12,50}", lent["ZOHO_BILLING_WEBHOOK_SECRET"])
    assert len(lent["ZOHO_CRM_WEBHOOK_TOKEN"]) <= 50
    assert str(uuid.UUID(lent["NETCASH_SERVICE_KEY"])) == lent["NETCASH_SERVICE_KEY"]
    assert lent["ZOHO_ORG_ID"].isdigit()
    assert not any("," in value or value != value.strip() for name, value in lent.items() if name != keys.DESK)


def test_the_same_texts_give_the_same_values() -> None:
    names: list[str] = []

    def generated(name: str) -> str:
        names.append(name)
        return f"stable-{name}"

    first, second = values.lend(generated), values.lend(generated)
    assert first == second
    assert set(names) <= set(first)
    assert first != values.lend(lambda name: f"other-{name}")


def test_desks_key_signs_what_its_public_half_verifies(lent: dict[str, str]) -> None:
    key = keys.private(lent[keys.DESK])
    assert key.key_size == 2048
    token = jwt.encode({"a": 1}, key, algorithm="RS256")
    assert jwt.decode(token, key.public_key(), algorithms=["RS256"]) == {"a": 1}


def test_the_sandboxs_own_keys_are_out_of_the_environments_reach(lent: dict[str, str], monkeypatch) -> None:
    for name in (keys.DESK, "SANDBOX_TOKEN_KEY"):
        monkeypatch.setenv(name, "set by somebody")
        assert credentials.real(name) == ""
        assert lent[name]
