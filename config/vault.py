"""Every column whose values the vault has sealed. One that isn't here would be lost with the key that sealed it;
`tests/config/test_vault.py` looks for such."""

from integrations.accounts.models import FactorSecret
from integrations.models import KeyCanary
from integrations.vault import Column
from oauth.models import AuthorizationRequest, Leftover, Token
from webhooks.models import Refusal
from webhooks.services import quarantine

COLUMNS = (
    Column(model=FactorSecret, name="sealed", context=lambda row: row.context()),
    Column(model=Token, name="access_sealed", context=lambda row: row.context("access_token")),
    Column(model=Token, name="refresh_sealed", context=lambda row: row.context("refresh_token")),
    Column(model=Leftover, name="token_sealed", context=lambda row: row.context()),
    Column(model=AuthorizationRequest, name="verifier_sealed", context=lambda row: row.context()),
    Column(model=Refusal, name="sealed", context=lambda row: quarantine.context(row.pk)),
)

BY_KEY = (KeyCanary,)
"""Sealed as well, but with the key that each row is about: never moved under another."""
