"""`manage.py replay_webhooks`: run past events once more, after saying how many."""

from datetime import UTC, datetime, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from integrations.actor import Actor
from webhooks.models import Webhook
from webhooks.services import replay
from webhooks.services.selection import Selection


class Command(BaseCommand):
    help = (
        "Replay the verified events that were tried and that fit all these conditions; at least one is needed. Prints "
        "how many there are and asks. Workers do the rest, a batch at a time. Exit code 0: queued, or there is "
        "nothing to do. 1: refused, or not confirmed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--webhook", metavar="PATH", help="the receiver, e.g. /api/webhooks/didit/kyc")
        parser.add_argument("--status", choices=["processed", "failed"])
        parser.add_argument("--from", dest="since", help="a day, or a time with its zone (2026-11-20T08:00:00Z)")
        parser.add_argument("--to", dest="until", help="likewise; of a day, its end")
        parser.add_argument("--event-type")
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--yes", action="store_true", help="don't ask")

    def handle(self, *args: Any, **options: Any) -> None:
        selection = Selection(
            webhook=_webhook(options["webhook"]),
            status=options["status"],
            event_type=options["event_type"],
            since=_moment("--from", options["since"], time.min),
            until=_moment("--to", options["until"], time.max),
        )
        if selection == Selection():
            raise CommandError("Give at least one condition: --webhook, --status, --from, --to or --event-type.")
        now = timezone.now()
        try:
            number = replay.count(selection, now=now)
            self.stdout.write(f"Events that fit: {number:,}")
            if options["dry_run"] or not number:
                return
            if not options["yes"] and not _confirmed():
                raise CommandError("Nothing was replayed.")
            batch = replay.many(selection, actor=Actor(username="command line"), now=now, confirmed=number)
        except (replay.TooMany, replay.MoreThanCounted) as error:
            raise CommandError(str(error)) from error
        if batch is not None:
            replay.run_due()  # what workers don't keep up with is gone on with by the job of every minute
            self.stdout.write(f"Queued as batch {batch.pk}.")


def _confirmed() -> bool:
    try:
        return input("Replay them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # nobody there to be asked
        return False


def _webhook(path: str | None) -> Any:
    if path is None:
        return None
    pk = Webhook.objects.filter(webhook_url=path).values_list("pk", flat=True).first()
    if pk is None:
        raise CommandError(f"There is no receiver at {path}.")
    return pk


def _moment(option: str, text: str | None, of_day: time) -> datetime | None:
    if text is None:
        return None
    try:
        if day := parse_date(text):
            return timezone.make_aware(datetime.combine(day, of_day)).astimezone(UTC)
        moment = parse_datetime(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandError(f"{option}: give a day, or a time with its zone, such as 2026-11-20T08:00:00Z.")
    return moment.astimezone(UTC)
