"""`manage.py export_activity FILE`: the activity log as CSV or JSON, with a seal that proves the file."""

from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from integrations import checkpoints
from integrations.models import Activity


class Command(BaseCommand):
    help = (
        "Write the activity log, or some days of it, to FILE (its name ends in .csv or .json, one object a line), and "
        "a signed seal beside it as FILE.seal. `verify_activity --export FILE` proves the two."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--from", dest="since", type=date.fromisoformat, help="first day, such as 2026-11-01")
        parser.add_argument("--to", dest="until", type=date.fromisoformat, help="last day, that day included")

    def handle(self, *args: Any, file: Path, since: date | None, until: date | None, **options: Any) -> None:
        if file.suffix not in (".csv", ".json"):
            raise CommandError("The file's name must end in .csv or .json.")
        rows = Activity.objects.all()
        if since:
            rows = rows.filter(created_at__gte=_begins(since))
        if until:
            rows = rows.filter(created_at__lte=timezone.make_aware(datetime.combine(until, time.max)))
        try:
            with file.open("xb") as out:  # evidence is not written over
                seal = checkpoints.export(rows, out.write, form=file.suffix[1:], now=timezone.now())
            file.with_name(f"{file.name}.seal").write_text(str(seal))
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}.") from error
        number = "1 entry" if seal.rows == 1 else f"{seal.rows:,} entries"
        self.stdout.write(f"{number}, #{seal.first} to #{seal.last}, sealed in {file.name}.seal.")


def _begins(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
