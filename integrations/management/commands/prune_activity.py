"""`manage.py prune_activity`: remove what has outlived the activity log's retention, or say what would go."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from integrations import retention
from integrations.actor import Actor


class Command(BaseCommand):
    help = (
        "Remove entries of the activity log that are older than ACTIVITY_RETENTION_DAYS, under a signed anchor. "
        "Exit code 1: they were tampered with, and stay."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only prove and count")
        parser.add_argument("--days", type=int, help="instead of ACTIVITY_RETENTION_DAYS; at least 30")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is not None and options["days"] < retention.LEAST_DAYS:
            raise CommandError(f"--days begins at {retention.LEAST_DAYS}.")
        summary = retention.run(
            now=timezone.now(),
            keep_days=options["days"],
            dry_run=options["dry_run"],
            actor=Actor(username="command line"),
        )
        if summary["findings"]:
            raise CommandError(summary["message"])
        self.stdout.write(summary["message"])
