from django.contrib import admin
from django.http import HttpRequest

from integrations.adminsite import AuditedAdmin, ReadOnlyAdmin
from oauth.models import Attempt, AuthorizationRequest, Grant, Leftover, Token, TokenEvent


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin[Grant]):
    list_display = ["id", "state", "failures", "next_try_at", "lease_until", "generation", "rotates", "last_error"]
    list_filter = ["state"]


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin[Attempt]):
    """The journal of token requests."""

    list_display = ["started_at", "ended_at", "outcome", "grant", "generation"]
    list_filter = ["outcome"]
    list_select_related = ["grant"]


@admin.register(AuthorizationRequest)
class AuthorizationRequestAdmin(ReadOnlyAdmin[AuthorizationRequest]):
    """Who was sent to a provider, and whether they came back."""

    list_display = ["created_at", "integration", "user", "expires_at", "used_at"]
    fields = ["integration", "user", "created_at", "expires_at", "used_at"]
    list_select_related = ["integration", "user"]


@admin.register(Leftover)
class LeftoverAdmin(AuditedAdmin[Leftover], ReadOnlyAdmin[Leftover]):
    """What providers don't know yet to be revoked. Deleting one gives that up: for a grant that somebody has revoked
    in the provider's own console, say."""

    list_display = ["created_at", "integration", "why", "attempts", "due_at", "last_error"]
    fields = ["integration", "why", "hint", "accounts_server", "created_at", "attempts", "due_at", "last_error"]
    list_select_related = ["integration"]

    def has_delete_permission(self, request: HttpRequest, obj: Leftover | None = None) -> bool:
        return True  # the site lets in superusers alone


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin[Token]):
    """Whether there are tokens and until when; never what they are, not even sealed."""

    list_display = ["integration", "state", "expires_at", "last_refreshed_at", "refresh_count", "auto_refresh"]
    fields = ["integration", "grant", "state", "token_type", "scope", "issued_at", "expires_at", "last_refreshed_at",
              "refresh_count", "auto_refresh", "metadata"]  # fmt: skip
    list_select_related = ["integration", "grant"]

    @admin.display(ordering="grant__state")
    def state(self, token: Token) -> str:
        return token.grant.get_state_display()


@admin.register(TokenEvent)
class TokenEventAdmin(ReadOnlyAdmin[TokenEvent]):
    list_display = ["at", "integration", "kind", "actor", "detail"]
    list_filter = ["kind", "integration"]
    list_select_related = ["integration"]
