"""`manage.py check_integration SLUG`: one health check, explained."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from healthchecks import services
from integrations.actor import Actor
from integrations.models import Integration


class Command(BaseCommand):
    help = (
        "Check one integration now and print the verdict with what each layer saw. "
        "Exit code 0: healthy or degraded. 1: down. 2: unknown, nothing could be checked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")

    def handle(self, *args: Any, slug: str, **options: Any) -> None:
        integration = Integration.objects.filter(slug=slug).first()
        if integration is None:
            known = ", ".join(Integration.objects.values_list("slug", flat=True))
            raise CommandError(f"There is no integration {slug!r}. There are: {known}.")
        result = services.check(integration=integration, actor=Actor(username="command line"))
        self.stdout.write(f"{integration.name}: {result.status}. {result.reason}")
        for layer in result.layers:
            self.stdout.write(f"  {layer['layer']:<9} {layer['status']:<9} {layer['seen']}  [{layer['rule']}]")
        sys.exit({"down": 1, "unknown": 2}.get(result.status, 0))
