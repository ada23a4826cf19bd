"""Real processes that use tokens, and that can be killed: `python -m tests.oauth.worker`, steered by `processes.py`.

It starts Django once and forks, as Celery does: each task runs in a child with a database connection of its own.
It alone kills its children, while it still is their parent: so a number never stands for somebody else's process.
What a task patches (`lease`, `keep_after`, `journal`) is patched in its child only.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

Told = dict[str, Any]


def migrate() -> Told:
    call_command("migrate", verbosity=0)
    return {}


def connect(*, slug: str, user: str) -> Told:
    """A new authorisation by `user`, whose access token has just expired."""
    from oauth.models import Token
    from tests.oauth import acme

    integration = acme.row(slug)
    acme.connect(integration, user=user)
    Token.objects.filter(integration=integration).update(expires_at=timezone.now() - timedelta(seconds=1))
    return look(slug=slug)


def use(*, slug: str, lease: float = 40, keep_after: float = 0, journal: bool = True, wait_for: str = "") -> Told:
    """Ask for an access token. `lease`: seconds it is claimed for. `keep_after`: seconds between the provider's answer
    and our commit. Without `journal`, what the dead left behind is not believed. `wait_for`: a file to wait for."""
    from integrations.models import Integration
    from integrations.providers.spec import ProviderError
    from oauth import services
    from oauth.services import refresh

    keep = refresh._keep

    def keep_later(*args: Any, **kwargs: Any) -> None:
        time.sleep(keep_after)
        keep(*args, **kwargs)

    refresh.LEASE = timedelta(seconds=lease)
    refresh._keep = keep_later
    if not journal:
        refresh._may_rotate = lambda grant, oauth: False
    integration = Integration.objects.get(slug=slug)
    if wait_for:
        Path(wait_for).with_name(f"ready-{os.getpid()}").touch()
        while not Path(wait_for).exists() and os.getppid() != 1:  # an orphan waits for nothing any more
            time.sleep(0.005)
    try:
        return {"token": services.access_token(integration)}
    except ProviderError as error:
        return {"code": error.code, "words": error.words}


def look(*, slug: str) -> Told:
    from oauth import services
    from oauth.models import Attempt, Token

    token = Token.objects.select_related("grant").get(integration__slug=slug)
    attempts = Attempt.objects.filter(grant=token.grant).order_by("started_at")
    return {
        "state": token.grant.state,
        "generation": token.grant.generation,
        "refresh_count": token.refresh_count,
        "attempts": list(attempts.values_list("outcome", flat=True)),
        "advice": services.advice(token),
    }


def churn(*, slug: str, seconds: float, lease: float = 40) -> Told:
    """Renew it again and again, as if its access token had just expired each time. A short `lease` is for where others
    are killed who hold one; with rotating tokens whoever is slower than it leaves the grant uncertain."""
    from integrations.models import Integration
    from integrations.providers.spec import ProviderError
    from oauth import services
    from oauth.models import Token
    from oauth.services import refresh

    refresh.LEASE = timedelta(seconds=lease)
    integration, ends = Integration.objects.get(slug=slug), time.monotonic() + seconds
    renewed, errors = 0, []
    while time.monotonic() < ends:
        Token.objects.filter(integration=integration).update(expires_at=timezone.now() - timedelta(seconds=1))
        try:
            services.access_token(integration)
            renewed += 1
        except ProviderError as error:
            errors.append(error.code or error.words)
    return {"renewed": renewed, "errors": errors}


def rotate(*, blind: bool = False) -> Told:
    """A row at a time, so that a kill finds it in the middle. `blind`: writes whatever was read, as it must not."""
    from config.vault import COLUMNS
    from integrations import crypto, vault
    from integrations.actor import SYSTEM

    def write_blindly(column: vault.Column, row: Any, dry_run: bool) -> bool:
        text = crypto.unseal(getattr(row, column.name), context=column.context(row))
        time.sleep(1.0)  # long enough for a renewal in between, also on a busy machine
        new = crypto.seal(text, context=column.context(row))
        return bool(column.model._default_manager.filter(pk=row.pk).update(**{column.name: new}))

    if blind:
        vault._rotate_value = write_blindly
    reports = vault.rotate(COLUMNS, actor=SYSTEM, batch=1)
    return {"resealed": sum(one.resealed for one in reports), "shut": [line for one in reports for line in one.shut]}


def keys() -> Told:
    """How many values lie under which key."""
    from collections import Counter

    from config.vault import COLUMNS
    from integrations import crypto

    found: Counter[str] = Counter()
    for column in COLUMNS:
        for value in column.model._default_manager.exclude(**{column.name: ""}).values_list(column.name, flat=True):
            found[crypto.key_of(value)] += 1
    return dict(found)


TASKS: dict[str, Callable[..., Told]] = {
    task.__name__: task for task in (migrate, connect, use, look, churn, rotate, keys)
}


def child(task: str, told: Told, out: Path) -> None:
    """Never returns; what the task gave is in `out`, whole or not at all."""
    try:
        given = TASKS[task](**told)
        connection.close()
        unfinished = out.with_suffix(".part")
        unfinished.write_text(json.dumps(given))
        unfinished.rename(out)
    except BaseException:  # noqa: BLE001 - whatever it was belongs to the child, which ends here
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def main() -> None:
    django.setup()
    from tests.oauth import acme

    acme.declare()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        match asked:
            case {"start": task, "told": told, "out": out}:
                if not (pid := os.fork()):
                    child(task, told, Path(out))
                answer = pid
            case {"kill": pid}:
                os.kill(pid, signal.SIGKILL)  # not yet waited for, so it is still ours, even if it has ended
                answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            case {"wait": pid}:
                answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()


if __name__ == "__main__":
    main()
