"""`manage.py up`: the whole system on this machine, under one parent. What `make run` starts."""

import errno
import json
import os
import secrets
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand

from config import checks
from config import env as environment
from config.supervisor import Supervisor
from integrations import vault
from integrations.accounts.models import User
from integrations.models import Integration
from integrations.providers.spec import ProviderError
from integrations.sandbox.values import lend
from oauth import services as oauth

HOST = "127.0.0.1"


class Command(BaseCommand):
    help = "Run web, worker, beat and the sandbox together. Ctrl-C ends all of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=settings.PORT, help="Where the pages are (default: %(default)s)."
        )
        parser.add_argument(
            "--no-sandbox", action="store_true", help="Leave the simulated providers out (or SANDBOX=0)."
        )

    def handle(self, *args: Any, port: int, no_sandbox: bool, **options: Any) -> None:
        _require_free(port)
        sandboxed = not no_sandbox and environment.env.bool("SANDBOX", True)
        _require_keys()
        call_command("migrate", interactive=False, verbosity=0)
        _collect_static()
        password = _first_admin()
        env = {**os.environ, "PORT": str(port), "PUBLIC_URL": os.environ.get("PUBLIC_URL", f"http://localhost:{port}")}
        supervisor = Supervisor(say=self._say)
        self._shout(port, password, sandboxed)
        try:
            if sandboxed:
                self._start_sandbox(supervisor, env, port)
            else:
                _sandbox_file().unlink(missing_ok=True)
            python = sys.executable
            celery = [python, "-m", "celery", "--quiet", "-A", "config.celery"]
            supervisor.start("web", [python, "-m", "granian", *_granian(port)], {**env, "DATABASE_POOL": "1"})
            supervisor.start("worker", [*celery, "worker", *_worker()], env)
            supervisor.start("beat", [*celery, "beat", "--loglevel", "WARNING", "--pidfile="], env)
            supervisor.run()
        except KeyboardInterrupt:
            supervisor.end()
        finally:
            supervisor.end()
            _sandbox_file().unlink(missing_ok=True)
        self._say("stopped")

    # --- What people see ---------------------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        self.stdout.write(f"{time.strftime('%H:%M:%S')}  {line}")
        self.stdout.flush()

    def _shout(self, port: int, password: str, sandboxed: bool) -> None:
        lines = [
            "",
            f"  {settings.BRAND_NAME} Integrations",
            "",
            f"  Pages      http://localhost:{port}/admin/integrations",
            f"  API        http://localhost:{port}/api/docs",
        ]
        if sandboxed:
            lines.append(f"  Sandbox    http://{HOST}:{port + 1}/  (simulated providers; SANDBOX=0 leaves them out)")
        if password:
            lines.append(f"  Sign in    admin  /  {password}  (shown only now)")
        self.stdout.write("\n".join([*lines, "", "  Ctrl-C stops everything.", ""]))
        self.stdout.flush()

    # --- The sandbox -------------------------------------------------------------------------------------------------

    def _start_sandbox(self, supervisor: Supervisor, env: dict[str, str], port: int) -> None:
        """Start the simulator, leave word of where it is and what it lends, and let it grant the missing tokens."""
        where = port + 1
        _require_free(where)
        url = f"http://{HOST}:{where}"
        values = lend(lambda name: environment.generated(f"sandbox:{name}", settings.DATA_DIR))
        _write_private(_sandbox_file(), json.dumps({"url": url, "values": values}))
        env["SANDBOX_FILE"] = str(_sandbox_file())
        settings.SANDBOX_URL, settings.SANDBOX_VALUES = url, values
        command = [sys.executable, "manage.py", "sandbox", "--port", str(where), "--target", f"http://{HOST}:{port}"]
        supervisor.start("sandbox", command, env)
        if not _answers(where):
            self._say("the sandbox is slow to start; tokens will be missing until it is there")
            return
        for integration in Integration.objects.filter(requires_oauth=True):
            self._connect(integration)

    def _connect(self, integration: Integration) -> None:
        from integrations import credentials

        if integration.spec is None or not credentials.sandboxed(integration.spec):
            return
        try:
            oauth.connect_sandbox(integration)
        except ProviderError as error:
            self._say(f"{integration.name} got no token from the sandbox: {error.words}")


def _granian(port: int) -> list[str]:
    workers = settings.WEB_WORKERS
    return ["--interface", "asgi", "--host", HOST, "--port", str(port), "--workers", str(workers), "--no-ws",
            "--http", "1", "--log-level", "warning", "--respawn-failed-workers",
            "config.asgi:application"]  # fmt: skip


def _worker() -> list[str]:
    processes = environment.env.int("WORKER_PROCESSES", 2)
    return ["--loglevel", "WARNING", "--concurrency", str(processes), "--without-gossip", "--without-mingle",
            "--without-heartbeat"]  # fmt: skip


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "is taken by another program" if error.errno == errno.EADDRINUSE else "may not be used by this user"
            raise CommandError(f"Port {port} {why}. Choose another: make run PORT=8080") from None


def _require_keys() -> None:
    """Before anything is changed. A first start has no database to ask yet."""
    if troubles := [str(found.msg) for found in checks.what_was_sealed_opens(databases=["default"])]:
        raise CommandError("\n".join([*troubles, vault.WHAT_TO_DO]))


def _answers(port: int, seconds: float = 15.0) -> bool:
    return _within(seconds, lambda: socket.create_connection((HOST, port), timeout=1).close())


def _within(seconds: float, attempt: Callable[[], object]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            attempt()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def _sandbox_file() -> Path:
    return Path(settings.DATA_DIR) / "sandbox.json"


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _collect_static() -> None:
    """Hash and compress the static files, unless that was done since they last changed."""
    root = Path(settings.STATIC_ROOT)
    stamp, state = root / ".collected", _static_state()
    if not stamp.exists() or stamp.read_text() != state:
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
        stamp.write_text(state)


def _static_state() -> str:
    """Changes when a static file of ours or the set of installed packages does."""
    from importlib.metadata import distributions

    ours = sorted(f"{p}:{p.stat().st_mtime_ns}" for p in Path(settings.BASE_DIR, "static").rglob("*") if p.is_file())
    packages = sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions())
    return "\n".join([*ours, *packages])


def _first_admin() -> str:
    """Make the first admin if there is none; returns the password if it was made up here, else ""."""
    if User.objects.filter(is_superuser=True).exists():
        return ""
    password = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
    made_up = "" if password else secrets.token_urlsafe(12)
    user = User.objects.create_superuser(
        username=os.environ.get("DJANGO_SUPERUSER_USERNAME", "admin"),
        email=os.environ.get("DJANGO_SUPERUSER_EMAIL", "admin@localhost"),
        password=password or made_up,
    )
    user.groups.add(Group.objects.get(name="Super Admin"))
    return made_up
