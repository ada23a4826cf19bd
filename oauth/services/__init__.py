"""Tokens: getting one (`access_token`, the only way), and what befalls a grant."""

from oauth.services.ahead import in_words, keep_fresh, refresh_all, refresh_expiring
from oauth.services.clients import client_of
from oauth.services.connect import connect, connect_sandbox
from oauth.services.refresh import access_token, refresh_now, replacement
from oauth.services.revoke import NothingToRevoke, Revocation, SharedGrant, revoke, sharing
from oauth.services.servers import region
from oauth.services.settings import NeverConnected, change
from oauth.services.status import (
    Budget,
    Status,
    advice,
    budget,
    budgets,
    can_refresh,
    can_revoke,
    needs_connecting,
    renews_itself,
    status,
)

__all__ = [
    "Budget", "NeverConnected", "NothingToRevoke", "Revocation", "SharedGrant", "Status", "access_token", "advice",
    "budget", "budgets", "can_refresh", "can_revoke", "change", "client_of", "connect", "connect_sandbox", "in_words",
    "keep_fresh", "needs_connecting", "refresh_all", "refresh_expiring", "refresh_now", "region", "renews_itself",
    "replacement", "revoke", "sharing", "status",
]  # fmt: skip
