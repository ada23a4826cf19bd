"""`manage.py call SLUG [OPERATION [name=value …]]`: try a provider's API by hand."""

import json
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations import activity
from integrations.actor import Actor
from integrations.clients import arguments
from integrations.clients.operations import OPERATIONS, Argument, Operation, find
from integrations.models import Integration
from integrations.providers.spec import ProviderError
from oauth import services as oauth

ACTOR = Actor(username="command line")
PROVIDER_ERROR, USAGE = 1, 2


class Command(BaseCommand):
    help = """Call one operation of a provider's API, and print its result as JSON.

  manage.py call resend                                  lists the operations
  manage.py call zoho-crm search module=Leads email=lerato.dlamini@example.com
  manage.py call clickatell send_sms to=27820000000 text="It works." --yes

Values: texts as they are; lists comma-separated; files by their paths; what has parts as JSON, or as @FILE with JSON
in it; times as ISO 8601. What changes something at the provider, or sends something to somebody, needs --yes and is
written into the activity log. Exit code 0: done. 1: the provider said no, or nothing. 2: wrong usage."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="the integration: zoho-crm, resend …")
        parser.add_argument("operation", metavar="OPERATION", nargs="?", default="")
        parser.add_argument("values", metavar="name=value", nargs="*", default=[])
        parser.add_argument("--yes", action="store_true", help="do it, though it changes something")
        parser.add_argument("--output", metavar="FILE", help="where to put what comes back; must not exist yet")

    def handle(
        self, *args: Any, slug: str, operation: str, values: list[str], yes: bool, output: str | None, **options: Any
    ) -> None:
        if slug not in OPERATIONS:
            raise CommandError(f"{slug!r} has no client. There are: {', '.join(OPERATIONS)}.", returncode=USAGE)
        if not operation:
            self._list(slug)
            return
        chosen = find(slug, operation)
        if chosen is None:
            names = ", ".join(each.name for each in OPERATIONS[slug])
            raise CommandError(f"{slug} has no operation {operation!r}. There are: {names}.", returncode=USAGE)
        given = _given(chosen, values)
        if chosen.changes and not yes:
            raise CommandError(f"{operation} changes something at the provider: add --yes.", returncode=USAGE)
        if output and (Path(output).exists() or not Path(output).parent.is_dir()):
            raise CommandError(f"{output} is there already, or its folder isn't.", returncode=USAGE)
        result = self._called(_integration(slug), chosen, given)
        if output:
            self._write(result, Path(output))
        else:
            self.stdout.write(_as_json(result))

    def _list(self, slug: str) -> None:
        for each in OPERATIONS[slug]:
            changes = "  (changes something: --yes)" if each.changes else ""
            self.stdout.write(f"{each.name}{changes}")
            for argument in each.arguments():
                self.stdout.write(f"    {argument.name}={_shown(argument)}")
            self.stdout.write("\n".join(f"  {line}".rstrip() for line in each.words.splitlines()) + "\n\n")

    def _called(self, integration: Integration, operation: Operation, given: dict[str, Any]) -> Any:
        trouble = "it was interrupted"
        try:
            result = operation.function(oauth.client_of(integration), **given)
            trouble = ""
        except ProviderError as error:
            trouble = error.words
            raise CommandError(_told(error), returncode=PROVIDER_ERROR) from error
        finally:
            if operation.changes:
                self._remember(integration, operation, trouble)
        return result

    def _remember(self, integration: Integration, operation: Operation, trouble: str) -> None:
        details = {"operation": operation.name, **({"reason": trouble} if trouble else {})}
        outcome = activity.FAILURE if trouble else activity.SUCCESS
        activity.record(actor=ACTOR, action="api_called", integration=integration, outcome=outcome, details=details)

    def _write(self, result: Any, path: Path) -> None:
        content = result if isinstance(result, bytes) else f"{_as_json(result)}\n".encode()
        with path.open("xb") as file:
            file.write(content)
        self.stdout.write(f"{path}: {len(content):,} bytes.")


def _integration(slug: str) -> Integration:
    found = Integration.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"There is no integration {slug!r}: run manage.py migrate.", returncode=USAGE)
    return found


def _given(operation: Operation, values: list[str]) -> dict[str, Any]:
    """The arguments as typed. Raises CommandError for what is unknown, doubled, missing or no such value."""
    known = {argument.name: argument for argument in operation.arguments()}
    given: dict[str, Any] = {}
    for value in values:
        name, equals, typed = value.partition("=")
        if not equals or name not in known:
            takes = ", ".join(known) or "none"
            raise CommandError(f"{value[:40]!r} is no argument of {operation.name}: {takes}.", returncode=USAGE)
        if name in given:
            raise CommandError(f"{name} is given twice.", returncode=USAGE)
        try:
            given[name] = arguments.read(known[name], typed)
        except ValueError as error:
            raise CommandError(str(error), returncode=USAGE) from error
    if lacking := [name for name, argument in known.items() if argument.default is ... and name not in given]:
        raise CommandError(f"{operation.name} also needs {', '.join(lacking)}.", returncode=USAGE)
    return given


def _as_json(result: Any) -> str:
    """What a provider wrote can't steer a terminal: whatever isn't printable is escaped."""
    written = json.dumps(arguments.plain(result), indent=2, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else f"\\u{ord(char):04x}" for char in written)


def _shown(argument: Argument) -> str:
    return argument.shown if argument.default is ... else f"{argument.shown}, else {argument.default!r}"


def _told(error: ProviderError) -> str:
    """The words, and whether trying again can help."""
    provider_code = getattr(error, "provider_code", "")
    code = ": ".join(filter(None, (error.code, provider_code)))
    again = "trying again won't help" if error.permanent else "trying again later may help"
    return f"{error.words} [{code or 'no code'}; {again}]"
