"""Eight processes that call one server as fast as one limit lets them: `python -m tests.integrations.sharing '{…}'`.

It starts Django once and forks; each child has its own connections. It alone kills its children.
"""

import json
import os
import signal
import sys
import time
from typing import Any

import django

PROCESSES = 8


def run(*, url: str, seconds: float, redis_url: str, slug: str, shared: bool) -> None:
    """`shared` False: each counts for itself, as if there were no limiter between them."""
    from django.conf import settings
    from django.db import connection

    from integrations.models import RateWindow

    settings.OUTBOUND_ALLOW_PRIVATE = True
    settings.REDIS_URL = redis_url
    with connection.schema_editor() as editor:
        editor.create_model(RateWindow)
    connection.close()
    ends = time.monotonic() + seconds
    children = []
    for number in range(PROCESSES):
        pid = os.fork()
        if not pid:
            call_until(ends, url, slug if shared else f"{slug}-{number}")
            os._exit(0)
        children.append(pid)
    time.sleep(seconds / 2)
    os.kill(children[0], signal.SIGKILL)  # whatever it was about to do
    statuses = [os.waitpid(child, 0)[1] for child in children[1:]]
    os.waitpid(children[0], 0)
    sys.exit(int(any(statuses)))


def call_until(ends: float, url: str, slug: str) -> None:
    from integrations import http, limiter
    from integrations.models import Integration
    from integrations.providers.spec import Limit

    caller = Integration(slug=slug, name="Shared")
    request = http.Request(url=url, endpoint="/")
    while (left := ends - time.monotonic()) > 0:
        try:
            limit = Limit(requests=2, seconds=1)
            http.send(request, integration=caller, limit=limit, patience=left, sink=lambda metric: None)
        except limiter.TooSoon:
            return


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    told: dict[str, Any] = json.loads(sys.argv[1])
    run(**told)
