"""With a production environment, Django's deployment checks and our own have nothing to say."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": os.devnull,
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "PUBLIC_URL": "https://integrations.example.com",
        **{key: secrets.token_urlsafe(50) for key in ("SECRET_KEY", "TOKEN_ENCRYPTION_KEYS", "ACTIVITY_KEY")},
        **env,
    }
    given = {name: value for name, value in given.items() if value}
    return subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=given, capture_output=True, text=True, check=False
    )


def test_the_deployment_checks_are_clean(tmp_path):
    done = run("check", "--deploy", "--fail-level", "WARNING", DATA_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_plain_http_and_every_host_are_not(tmp_path):
    done = run(
        "check", "--deploy", "--fail-level", "WARNING",
        DATA_DIR=str(tmp_path), PUBLIC_URL="http://integrations.example.com", ALLOWED_HOSTS="*",
    )  # fmt: skip
    assert done.returncode == 1
    assert "config.W001" in done.stderr
    assert "config.E001" in done.stderr


@pytest.mark.parametrize(
    ("found", "env"),
    [
        ("config.W004", {"ACTIVITY_KEY": "brief-key-1"}),
        ("config.W004", {"CRON_SECRET": "a" * 64}),
        ("config.W004", {"TOKEN_ENCRYPTION_KEYS": f"1:{secrets.token_urlsafe(32)},2:weak"}),
        ("config.W005", {"DATABASE_URL": "postgres://circletel:postgres@127.0.0.1:1/none"}),
        ("config.W005", {"REDIS_URL": "redis://:changeme@127.0.0.1:1/0"}),
        ("config.W006", {"OUTBOUND_ALLOW_PRIVATE": "1"}),
    ],
)
def test_what_can_be_guessed_is_named_and_not_shown(tmp_path, found, env):
    done = run("check", "--deploy", "--fail-level", "WARNING", DATA_DIR=str(tmp_path), **env)
    assert (done.returncode, found in done.stderr) == (1, True), done.stderr
    assert not any(value in done.stderr for name, value in env.items() if name != "OUTBOUND_ALLOW_PRIVATE")


def test_a_key_that_is_missing_is_named_with_the_way_to_make_one(tmp_path):
    done = run("check", DATA_DIR=str(tmp_path), ACTIVITY_KEY="")
    assert done.returncode != 0
    assert "ACTIVITY_KEY is not set" in done.stderr
    assert "token_urlsafe" in done.stderr


def test_a_key_may_lie_in_a_file(tmp_path):
    (tmp_path / "key").write_text(secrets.token_urlsafe(50) + "\n")
    assert run("check", DATA_DIR=str(tmp_path), SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path / "key")).returncode == 0
    unreadable = run("check", DATA_DIR=str(tmp_path), SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path / "none"))
    assert "SECRET_KEY_FILE points at" in unreadable.stderr
