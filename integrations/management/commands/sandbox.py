"""`manage.py sandbox`: runs the simulator of the ten providers, or tells the running one what to do."""

import json
import secrets
import signal
import threading
from argparse import ArgumentTypeError
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations import http
from integrations.sandbox import values
from integrations.sandbox.faults import ACCOUNTS, FAULTS
from integrations.sandbox.sender import LOOPBACK
from integrations.sandbox.server import Sandbox
from integrations.sandbox.shapes import SHAPES

NOT_RUNNING = 3


class Command(BaseCommand):
    help = (
        "Run the sandbox: a simulator of the ten providers on 127.0.0.1, with a page of its own. "
        "With set, clear, send or status, talk to the one that runs. "
        "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no sandbox runs there."
    )
    requires_system_checks: list[str] = []  # needs no database, and must start while one is still being made

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, default=8010, help="where to listen on 127.0.0.1 (default 8010, 0: any)"
        )
        parser.add_argument(
            "--target", default=f"http://127.0.0.1:{settings.PORT}", help="where webhooks go (default %(default)s)"
        )
        parser.add_argument(
            "--rhythm", type=_seconds, default=8.0, metavar="SECONDS", help="average gap between webhooks (default 8)"
        )
        parser.add_argument("--no-webhooks", action="store_true", help="send none, not even on demand")
        parser.add_argument(
            "--token-lifetime", type=_seconds, default=3600, metavar="SECONDS", help="of access tokens (default 3600)"
        )
        orders = parser.add_subparsers(dest="order", metavar="ORDER", title="orders to the sandbox that runs")
        setting = orders.add_parser("set", help="make a provider misbehave", epilog=_faults())
        setting.add_argument("provider", help=f"a provider's slug, or {ACCOUNTS}")
        names = [*FAULTS, *(word for shapes in SHAPES.values() for word in shapes)]
        words = "see below, or the provider's own word for an error"
        setting.add_argument("fault", choices=names, metavar="FAULT", help=words)
        setting.add_argument("--for", type=_seconds, dest="seconds", metavar="SECONDS", help="default: until cleared")
        setting.add_argument(
            "--probability", type=float, help="of each request or webhook to suffer it (default 1; forge: 0.5)"
        )
        setting.add_argument("--delay", type=float, metavar="SECONDS", help="of slow, drip and hang")
        clearing = orders.add_parser("clear", help="let a provider behave again")
        clearing.add_argument("provider")
        sending = orders.add_parser("send", help="have a provider send webhooks now")
        sending.add_argument("provider")
        sending.add_argument("event", nargs="?", default="", help="an event type (default: any)")
        sending.add_argument("--count", type=int, default=1)
        status = orders.add_parser("status", help="faults, requests and webhooks so far")
        for order in (setting, clearing, sending, status):
            order.add_argument(
                "--url", default="", help="of the sandbox (default: the one that `manage.py up` started)"
            )

    def handle(self, **options: Any) -> None:
        match options["order"]:
            case "set":
                fault = {name: options[name] for name in ("provider", "fault", "seconds", "probability", "delay")}
                self._ask(options, "POST", "/_sandbox/faults", fault)
                until = f"for {options['seconds']:g} s" if options["seconds"] else "until it is cleared"
                self.stdout.write(f"{options['provider']}: {options['fault']}, {until}.")
            case "clear":
                self._ask(options, "DELETE", f"/_sandbox/faults/{quote(options['provider'], safe='')}")
                self.stdout.write(f"{options['provider']} behaves.")
            case "send":
                wanted = {"provider": options["provider"], "eventType": options["event"], "count": options["count"]}
                for number in self._ask(options, "POST", "/_sandbox/send", wanted)["sent"]:
                    self.stdout.write(number)
            case "status":
                self._status(options)
            case _:
                self._run(options)

    # --- Running it --------------------------------------------------------------------------------------------------

    def _run(self, options: dict[str, Any]) -> None:
        lent = settings.SANDBOX_VALUES
        if not lent:
            self.stderr.write("`manage.py up` has lent no values; these are made up, so only this sandbox knows them.")
            lent = values.lend(lambda name: secrets.token_urlsafe(32))
        try:
            sandbox = Sandbox(
                port=options["port"],
                target=None if options["no_webhooks"] else options["target"],
                values=lent,
                rhythm=options["rhythm"],
                token_lifetime=int(options["token_lifetime"]),
            )
        except (OSError, OverflowError) as error:
            raise CommandError(f"Can't listen on 127.0.0.1:{options['port']}: {error}.") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with sandbox:
            self.stdout.write(f"The sandbox plays the providers at {sandbox.url}/")
            self.stdout.flush()
            stop.wait()

    # --- Talking to it -----------------------------------------------------------------------------------------------

    def _ask(self, options: dict[str, Any], method: str, path: str, content: Any = None) -> Any:
        """The running sandbox's answer; its refusal becomes ours."""
        url: str = (options["url"] or settings.SANDBOX_URL).rstrip("/")
        if not url:
            raise CommandError("No sandbox runs: start `manage.py up`, or give its --url.", returncode=NOT_RUNNING)
        request = http.Request(url=url + path, endpoint=path, method=method, json=content)
        try:
            answer = http.send(request, networks=LOOPBACK)
            said = json.loads(answer.body)
        except (http.Unreachable, ValueError) as error:
            raise CommandError(f"No sandbox answers at {url}.", returncode=NOT_RUNNING) from error
        if answer.status >= 400:
            raise CommandError(said["error"])
        return said

    def _status(self, options: dict[str, Any]) -> None:
        state = self._ask(options, "GET", "/_sandbox/state")
        ledger = self._ask(options, "GET", "/_sandbox/ledger")["deliveries"]
        self.stdout.write(f"{state['url']}/ sends webhooks to {state['target'] or 'nobody'}.")
        for each in state["providers"]:
            requests_ = sum(count for by_status in each["requests"].values() for count in by_status.values())
            sent = [entry for entry in ledger if entry["provider"] == each["provider"] and entry["attempts"]]
            taken = sum(200 <= (entry["status"] or 0) < 300 for entry in sent)
            faults = ", ".join(_fault(fault, state["now"]) for fault in each["faults"]) or "behaves"
            line = f"{each['provider']:14} {requests_:6} requests  {len(sent):5} webhooks, {taken} taken  {faults}"
            self.stdout.write(line)


def _fault(fault: dict[str, Any], now: float) -> str:
    name: str = fault["name"]
    return name + (f" for {fault['until'] - now:.0f} s more" if fault["until"] else "")


def _faults() -> str:
    faults = "; ".join(f"{name} ({fault.words.lower()})" for name, fault in FAULTS.items())
    errors = "; ".join(f"{slug}: {', '.join(words)}" for slug, words in SHAPES.items())
    return f"Faults: {faults}. Documented errors: {errors}."


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 86_400:
        raise ArgumentTypeError("a number of seconds, above 0 and at most a day")
    return seconds
