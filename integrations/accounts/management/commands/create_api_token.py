"""`manage.py create_api_token USERNAME`: prints the token and nothing else."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from integrations import activity
from integrations.accounts.models import ApiToken, User
from integrations.actor import Actor
from integrations.permissions import Perm

SCOPES = [perm.public_name for perm in Perm]


class Command(BaseCommand):
    help = (
        "Make an API token for a user and print it, once: it is stored as a hash and can't be shown again. "
        "Use it as `Authorization: Bearer <token>`. It can do what its user can, or less (--scope)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="made on the command line", help="What it is for.")
        parser.add_argument(
            "--scope", action="append", default=[], choices=SCOPES, help="Confine it to this permission; repeatable."
        )
        parser.add_argument("--days", type=int, default=365, help="How long it lives (default: %(default)s).")

    def handle(self, *args: Any, username: str, name: str, scope: list[str], days: int, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        if not 1 <= days <= 3650:
            raise CommandError("--days must be between 1 and 3650.")
        with transaction.atomic():
            row, token = ApiToken.issue(
                user=user, name=name[:100], scopes=scope, expires_at=timezone.now() + timedelta(days=days)
            )
            activity.record(
                actor=Actor(username="command line"),
                action="api_token_created",
                details={"for": username, "token": row.hint, "scopes": scope, "expires_at": row.expires_at},
            )
        self.stdout.write(token)
