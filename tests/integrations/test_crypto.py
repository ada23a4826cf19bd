"""The vault."""

import pytest

from integrations import crypto


def test_what_is_sealed_opens_again():
    sealed = crypto.seal("1000.secret", context="oauth_tokens:1:access_token")
    assert "secret" not in sealed
    assert sealed.startswith("v1.t1.")
    assert crypto.unseal(sealed, context="oauth_tokens:1:access_token") == "1000.secret"


def test_the_same_text_is_never_sealed_alike():
    assert crypto.seal("x", context="c") != crypto.seal("x", context="c")


def test_a_ciphertext_moved_to_another_row_stays_shut():
    sealed = crypto.seal("x", context="oauth_tokens:1:access_token")
    with pytest.raises(crypto.CannotDecrypt, match="altered or moved"):
        crypto.unseal(sealed, context="oauth_tokens:2:access_token")


def test_an_altered_ciphertext_stays_shut():
    sealed = crypto.seal("x", context="c")
    altered = sealed[:-2] + ("A" if sealed[-2] != "A" else "B") + sealed[-1]
    with pytest.raises(crypto.CannotDecrypt):
        crypto.unseal(altered, context="c")


def test_an_older_key_still_opens_and_the_newest_seals(settings):
    settings.TOKEN_ENCRYPTION_KEYS = "old:one"
    sealed = crypto.seal("x", context="c")
    settings.TOKEN_ENCRYPTION_KEYS = "new:two,old:one"
    assert crypto.unseal(sealed, context="c") == "x"
    assert crypto.seal("x", context="c").startswith("v1.new.")


def test_a_missing_key_is_named(settings):
    sealed = crypto.seal("x", context="c")
    settings.TOKEN_ENCRYPTION_KEYS = "other:key"
    with pytest.raises(crypto.CannotDecrypt, match="'t1'"):
        crypto.unseal(sealed, context="c")


def test_a_bare_key_keeps_its_name_wherever_it_stands(settings):
    settings.TOKEN_ENCRYPTION_KEYS = "old-key"
    sealed = crypto.seal("x", context="c")
    settings.TOKEN_ENCRYPTION_KEYS = "new-key,old-key"
    assert crypto.unseal(sealed, context="c") == "x"


@pytest.mark.parametrize("nonsense", ["", "plain text", "v1.t1", "v1.t1.????", "v9.t1.AAAA", "v1.t1.AAAA"])
def test_what_the_vault_never_wrote_is_refused(nonsense):
    with pytest.raises(crypto.CannotDecrypt):
        crypto.unseal(nonsense, context="c")
