"""`manage.py reset_second_factor USERNAME`: for who has lost phone, key and recovery codes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from integrations.accounts.login import factors
from integrations.accounts.models import User
from integrations.actor import Actor


class Command(BaseCommand):
    help = (
        "Take all second factors and recovery codes off an account and end its sessions. Be sure that it is them who "
        "ask: from then on the password alone signs in, and who must have a second factor sets up another."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        with transaction.atomic():
            taken = factors.take_off(user, actor=Actor(username="command line"), now=timezone.now())
        self.stdout.write(f"{username} has no second factor any more ({len(taken)} taken off).")
