"""OAuth tokens, encrypted, and the story of each."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations import crypto, ids
from integrations.due import Due, DueQuerySet
from integrations.models import Integration, Stamped


class Grant(Stamped):
    """One authorisation at a provider: a refresh token, and what belongs to it. Integrations that were connected with
    the same refresh token share it, and with it the lease, the budget and every result.

    `generation` counts every change of secrets: who writes names the one it read. `lease_until`: somebody is at it.
    `failed_at` and `failures`: since when, and how often in a row; not before `next_try_at` is it tried again.
    `rotates`: whether a refresh answer ever brought another refresh token; None: not known yet.
    """

    class State(models.TextChoices):
        CONNECTED = "connected", _("Connected")
        RETRYING = "retrying", _("Retrying")
        UNCERTAIN = "uncertain", _("Uncertain")
        NEEDS_REAUTH = "needs_reauth", _("Needs to be connected again")
        REVOKING = "revoking", _("Revocation pending")
        REVOKED = "revoked", _("Revoked")

    ENDED = (State.NEEDS_REAUTH, State.REVOKING, State.REVOKED)
    """No token of it may be used any more."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    state = models.CharField(max_length=15, choices=State.choices, default=State.CONNECTED, editable=False)
    generation = models.PositiveIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    rotates = models.BooleanField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    error_code = models.CharField(max_length=100, blank=True, editable=False)
    failed_at = models.DateTimeField(null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    next_try_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "integration_oauth_grants"
        default_permissions = ("view",)
        verbose_name = _("OAuth grant")
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["connected", "retrying", "uncertain", "needs_reauth", "revoking", "revoked"]),
                name="oauth_grant_state_known",
            )
        ]

    def __str__(self) -> str:
        return f"grant {self.pk} ({self.state})"

    def forget_trouble(self) -> None:
        """As if nothing had ever been refused. Nothing is saved yet."""
        self.last_error = self.error_code = ""
        self.failed_at = self.next_try_at = None
        self.failures = 0


class Attempt(models.Model):
    """The journal: a request for tokens, written down and committed before it is sent. One that never ended was sent,
    or was about to be, by a process that died."""

    class Outcome(models.TextChoices):
        OPEN = "", _("Under way")
        GIVEN = "given", _("Tokens were given")
        REFUSED = "refused", _("Refused")
        THROTTLED = "throttled", _("Too many requests")
        UNREACHABLE = "unreachable", _("Not reached")
        UNKNOWN = "unknown", _("Not known")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    generation = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=15, choices=Outcome.choices, default=Outcome.OPEN, blank=True)

    class Meta:
        db_table = "integration_oauth_attempts"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=["", "given", "refused", "throttled", "unreachable", "unknown"]),
                name="oauth_attempt_outcome_known",
            )
        ]
        indexes = [models.Index(fields=["grant", "-started_at"], name="oauth_attempt_recent")]

    def __str__(self) -> str:
        return f"{self.outcome or 'under way'} at {self.started_at:%Y-%m-%d %H:%M:%S}"


class AuthorizationRequest(models.Model):
    """Somebody was sent to the provider to say yes: what is needed to know them when they come back, once.

    The `state` that they carry is kept as its SHA-256 alone, the browser session likewise ("": begun by an API token,
    which has none). `verifier_sealed` is PKCE's secret, bound to this row, "" where the provider takes none.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    state_hash = models.CharField(max_length=64, unique=True, editable=False)
    session_hash = models.CharField(max_length=64, blank=True, editable=False)
    verifier_sealed = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(db_index=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "integration_oauth_requests"
        default_permissions = ("view",)
        verbose_name = _("authorisation request")

    def __str__(self) -> str:
        return f"request of {self.created_at:%Y-%m-%d %H:%M}"

    def context(self) -> str:
        return f"oauth_requests:{self.pk}:verifier"

    def verifier(self) -> str:
        return crypto.unseal(self.verifier_sealed, context=self.context()) if self.verifier_sealed else ""


class Token(Stamped):
    """An integration's tokens. `access_sealed` and `refresh_sealed` are bound to this row and column (`crypto.seal`);
    "" means none. How its grant is doing stands in `grant`."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.OneToOneField(Integration, on_delete=models.CASCADE, related_name="token")
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="tokens")
    access_sealed = models.TextField(db_column="access_token", blank=True, editable=False)
    refresh_sealed = models.TextField(db_column="refresh_token", blank=True, editable=False)
    token_type = models.CharField(max_length=30, default="Bearer")
    issued_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    scope = models.TextField(blank=True)
    last_refreshed_at = models.DateTimeField(null=True, blank=True, editable=False)
    refresh_count = models.PositiveIntegerField(default=0, editable=False)
    auto_refresh = models.BooleanField(default=True)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "integration_oauth_tokens"
        default_permissions = ("view",)
        verbose_name = _("OAuth token")
        indexes = [models.Index(fields=["auto_refresh", "expires_at"], name="oauth_token_expiring")]

    def __str__(self) -> str:
        return f"token of {self.integration_id}"

    def context(self, column: str) -> str:
        return f"oauth_tokens:{self.pk}:{column}"

    def access_token(self) -> str:
        return crypto.unseal(self.access_sealed, context=self.context("access_token")) if self.access_sealed else ""

    def refresh_token(self) -> str:
        return crypto.unseal(self.refresh_sealed, context=self.context("refresh_token")) if self.refresh_sealed else ""


class Leftover(Due):
    """A grant that lives on at the provider while nothing here uses it any more: the provider is told until it knows.

    One that was `replaced` while its revocation was pending, or one whose token the API `refused` when it was new.
    `token_sealed` is bound to this row; `accounts_server` is where it is from, "" meaning the configured one.
    """

    class Why(models.TextChoices):
        REPLACED = "replaced", _("Replaced while its revocation was pending")
        REFUSED = "refused", _("The API did not take its token")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="+")
    why = models.CharField(max_length=10, choices=Why.choices)
    token_sealed = models.TextField(editable=False)
    hint = models.CharField(max_length=15, help_text="What it is: refresh_token or access_token (RFC 7009).")
    accounts_server = models.CharField(max_length=200, blank=True)
    last_error = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DueQuerySet.as_manager()

    class Meta:
        db_table = "integration_oauth_leftovers"
        default_permissions = ("view",)
        verbose_name = _("grant left at a provider")
        verbose_name_plural = _("grants left at providers")
        constraints = [
            models.CheckConstraint(condition=Q(why__in=["replaced", "refused"]), name="oauth_leftover_why_known"),
            models.CheckConstraint(
                condition=Q(hint__in=["refresh_token", "access_token"]), name="oauth_leftover_hint_known"
            ),
        ]
        indexes = [models.Index(fields=["due_at"], name="oauth_leftover_due")]

    def __str__(self) -> str:
        return f"grant left on {self.created_at:%Y-%m-%d %H:%M}"

    def context(self) -> str:
        return f"oauth_leftovers:{self.pk}:token"

    def token(self) -> str:
        return crypto.unseal(self.token_sealed, context=self.context())


class TokenEvent(models.Model):
    """One thing that happened to a token: its life-cycle timeline."""

    class Kind(models.TextChoices):
        CONNECTED = "connected"
        REFRESHED = "refreshed"
        REFRESH_FAILED = "refresh_failed"
        REVOKED = "revoked"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="token_events", db_index=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=150)
    detail = models.TextField(blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "integration_oauth_events"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["connected", "refreshed", "refresh_failed", "revoked", "expired"]),
                name="oauth_event_kind_known",
            ),
            models.UniqueConstraint(
                fields=["integration", "expires_at"], condition=Q(kind="expired"), name="oauth_event_expired_once"
            ),
        ]
        indexes = [models.Index(fields=["integration", "-at"], name="oauth_event_recent")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M}"
