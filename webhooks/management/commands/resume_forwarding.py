"""`manage.py resume_forwarding PATH`: forward a receiver's events again after the target said 410."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from integrations.actor import SYSTEM
from webhooks.models import Webhook
from webhooks.services import forward


class Command(BaseCommand):
    help = "Forward a receiver's events again after its target answered 410; what was stopped meanwhile goes first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="the receiver, e.g. /api/webhooks/resend")

    def handle(self, *args: Any, **options: Any) -> None:
        webhook = Webhook.objects.select_related("integration").filter(webhook_url=options["path"]).first()
        if webhook is None:
            raise CommandError(f"There is no receiver at {options['path']}.")
        try:
            number = forward.resume(webhook, actor=SYSTEM, now=timezone.now())
        except (forward.NotForwarding, forward.NotStopped) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{webhook.webhook_url} forwards to {webhook.forward_url} again; {number} waited.")
