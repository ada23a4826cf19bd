"""Rows for tests: each factory gives one that the database accepts; a test names only what it is about."""

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from healthchecks.models import CheckResult
from integrations.models import ApiMetric, Integration
from oauth.models import Grant, Token
from webhooks.models import Attempt, Webhook, WebhookLog


class IntegrationFactory(DjangoModelFactory[Integration]):
    class Meta:
        model = Integration
        django_get_or_create = ("slug",)

    slug = factory.Sequence(lambda n: f"service-{n}")
    name = factory.Sequence(lambda n: f"Service {n}")
    category = "communication"
    provider = "Acme"


class GrantFactory(DjangoModelFactory[Grant]):
    class Meta:
        model = Grant


class TokenFactory(DjangoModelFactory[Token]):
    class Meta:
        model = Token

    integration = factory.SubFactory(IntegrationFactory, requires_oauth=True)
    grant = factory.SubFactory(GrantFactory)
    access_sealed = "sealed"
    refresh_sealed = "sealed"
    issued_at = factory.LazyFunction(lambda: timezone.now() - timedelta(minutes=5))
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(minutes=55))


class WebhookFactory(DjangoModelFactory[Webhook]):
    class Meta:
        model = Webhook
        django_get_or_create = ("webhook_url",)

    integration = factory.SubFactory(IntegrationFactory, has_webhooks=True)
    webhook_url = factory.LazyAttribute(lambda webhook: f"/api/webhooks/{webhook.integration.slug}")
    event_types: Any = ["message.sent"]
    verification_method = Webhook.Method.HMAC_SHA256
    secret_env_var = "WEBHOOK_TEST_SECRET"


class WebhookLogFactory(DjangoModelFactory[WebhookLog]):
    class Meta:
        model = WebhookLog

    webhook = factory.SubFactory(WebhookFactory)
    event_type = "message.sent"
    payload: Any = factory.LazyFunction(lambda: {"type": "message.sent"})
    body = b'{"type": "message.sent"}'
    headers: Any = factory.LazyFunction(lambda: {"content-type": "application/json", "x-signature": "[redacted]"})
    status = WebhookLog.Status.PROCESSED
    verification = "Secret 1 matched."
    idempotency_key = factory.Sequence(lambda n: f"evt_{n:06}")
    processing_time_ms = 42


class AttemptFactory(DjangoModelFactory[Attempt]):
    class Meta:
        model = Attempt

    log = factory.SubFactory(WebhookLogFactory)
    target = "handler"
    at = factory.LazyFunction(timezone.now)
    duration_ms = 12


class CheckResultFactory(DjangoModelFactory[CheckResult]):
    class Meta:
        model = CheckResult

    integration = factory.SubFactory(IntegrationFactory)
    status = "healthy"
    rule = "checks_passed"
    reason = "The API answered in 120 ms."
    layers: Any = factory.LazyFunction(list)
    trigger = CheckResult.Trigger.SWEEP


class ApiMetricFactory(DjangoModelFactory[ApiMetric]):
    class Meta:
        model = ApiMetric

    integration = factory.SubFactory(IntegrationFactory)
    endpoint = "/v1/ping"
    method = "GET"
    status_code = 200
    response_time_ms = 120
