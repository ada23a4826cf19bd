"""`manage.py reverify_webhooks PATH`: judge what a receiver refused once more, after its secret was mended."""

import math
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from integrations.actor import SYSTEM
from webhooks.services import keys, receive, reverify


class Command(BaseCommand):
    help = (
        "Judge the deliveries that a receiver refused in the last seven days once more, with the secrets of now, by "
        "the clock of then. What is genuine is stored and processed; the rest stays. May be repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="the receiver, e.g. /api/webhooks/didit/kyc")

    def handle(self, *args: Any, **options: Any) -> None:
        route = receive.routes().get(options["path"])
        if route is None:
            raise CommandError(f"There is no receiver at {options['path']}.")
        try:
            done = reverify.ask(route, actor=SYSTEM, now=timezone.now(), budget_seconds=math.inf)
        except keys.KeysUnavailable as error:
            raise CommandError(f"The provider's keys can't be had: {error}") from error
        self.stdout.write(
            f"{done.released} released ({done.duplicates} of them had come another way), "
            f"{done.refused} still refused, {done.unreadable} can't be judged any more."
        )
