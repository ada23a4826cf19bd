"""`manage.py rotate_token_keys`: move everything sealed under the newest key, while the system runs."""

import sys
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import vault as sealed
from integrations import crypto, vault
from integrations.actor import Actor

ACTOR = Actor(username="command line")


class Command(BaseCommand):
    help = (
        "Seal everything anew with the first of TOKEN_ENCRYPTION_KEYS, while the system runs. It may be stopped and "
        "started again, or run twice at once. When it says that nothing lies under an older key, that one may be "
        "taken away. Exit code 0: all is under the newest key (or would be). 1: something can't be opened; each is "
        "one line on stderr."
    )
    requires_system_checks: list[str] = []  # it is what mends the keys

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only open everything and count")
        parser.add_argument("--batch", type=int, default=100, metavar="N", help="rows read at a time (default 100)")
        parser.add_argument(
            "--forget",
            metavar="ID",
            help="that key is lost for good: what it sealed stays shut, and nothing complains at start any more",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["batch"] <= 10_000:
            raise CommandError("--batch goes from 1 to 10000.")
        if options["forget"] is not None:
            self._forget(options["forget"])
            return
        reports = vault.rotate(sealed.COLUMNS, actor=ACTOR, dry_run=options["dry_run"], batch=options["batch"])
        for report in reports:
            moved = "would be sealed anew" if options["dry_run"] else "sealed anew"
            keys = f"{_told(report.before)} -> {_told(report.after)}"
            self.stdout.write(f"{report.column!s:44} {report.resealed:>7,} {moved}  {keys}")
        shut = [line for report in reports for line in report.shut]
        for line in shut:
            self.stderr.write(line)
        if shut:
            self.stderr.write(f"{len(shut)} can't be opened. Keep the old keys, or put back the one that is missing.")
            sys.exit(1)
        if not options["dry_run"]:
            self.stdout.write(f"Everything lies under key {crypto.newest()!r}.")

    def _forget(self, key_id: str) -> None:
        if not vault.forget(key_id, actor=ACTOR):
            raise CommandError("No such key has sealed anything here, or it was forgotten before.")
        vault.plant()
        self.stdout.write("Forgotten. What it sealed stays shut: connect those integrations again.")


def _told(keys: Counter[str]) -> str:
    return (
        ", ".join(
            f"{number:,} on {key!r}" if key else f"{number:,} unreadable" for key, number in sorted(keys.items())
        )
        or "none"
    )
