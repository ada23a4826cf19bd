"""Reading the environment: one place that knows where a setting's value comes from.

A value comes, in this order, from the variable itself (``NAME``), from the file that ``NAME_FILE`` points at
(Docker and systemd secrets), or from a default. The embedded installation (no ``DATABASE_URL``) also *generates* the
keys it needs, once, into ``DATA_DIR/keys.json``: whoever backs up that folder backs up everything.
"""

import fcntl
import json
import os
import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()  # type: ignore[no-untyped-call]  # django-environ is typed in part


def secret(name: str, default: str = "") -> str:
    """The value of `name`, or the content of the file named by `name`_FILE, or `default`. Surrounding space is cut."""
    path = os.environ.get(f"{name}_FILE")
    if not os.environ.get(name) and path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(
                f"{name}_FILE points at {path}, which can't be read: {error.strerror}"
            ) from error
    return os.environ.get(name, default).strip()


def generated(name: str, data_dir: Path) -> str:
    """A random key for `name`, made at the first call and the same ever after; kept in `data_dir`/keys.json (0600).

    Safe against processes that start at once: the file is read and extended under a lock, and replaced atomically.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data_dir / "keys.json"
    with (data_dir / "keys.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in keys:
            keys[name] = secrets.token_urlsafe(32)
            draft = path.with_suffix(".new")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(keys, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    return keys[name]


def required(name: str, data_dir: Path, *, embedded: bool) -> str:
    """`name` from the environment; generated in the embedded installation; otherwise a clear refusal to start."""
    value = secret(name)
    if value:
        return value
    if embedded:
        return generated(name, data_dir)
    raise ImproperlyConfigured(
        f"{name} is not set. With DATABASE_URL set, keys are yours to keep: give {name} (or {name}_FILE), "
        f'for instance the output of: python -c "import secrets; print(secrets.token_urlsafe(50))"'
    )


def sandbox(path: Path) -> tuple[str, dict[str, str]]:
    """The running simulator's URL and the values it lends, as `manage.py up` left them; ("", {}) without one."""
    if not env.bool("SANDBOX", True) or not path.is_file():
        return "", {}
    content = json.loads(path.read_text())
    return content["url"], content["values"]
