"""Who may come in: people, and the API tokens they hand to other systems."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import crypto, ids

TOKEN_PREFIX = "cti_"  # noqa: S105 - the public part: secret scanners recognise a leaked token by it


class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    email = models.EmailField(gettext_lazy("e-mail address"), unique=True)
    time_zone = models.CharField(
        max_length=64, blank=True, default="", help_text=gettext_lazy("Empty: the installation's.")
    )
    # The user name of whoever made the password, and so knows it, until its person chooses another.
    password_given_by = models.CharField(max_length=150, blank=True, default="", editable=False)
    single_keys = models.BooleanField(gettext_lazy("single-key shortcuts"), default=True)

    # For one request: the permissions an API token is confined to; empty means no confinement (`permissions.limit`).
    limited_to: frozenset[str] = frozenset()
    # The same for integrations, by their slugs.
    limited_on: frozenset[str] = frozenset()

    class Meta(AbstractUser.Meta):
        db_table = "accounts_user"

    def role_name(self) -> str:
        """The first role in words, for the foot of the page."""
        if self.is_superuser:
            return _("Superuser")
        group = self.groups.order_by("name").first()
        return group.name if group else _("No role")


class FactorSecret(models.Model):
    """What a second factor is made from, sealed by the vault (integrations/crypto.py) and bound to this row. allauth's
    own row holds this one's id."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    sealed = models.TextField()

    class Meta:
        db_table = "accounts_factor_secret"

    def __str__(self) -> str:
        return str(self.pk)

    def context(self) -> str:
        return f"{self._meta.db_table}:{self.pk}:sealed"

    @classmethod
    def keep(cls, text: str) -> str:
        """Its id."""
        row = cls(pk=ids.new())
        row.sealed = crypto.seal(text, context=row.context())
        row.save(force_insert=True)
        return str(row.pk)

    @classmethod
    def read(cls, pk: str) -> str:
        row = cls.objects.get(pk=pk)
        return crypto.unseal(row.sealed, context=row.context())

    @classmethod
    def forget(cls, pks: Iterable[str]) -> None:
        cls.objects.filter(pk__in=[pk for pk in pks if pk]).delete()


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def alive(self, now: datetime) -> "ApiTokenQuerySet":
        return self.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))


class ApiToken(models.Model):
    """A bearer token: stored as a hash, so that a stolen database opens no door; shown once, when it is made."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False, help_text=gettext_lazy("The token's first characters."))
    scopes = models.JSONField(
        default=list, blank=True, help_text=gettext_lazy("Permissions it is limited to; empty = its user's.")
    )
    # Slugs, not a relation: an integration that is removed must not leave a token that is confined to nothing.
    only_on = models.JSONField(
        default=list, blank=True, help_text=gettext_lazy("Integrations it is limited to; empty = all of its user's.")
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        db_table = "accounts_api_token"
        verbose_name = gettext_lazy("API token")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    @staticmethod
    def digest_of(token: str) -> str:
        # A fast hash is right here: 256 random bits can't be guessed, unlike a password.
        return hashlib.sha256(token.encode()).hexdigest()

    @classmethod
    def issue(
        cls,
        *,
        user: User,
        name: str,
        scopes: list[str],
        expires_at: datetime | None,
        only_on: list[str] | None = None,
        pk: UUID | None = None,
    ) -> tuple["ApiToken", str]:
        """Make a token; returns the row and the token itself, which can't be had again."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            pk=pk or ids.new(), user=user, name=name, scopes=scopes, only_on=only_on or [], expires_at=expires_at,
            digest=cls.digest_of(token), hint=token[:8],
        )  # fmt: skip
        return row, token


class GrantNote(models.Model):
    """Who gave a person a permission on one integration, and when: what django-guardian's own row doesn't say."""

    grant = models.OneToOneField(
        "guardian.UserObjectPermission", on_delete=models.CASCADE, primary_key=True, related_name="note"
    )
    given_by = models.CharField(max_length=150)
    given_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "accounts_grant_note"
        default_permissions = ()

    def __str__(self) -> str:
        return f"by {self.given_by} at {self.given_at:%Y-%m-%d %H:%M}"
