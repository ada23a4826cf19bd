"""A web process's lane that is sent forgeries: `python -m tests.webhooks.refuser NAME NUMBER GO`.

It waits for the file GO, so that several begin at once, and prints what it saw: the answers, and whether the first of
each reason was told by the time it was answered.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

import django

PATH = "/api/webhooks/resend"


def run(name: str, number: int, go: Path) -> None:
    from django.utils import timezone

    from integrations.models import Activity
    from tests.webhooks.conftest import signed
    from tests.webhooks.sender import Sender

    genuine = signed("resend", delivery_id=name)
    unsigned = type(genuine)(body=genuine.body, headers={"user-agent": name})
    forged = type(genuine)(body=genuine.body + b" ", headers=genuine.headers)
    sender = Sender()
    go.with_name(f"{name}.ready").touch()
    while not go.exists():
        time.sleep(0.005)
    answers: Counter[int] = Counter()
    told = []
    for kind in (forged, unsigned):
        minute = f"{timezone.now():%Y%m%d%H%M}"
        answers[sender.post(kind, PATH).status] += 1
        told.append(Activity.objects.filter(once_key__endswith=minute).exists())
    answers.update(got.status for got in sender.post_all([forged, unsigned] * (number // 2 - 1), PATH))
    sender.stop()
    sys.stdout.write(json.dumps({"answers": answers, "told": told}))


if __name__ == "__main__":
    django.setup()
    run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
