"""`manage.py verify_activity`: prove that the activity log is whole."""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from integrations import activity, checkpoints
from integrations.models import ActivityHead


class Command(BaseCommand):
    help = (
        "Walk the activity log's chain and say whether a row was changed, inserted or removed by hand. "
        "Exit code 0: it is whole. 1: it is not; each finding is one line on stderr."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--checkpoints", type=Path, metavar="FILE", help="also hold the log against lines of `activity_checkpoint`"
        )
        parser.add_argument("--export", type=Path, metavar="FILE", help="prove a file of `export_activity` instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["export"]:
            self._prove(options["export"])
            return
        findings = 0
        for finding in chain(activity.verify(), self._compared(options["checkpoints"])):
            findings += 1
            self.stderr.write(finding)
        anchor = activity.removed()
        if findings == 0:
            head = ActivityHead.objects.filter(pk=1).first()
            number = (head.seq if head else 0) - (anchor.seq if anchor else 0)
            self.stdout.write(f"The activity log is whole: {number} rows, chained without a break.")
        if anchor:
            date = f"{timezone.localtime(anchor.created_at):%Y-%m-%d}"
            self.stdout.write(f"Rows #1 to #{anchor.seq} were removed under an anchor of {date}.")
        if findings:
            sys.exit(1)

    def _compared(self, kept: Path | None) -> Iterator[str]:
        if kept is None:
            return
        lines = _read(kept).decode(errors="replace").splitlines()
        yield from checkpoints.compare(lines)
        self.stdout.write(f"Held against {len([line for line in lines if line.strip()])} checkpoints.")

    def _prove(self, file: Path) -> None:
        seal = _read(file.with_name(f"{file.name}.seal")).decode(errors="replace")
        if finding := checkpoints.broken([_read(file)], seal):
            self.stderr.write(finding)
            sys.exit(1)
        self.stdout.write(f"{file.name} is as it was sealed.")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}.") from error
