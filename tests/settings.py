"""Settings of the test runs: fixed keys, a folder of its own, no `.env`, no sandbox.

TEST_ENGINE chooses the database: "sqlite" (default) or "postgresql" (TEST_DATABASE_URL).
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_folder = tempfile.mkdtemp(prefix="integrations-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ.update(
    ENV_FILE=os.devnull,
    DATA_DIR=_folder,
    SANDBOX="0",
    SECRET_KEY="test-only-secret-key-0123456789-0123456789-0123456789",
    TOKEN_ENCRYPTION_KEYS="t1:test-only-key",
    ACTIVITY_KEY="test-only-activity-key",
    PUBLIC_URL="http://localhost:8000",
)
for name in (
    "DATABASE_URL", "REDIS_URL", "CRON_SECRET", "SANDBOX_FILE", "ALERT_TO", "ALERT_FALLBACK_TO", "EMAIL_URL",
    "DEADMAN_URL",
):  # fmt: skip
    os.environ.pop(name, None)
if os.environ.get("TEST_ENGINE") == "postgresql":
    os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
# A developer's own credentials must not turn a test into a real call; only `make test-live` is there for that.
PROVIDERS = ("ZOHO_", "DIDIT_", "NETCASH_", "CLICKATELL_", "RESEND_", "GOOGLE_", "MTN_")
if os.environ.get("LIVE") != "1":
    for name in [n for n in os.environ if n.startswith(PROVIDERS)]:
        del os.environ[name]

from config.settings import *  # noqa: E402, F403
from config.settings import DATA_DIR, DATABASES, EMBEDDED  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECOND_FACTOR_FOR = "nobody"  # as on SQLite: tests of it say whom
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
SERVESTATIC_USE_FINDERS = True
API_READ_RATE = API_ACTION_RATE = "100000/min"
METRICS_BUFFERED = False  # a test sees at once what it recorded; tests/integrations/test_metrics.py turns it on
if EMBEDDED:  # a file, not memory: threads and processes must see the same rows
    DATABASES["default"]["TEST"] = {"NAME": str(Path(DATA_DIR) / "test.sqlite3")}
