"""Keys are changed while everything runs, and a missing one is told at start."""

import threading

import pytest
from django.db import connection

from config import checks
from config.vault import COLUMNS
from integrations import crypto, vault
from integrations.actor import SYSTEM
from integrations.models import Activity, KeyCanary
from oauth.models import Token
from tests.factories import TokenFactory

pytestmark = pytest.mark.django_db(transaction=True)


def sealed_token(slug: str, text: str = "secret") -> Token:
    token = TokenFactory(integration__slug=slug)
    for column in ("access", "refresh"):
        setattr(token, f"{column}_sealed", crypto.seal(f"{text} {column}", context=token.context(f"{column}_token")))
    token.save()
    return token


def rotate(**options):
    return {str(report.column): report for report in vault.rotate(COLUMNS, actor=SYSTEM, **options)}


@pytest.fixture
def two_keys(settings):
    """Three tokens under t1, and then a newer key."""
    vault.plant()
    tokens = [sealed_token(f"service-{number}") for number in "abc"]
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another,t1:test-only-key"
    return tokens


def test_everything_moves_under_the_newest_key_and_the_old_one_can_go(two_keys, settings):
    report = rotate(batch=2)["integration_oauth_tokens.refresh_token"]
    assert (report.resealed, report.before, report.after) == (3, {"t1": 3}, {"t2": 3})
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    for token in Token.objects.all():
        assert (token.access_token(), token.refresh_token()) == ("secret access", "secret refresh")
    assert list(KeyCanary.objects.values_list("key_id", flat=True)) == ["t2"]
    assert checks.what_was_sealed_opens(databases=["default"]) == []
    assert Activity.objects.get(action="token_keys_rotated").details == {"key": "t2", "resealed": 6, "shut": 0}


def test_once_more_changes_nothing(two_keys):
    rotate()
    before = list(Token.objects.order_by("pk").values())
    assert sum(report.resealed for report in rotate().values()) == 0
    assert list(Token.objects.order_by("pk").values()) == before
    assert Activity.objects.filter(action="token_keys_rotated").count() == 1


def test_a_dry_run_counts_and_writes_nothing(two_keys):
    before = list(Token.objects.order_by("pk").values())
    report = rotate(dry_run=True)["integration_oauth_tokens.access_token"]
    assert (report.resealed, report.after) == (3, {"t1": 3})
    assert list(Token.objects.order_by("pk").values()) == before
    assert list(KeyCanary.objects.values_list("key_id", flat=True)) == ["t1"]


@pytest.mark.parametrize("newer", ["t2:another,t1:test-only-key", "t1:test-only-key"])
def test_what_is_stored_meanwhile_wins_and_moves_too(two_keys, settings, monkeypatch, newer):
    """A refresh that stores between our look and our write; perhaps by a process that has not heard of the new key."""
    token, seal = two_keys[1], crypto.seal
    keys = settings.TOKEN_ENCRYPTION_KEYS
    raced = []

    def seal_late(text: str, *, context: str) -> str:
        if context == token.context("access_token") and not raced:
            raced.append(True)
            settings.TOKEN_ENCRYPTION_KEYS = newer
            Token.objects.filter(pk=token.pk).update(access_sealed=seal("renewed", context=context))
            settings.TOKEN_ENCRYPTION_KEYS = keys
        return seal(text, context=context)

    monkeypatch.setattr(crypto, "seal", seal_late)
    rotate()
    token.refresh_from_db()
    assert raced
    assert token.access_token() == "renewed"
    assert crypto.key_of(token.access_sealed) == "t2"


def test_two_at_once_and_a_row_that_goes_meanwhile(two_keys):
    reports, start = [], threading.Barrier(2)

    def run() -> None:
        try:
            start.wait()
            reports.append(rotate(batch=1))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.resealed for one in reports for report in one.values()) == 6
    assert {token.refresh_token() for token in Token.objects.all()} == {"secret refresh"}
    assert {crypto.key_of(token.access_sealed) for token in Token.objects.all()} == {"t2"}


def test_what_is_stopped_half_way_is_gone_on_with(two_keys, monkeypatch):
    seal, left = crypto.seal, iter("abc")

    def seal_and_die(text: str, *, context: str) -> str:
        if next(left, None) is None:
            raise SystemExit
        return seal(text, context=context)

    monkeypatch.setattr(crypto, "seal", seal_and_die)
    with pytest.raises(SystemExit):
        rotate()
    monkeypatch.setattr(crypto, "seal", seal)
    done = sum(crypto.key_of(token.access_sealed) == "t2" for token in Token.objects.all())
    assert 0 < done < 3
    assert sum(report.resealed for report in rotate().values()) == 6 - done


def test_what_does_not_open_is_named_by_its_row_and_keeps_its_canary(two_keys, settings):
    lost = two_keys[0]
    Token.objects.filter(pk=lost.pk).update(access_sealed=two_keys[1].access_sealed)
    report = rotate()["integration_oauth_tokens.access_token"]
    assert report.resealed == 2
    assert len(report.shut) == 1
    assert str(lost.pk) in report.shut[0]
    assert two_keys[1].access_sealed not in report.shut[0]
    assert set(KeyCanary.objects.values_list("key_id", flat=True)) == {"t1", "t2"}


# --- Canaries --------------------------------------------------------------------------------------------------------


def found() -> list[str]:
    return [str(one.msg) for one in checks.what_was_sealed_opens(databases=["default"])]


def test_a_missing_key_is_named_at_start(two_keys, settings):
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    assert found() == ["TOKEN_ENCRYPTION_KEYS lacks key 't1', under which tokens or other secrets are sealed."]
    checks.tell_of_keys()


def test_another_key_under_the_same_id_is_told_at_start(two_keys, settings):
    settings.TOKEN_ENCRYPTION_KEYS = "t1:quite-another"
    assert len(found()) == 1
    assert "is another one than the key 't1'" in found()[0]
    assert "quite-another" not in found()[0]


def test_a_key_that_is_lost_for_good_can_be_forgotten(two_keys, settings):
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    assert vault.forget("t1", actor=SYSTEM)
    assert not vault.forget("t1", actor=SYSTEM)
    assert found() == []
    assert Activity.objects.get().action == "token_key_forgotten"


def test_the_web_process_says_so_and_goes_on(two_keys, settings, caplog):
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    checks.tell_of_keys()
    assert "lacks key 't1'" in caplog.text
    assert "rotate_token_keys" in caplog.text
