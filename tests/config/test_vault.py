"""Nothing that the vault sealed is forgotten when keys are changed, and the command says what it did."""

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from config import declared, vault
from config.management.commands import up
from integrations import crypto
from integrations.accounts.models import FactorSecret
from integrations.models import KeyCanary
from oauth.models import AuthorizationRequest, Leftover, Token
from tests.integrations.test_vault import sealed_token
from webhooks.models import Refusal, Webhook
from webhooks.services import quarantine

ROOT = Path(__file__).resolve().parents[2]
SEALS = re.compile(r"(\w+)\s*=\s*crypto\.seal\(|crypto\.seal\(")


def test_every_column_with_sealed_text_is_rotated():
    """A column that holds sealed text is called so."""
    named = {(field.model, field.name) for model in apps.get_models() for field in model._meta.fields
             if "sealed" in field.name}  # fmt: skip
    known = {(column.model, column.name) for column in vault.COLUMNS}
    assert named - {(model, "sealed") for model in vault.BY_KEY} == known


def test_what_is_sealed_goes_into_a_column_that_is_called_so():
    """Every use of `crypto.seal` assigns to a name with "sealed" in it: another way would pass by the test above."""
    files = [path for app in ("config", "healthchecks", "webhooks", "oauth", "integrations")
             for path in (ROOT / app).rglob("*.py")]  # fmt: skip
    uses = [
        (path.name, found.group(1) or "") for path in files for found in SEALS.finditer(path.read_text())
        if path.name != "vault.py" or path.parent.name != "integrations"
    ]  # fmt: skip
    assert len(uses) >= 3
    assert [use for use in uses if "sealed" not in use[1]] == []


@pytest.mark.django_db
def test_each_column_opens_what_its_own_code_sealed(registry):
    """The contexts here are those under which values are sealed there."""
    token = sealed_token("zoho-crm")
    refusal = Refusal(webhook=Webhook.objects.first(), body=b"")
    refusal.sealed = crypto.seal("{}", context=quarantine.context(refusal.pk))
    asked = AuthorizationRequest()
    asked.verifier_sealed = crypto.seal("v", context=asked.context())
    assert asked.verifier() == "v"
    left = Leftover()
    left.token_sealed = crypto.seal("t", context=left.context())
    assert left.token() == "t"
    secret = FactorSecret.objects.get(pk=FactorSecret.keep("s"))
    assert FactorSecret.read(secret.pk) == "s"
    rows = {FactorSecret: secret, Token: token, Refusal: refusal, AuthorizationRequest: asked, Leftover: left}
    for column in vault.COLUMNS:  # one that is missing here is an error
        row = rows[column.model]
        assert crypto.unseal(getattr(row, column.name), context=column.context(row))


@pytest.mark.django_db
def test_a_ciphertext_that_was_moved_is_not_given_a_new_home(registry, settings):
    """Neither to another row nor to another column."""
    one, other = sealed_token("zoho-crm"), sealed_token("zoho-sign")
    one.access_sealed, one.refresh_sealed = other.access_sealed, one.access_sealed
    one.save()
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another,t1:test-only-key"
    with pytest.raises(SystemExit):
        call_command("rotate_token_keys")
    one.refresh_from_db()
    assert crypto.key_of(one.access_sealed) == crypto.key_of(one.refresh_sealed) == "t1"
    for open_it in (one.access_token, one.refresh_token):
        with pytest.raises(crypto.CannotDecrypt):
            open_it()


@pytest.mark.django_db
def test_the_command_says_what_lay_under_which_key(registry, settings, capsys):
    sealed_token("zoho-crm")
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another,t1:test-only-key"
    call_command("rotate_token_keys", "--dry-run")
    assert "1 would be sealed anew  1 on 't1' -> 1 on 't1'" in capsys.readouterr().out
    call_command("rotate_token_keys", "--batch", "1")
    out = capsys.readouterr().out
    assert "1 sealed anew  1 on 't1' -> 1 on 't2'" in out
    assert "Everything lies under key 't2'." in out
    for wrong in (["--batch", "0"], ["--forget", "t9"]):
        with pytest.raises(CommandError):
            call_command("rotate_token_keys", *wrong)


@pytest.mark.django_db
def test_the_command_names_what_is_shut_and_fails(registry, settings, capsys):
    token = sealed_token("zoho-crm")
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    with pytest.raises(SystemExit) as left:
        call_command("rotate_token_keys")
    told = capsys.readouterr().err
    assert left.value.code == 1
    assert f"row {token.pk}: It was sealed with key 't1'" in told
    assert token.access_sealed not in told
    call_command("rotate_token_keys", "--forget", "t1")
    assert run_checks(databases=["default"]) == []


@pytest.mark.django_db
def test_a_new_database_has_a_canary_and_each_new_key_gets_one(settings):
    assert KeyCanary.objects.get().key_id == "t1"
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another,t1:test-only-key"
    declared.sync()
    declared.sync()
    assert KeyCanary.objects.count() == 2


@pytest.mark.django_db
def test_up_does_not_start_with_a_key_missing(settings):
    up._require_keys()
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    with pytest.raises(CommandError, match="lacks key 't1'"):
        up._require_keys()


@pytest.mark.parametrize("keys", ["a.b:key", "1:one,1:other", "1:", ",", "x" * 61 + ":key"])
def test_keys_under_which_nothing_could_be_opened_again_are_refused(settings, keys):
    settings.TOKEN_ENCRYPTION_KEYS = keys
    with pytest.raises(ImproperlyConfigured, match="TOKEN_ENCRYPTION_KEYS"):
        crypto.seal("x", context="c")


@pytest.mark.django_db
def test_such_keys_are_told_by_the_checks_as_well(settings):
    settings.TOKEN_ENCRYPTION_KEYS = "a.b:key"
    assert "config.E004" in [found.id for found in run_checks(databases=["default"])]
