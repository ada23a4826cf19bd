"""`manage.py create_api_token USERNAME`: prints the token and nothing else."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from integrations.accounts import tokens
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import Integration
from integrations.permissions import DANGEROUS, Perm

SCOPES = [*(perm.public_name for perm in Perm), DANGEROUS]


class Command(BaseCommand):
    help = (
        "Make an API token for a user and print it, once: it is stored as a hash and can't be shown again. "
        "Use it as `Authorization: Bearer <token>`. It can do what its user can, or less (--scope)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="made on the command line", help="What it is for.")
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=SCOPES,
            help="Confine it to this permission; repeatable. `dangerous` adds what wants a fresh login.",
        )
        parser.add_argument(
            "--on", action="append", default=[], metavar="SLUG", help="Confine it to this integration; repeatable."
        )
        parser.add_argument("--days", type=int, default=365, help="How long it lives (default: %(default)s).")

    def handle(
        self, *args: Any, username: str, name: str, scope: list[str], on: list[str], days: int, **options: Any
    ) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        if not 1 <= days <= 3650:
            raise CommandError("--days must be between 1 and 3650.")
        if unknown := set(on) - set(Integration.objects.values_list("slug", flat=True)):
            raise CommandError(f"There is no integration {', '.join(sorted(unknown))}.")
        try:
            __, token = tokens.make(
                user=user, name=name[:100], scopes=scope, only_on=on, days=days, actor=Actor(username="command line"),
                now=timezone.now(),
            )  # fmt: skip
        except tokens.Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(token)
