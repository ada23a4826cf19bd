"""`manage.py activity_checkpoint`: one signed line that says how far the activity log goes; keep it elsewhere."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from integrations import checkpoints


class Command(BaseCommand):
    help = (
        "Print a signed checkpoint of the activity log: its newest number and hash, and the moment. Kept where nobody "
        "who may write to the database can, it lets `verify_activity --checkpoints` find an end that was cut off."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(str(checkpoints.take(now=timezone.now())))
