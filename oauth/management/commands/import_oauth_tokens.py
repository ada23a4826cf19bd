"""`manage.py import_oauth_tokens FILE`: take over tokens from an older system."""

import stat
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.actor import Actor
from oauth.services import importing

MAX_BYTES = 10 * 1024 * 1024


class Command(BaseCommand):
    help = (
        "Store OAuth tokens from JSON lines with slug, access_token, refresh_token, expires_at (ISO 8601 with its "
        "zone) and scope: all or nothing. What is as new here stays, so the same file once more changes nothing. "
        "Lines with the same refresh token share one grant. Exit code 0: done. 1: refused; each reason is one line on "
        "stderr, and nothing was stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="where they stand; - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be stored")

    def handle(self, *args: Any, file: str, dry_run: bool, **options: Any) -> None:
        try:
            verdicts = importing.take(self._content(file), actor=Actor(username="command line"), dry_run=dry_run)
        except importing.Refused as refusal:
            for line in refusal.lines:
                self.stderr.write(line)
            raise CommandError("Nothing was imported.") from None
        for one in verdicts:
            self.stdout.write(f"Line {one.entry.line}: {one.entry.integration.slug} {one.words}.")
        number = sum(one.taken for one in verdicts)
        self.stdout.write(f"{number} of {len(verdicts)} {'would be imported' if dry_run else 'imported'}.")

    def _content(self, file: str) -> bytes:
        try:
            if file == "-":
                content = sys.stdin.buffer.read(MAX_BYTES + 1)
            else:
                with Path(file).open("rb") as opened:
                    if Path(file).stat().st_mode & stat.S_IROTH:
                        self.stderr.write(
                            f"Everybody on this machine can read {file}: chmod 600 it, and delete it afterwards."
                        )
                    content = opened.read(MAX_BYTES + 1)
        except OSError as error:
            raise CommandError(f"{file} can't be read: {error.strerror}.") from error
        if len(content) > MAX_BYTES:
            raise CommandError(f"{file} is larger than {MAX_BYTES:,} bytes.")
        return content
