"""`manage.py drop_personal_fields`: drop what is personal in old webhook events, or say from how many."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from webhooks.services import personal


class Command(BaseCommand):
    help = (
        "Drop what is personal in webhook events that are older than PERSONAL_RETENTION_DAYS; the events stay. What "
        "waits keeps everything. May be interrupted and repeated. Exits 1 when time was up before the end."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--days", type=int, help="instead of PERSONAL_RETENTION_DAYS")
        parser.add_argument("--seconds", type=int, default=3600, help="stop after so long; the next run goes on")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is not None and options["days"] < 1:
            raise CommandError("--days begins at 1.")
        done = personal.run(
            now=timezone.now(), dry_run=options["dry_run"], days=options["days"], budget_seconds=options["seconds"]
        )
        for path, number in done["dropped"].items():
            self.stdout.write(f"{number:>10,}  {path}")
        self.stdout.write(f"{done['total']:>10,}  events {'would be' if options['dry_run'] else 'were'} cleared")
        if not done["finished"]:
            raise CommandError("Time was up: the rest goes next time.")
