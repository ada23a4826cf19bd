"""`manage.py prune_webhooks`: remove what has outlived its retention, or say what would go."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from webhooks.services import prune


class Command(BaseCommand):
    help = "Remove webhook logs that are older than their webhook keeps, and week-old refusals. What waits stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--days", type=int, help="instead of each webhook's own retention")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is not None and options["days"] < 1:
            raise CommandError("--days begins at 1.")
        summary = prune.run(now=timezone.now(), dry_run=options["dry_run"], days=options["days"])
        for name, number in summary["removed"].items():
            self.stdout.write(f"{number:>10,}  {name}")
        self.stdout.write(f"{summary['total']:>10,}  {'would be removed' if options['dry_run'] else 'removed'}")
