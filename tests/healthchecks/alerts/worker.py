"""A process that sends alerts and can be killed at the worst moment: `python -m tests.healthchecks.alerts.worker`.

prepare      a database with one integration that is down, and its alert in the outbox
send         send what is due, a lease of a second; what waits for a lease is waited for
send slowly  the same, but between the channel's answer and our stamp it says "sent" and stands still
send early   the control: stamped first, then it says "sent" and stands still, and only then would it be sent
"""

import sys
import time
from datetime import timedelta
from typing import Any

import django


def prepare() -> None:
    from django.core.management import call_command
    from django.utils import timezone

    from healthchecks.alerts import alarms
    from integrations.models import Integration
    from tests.healthchecks.alerts.conftest import unwell

    call_command("migrate", verbosity=0)
    unwell(Integration.objects.get(slug="netcash"))
    alarms.watch(now=timezone.now())


def stand_still() -> None:
    print("sent", flush=True)  # noqa: T201 - whoever kills us waits for it
    time.sleep(60)


def send(how: str) -> None:
    from healthchecks.alerts import channels, outbox
    from healthchecks.models import Delivery

    outbox.LEASE = timedelta(seconds=1)
    really = channels.send

    def slowly(*args: Any) -> str:
        name = really(*args)
        stand_still()
        return name

    def early(row: Delivery) -> tuple[str, str]:
        outbox.settle(row, name="", trouble="")
        stand_still()
        return "", ""

    if how == "slowly":
        channels.send = slowly
    if how == "early":
        outbox._send = early
    ends = time.monotonic() + 10
    while Delivery.objects.filter(status="waiting").exists() and time.monotonic() < ends:
        outbox.run_due(budget_seconds=5)
        time.sleep(0.05)
    row = Delivery.objects.get()
    print(row.status, row.attempts, flush=True)  # noqa: T201 - what came of it


if __name__ == "__main__":
    django.setup()
    prepare() if sys.argv[1] == "prepare" else send("".join(sys.argv[2:]))
