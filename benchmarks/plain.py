"""What a careful Django developer would write for the same job: the receiver that our lane is compared with.

One view in Django's own ASGI stack with our middleware off: verify, insert through the ORM, answer. No broker.
"""

import json
import os

# ruff: noqa: E402 - Django must be set up before its models are imported

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django
from django.conf import settings

django.setup()  # allauth looks whether its middleware is there; only then is all of it taken off
settings.MIDDLEWARE = []
settings.ROOT_URLCONF = "benchmarks.plain"

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import timezone

from integrations import credentials, providers
from integrations.providers import spec
from webhooks.models import Webhook, WebhookLog

PATH = "/api/webhooks/resend"


def receive(request: HttpRequest) -> HttpResponse:
    provider = providers.get("resend")
    headers = {name.lower(): value for name, value in request.headers.items()}
    delivery = spec.Delivery(body=request.body, headers=headers)
    try:
        provider.webhook.verify(
            delivery, credentials.secrets("RESEND_WEBHOOK_SECRET"), now=timezone.now().timestamp(), options={}
        )
    except spec.Refused:
        return HttpResponse(status=401)
    payload = json.loads(delivery.body)
    row = WebhookLog(
        webhook=Webhook.objects.get(webhook_url=PATH), event_type=payload["type"], payload=payload, body=delivery.body,
        headers=headers, idempotency_key=headers["svix-id"], claims_key=True, due_at=timezone.now(),
    )  # fmt: skip
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return JsonResponse({"received": True, "duplicate": True})
    return JsonResponse({"received": True, "logId": str(row.pk)})


urlpatterns = [path("api/webhooks/resend", receive)]
