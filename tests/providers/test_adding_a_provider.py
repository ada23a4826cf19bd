"""Adding a provider is one file, one line in the list, and a sample of each event: done, and put to the contract."""

import importlib.util
import json
from pathlib import Path

import pytest

from integrations import checks, providers
from integrations.providers import samples
from integrations.providers.spec import Provider
from tests.providers import test_contract as contract
from tests.providers.answers import answer
from tests.providers.rigs import Rig, in_headers, of_provider

THE_FILE = '''
"""Acme Fibre, a provider of the company's own."""

from integrations.providers import answers, generic
from integrations.providers.signatures import BodyHmac
from integrations.providers.spec import ApiKey, Probe, Provider

PROVIDER = Provider(
    slug="acme",
    name="Acme Fibre",
    vendor="Acme",
    category="coverage",
    icon="cable",
    base_url_env="WEBHOOK_ACME_URL",
    base_url="https://api.acme.example.com",
    auth=ApiKey(env="WEBHOOK_ACME_KEY", header="X-Api-Key"),
    probe=Probe(path="/ping"),
    read=answers.rest("error.message"),
    webhook=generic.webhook(
        path="/api/webhooks/acme",
        secret_env="WEBHOOK_ACME_SECRET",
        scheme=BodyHmac(header="X-Acme-Signature", prefix="sha256="),
        event_types=("order.paid",),
        type_at="event",
        id_at="order.id",
    ),
)
'''
THE_SAMPLE = {"event": "order.paid", "order": {"id": "42", "total": "899.00"}}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provider:
    file = tmp_path / "acme.py"
    file.write_text(THE_FILE)
    spec = importlib.util.spec_from_file_location("acme", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "samples" / "acme").mkdir(parents=True)
    (tmp_path / "samples" / "acme" / "order.paid.json").write_text(json.dumps(THE_SAMPLE))
    monkeypatch.setattr(samples, "FOLDER", tmp_path / "samples")
    monkeypatch.setattr(providers, "PROVIDERS", (*providers.PROVIDERS, module.PROVIDER))
    provider: Provider = module.PROVIDER
    return provider


@pytest.fixture
def rig(acme: Provider) -> Rig:
    assert acme.webhook is not None
    return of_provider(acme.slug, acme.webhook, replaced=in_headers("x-acme-signature"))


def test_it_passes_the_contract(rig: Rig) -> None:
    contract.test_what_the_provider_signs_is_taken(rig)
    contract.test_a_wrong_secret_is_refused(rig)
    contract.test_an_altered_body_is_refused(rig)
    contract.test_a_delivery_without_its_proof_is_not_taken(rig)
    contract.test_a_malformed_proof_is_refused(rig, "garbage")
    contract.test_old_and_new_secret_match_while_one_is_rotated(rig)
    contract.test_without_a_secret_nothing_is_taken(rig, ())
    contract.test_every_sample_is_one_event_of_its_declared_type(rig)
    contract.test_the_key_is_the_same_for_the_same_event_and_another_for_a_fresh_one(rig)
    contract.test_an_unknown_shape_is_recorded_and_never_an_exception(rig)
    contract.test_there_is_a_sample_of_every_declared_event_and_of_no_other(rig)


def test_it_reads_answers_and_passes_the_system_check(acme: Provider) -> None:
    assert acme.read(answer(200, {})).finding == "ok"
    assert acme.read(answer(402, {"error": {"message": "no credit"}})).words == "HTTP 402: no credit"
    assert checks.declared_providers_are_sound() == []
