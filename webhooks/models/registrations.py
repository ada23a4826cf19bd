"""What providers have registered to call, as they told it when last asked."""

from django.db import models
from django.utils import timezone

from integrations import ids
from webhooks import reasons
from webhooks.models.deliveries import Webhook


class Registration(models.Model):
    """What a provider has registered to call, as its own API told it when last asked.

    `ours`: its address is this receiver's. `finding` says what is wrong with it in words, "" when nothing is; `code`
    names that: missing, foreign, disabled, events, expiring.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="registrations")
    provider_id = models.CharField(max_length=200, blank=True, help_text="The provider's own name for it.")
    url = models.CharField(max_length=500, blank=True)
    event_types = models.JSONField(default=list)
    enabled = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    ours = models.BooleanField(default=False)
    code = models.CharField(max_length=20, blank=True)
    finding = models.TextField(blank=True)
    first_seen_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_webhook_registrations"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["webhook", "provider_id"], name="webhook_registration_once"),
        ]

    def __str__(self) -> str:
        return self.finding or self.url

    @property
    def named(self) -> str:
        """What is wrong with it in a word, "" when nothing is."""
        return reasons.named(self.code)


class RegistrationCheck(models.Model):
    """The last look at what a provider has registered for a webhook. `error`: why it could not be seen, "" when it
    could."""

    webhook = models.OneToOneField(
        Webhook, on_delete=models.CASCADE, primary_key=True, related_name="registration_check"
    )
    checked_at = models.DateTimeField()
    error = models.TextField(blank=True)
    backfilled_to = models.DateTimeField(
        null=True, blank=True, help_text="Up to here the provider's own list of events was compared with ours."
    )

    class Meta:
        db_table = "integration_webhook_registration_checks"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.error or f"seen at {self.checked_at:%Y-%m-%d %H:%M}"
