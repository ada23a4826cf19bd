"""Settings, in one file. Everything that differs between installations comes from the environment (`.env.example`).

Two shapes of installation, told apart by ``DATABASE_URL`` alone:

* *embedded* (unset): SQLite, Celery over the file system, generated keys, no server but ours. What `make run` gives.
* *deployed* (set): PostgreSQL, and Redis by ``REDIS_URL``; every key must be given.
"""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF

from config.env import env, required, sandbox, secret
from integrations import headers

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env.read_env(os.environ.get("ENV_FILE", BASE_DIR / ".env"))

DATABASE_URL = secret("DATABASE_URL")
REDIS_URL = secret("REDIS_URL")
EMBEDDED = not DATABASE_URL
DATA_DIR = Path(env.str("DATA_DIR", "var")).expanduser()
if not DATA_DIR.is_absolute():
    DATA_DIR = BASE_DIR / DATA_DIR

DEBUG = env.bool("DEBUG", False)
PORT = env.int("PORT", 8000)
PUBLIC_URL = env.str("PUBLIC_URL", f"http://localhost:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
HTTPS = _public.scheme == "https"
PUBLIC_HOST = _public.hostname or "localhost"

SECRET_KEY = required("SECRET_KEY", DATA_DIR, embedded=EMBEDDED)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# "id:key" pairs, newest first; the first seals, all open (docs/operations.md, "Rotating keys").
TOKEN_ENCRYPTION_KEYS = required("TOKEN_ENCRYPTION_KEYS", DATA_DIR, embedded=EMBEDDED)
# Keys the activity chain. Changing it starts no new chain: old rows would no longer verify.
ACTIVITY_KEY = required("ACTIVITY_KEY", DATA_DIR, embedded=EMBEDDED)
CRON_SECRET = secret("CRON_SECRET")
METRICS_TOKEN = secret("METRICS_TOKEN")

ALLOWED_HOSTS = [*env.list("ALLOWED_HOSTS", default=[]), PUBLIC_HOST, "localhost", "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])

# --- What we are called ----------------------------------------------------------------------------------------------
BRAND_NAME = env.str("BRAND_NAME", "CircleTel")
BRAND_ACCENT = env.str("BRAND_ACCENT", "")

# --- Apps ------------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "integrations.apps.SuperuserAdminConfig",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "integrations.accounts",  # after those whose pages in the Django admin it replaces
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "config.static.OurStaticFilesConfig",
    "csp",
    "django_celery_beat",
    "django_cotton.apps.SimpleAppConfig",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "lucide",
    "rest_framework",
    "template_partials.apps.SimpleAppConfig",
    "integrations.apps.IntegrationsConfig",
    "integrations.cron",
    "oauth",
    "webhooks",
    "healthchecks",
    "config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    # Outside of all that answers by itself: what every answer carries.
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.RequestIdMiddleware",
    "config.middleware.PrivateByDefaultMiddleware",
    "config.middleware.PageMethodsMiddleware",
    "config.closed.MaintenanceMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "integrations.accounts.sessions.SessionEndMiddleware",
    "config.middleware.LoginRequiredMiddleware",
    "integrations.accounts.login.required.SecondFactorMiddleware",
    "config.middleware.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False  # API paths have none, and a redirect would drop a POST body

# cotton and template-partials both wrap loaders: named once here, the cached loader outermost.
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django_cotton.cotton_loader.Loader",
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
            "builtins": [
                "django_cotton.templatetags.cotton",
                "template_partials.templatetags.partials",
                "lucide.templatetags.lucide",
                "django.templatetags.i18n",
                "django.templatetags.static",
                "django.contrib.humanize.templatetags.humanize",
                "integrations.templatetags.integrations",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.shell.shell",
            ],
        },
    }
]
COTTON_DIR = "components"

# --- Data ------------------------------------------------------------------------------------------------------------
if EMBEDDED:
    _database: dict[str, Any] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "db.sqlite3",
        "OPTIONS": {
            # FULL: a 2xx to a provider means that the row survives a power cut (NORMAL may lose the last commits).
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728;",
            # IMMEDIATE: writers queue at BEGIN for `timeout` seconds instead of failing in mid-transaction.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }
else:
    _database = env.db_url_config(DATABASE_URL)  # type: ignore[no-untyped-call]  # django-environ is typed in part
    _database["OPTIONS"] = {"connect_timeout": 5, **_database.get("OPTIONS", {})}
    if env.bool("DATABASE_POOL", False):  # the web process: threads come and go, a pool keeps their connections
        # Health checks: a connection that died in the pool (PostgreSQL was restarted) is never handed out.
        _database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 16, "timeout": 5}
        _database["CONN_HEALTH_CHECKS"] = True
    else:
        _database |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Without Redis nothing that web processes would share is shared: then one serves all.
WEB_WORKERS = env.int("WEB_WORKERS", 2 if REDIS_URL else 1)
# Shared counters (rate limits). Without Redis there is one web process, so its own memory is shared by all of it.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # What a process counts by itself while Redis is away (integrations/api/limits.py).
    "alone": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "alone"},
}

# --- Celery: only a wake-up; every waiting thing is a row (config/celery.py) -----------------------------------------
CELERY_BROKER_URL = secret("CELERY_BROKER_URL") or REDIS_URL or "filesystem://localhost"

# --- People ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "guardian.backends.ObjectPermissionBackend"]
ANONYMOUS_USER_NAME = None  # django-guardian: no "AnonymousUser" row; anonymous people have no rights here
GUARDIAN_MONKEY_PATCH_USER = False
GUARDIAN_MONKEY_PATCH_GROUP = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "account_login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Who must have a second factor: "acting" (who may do more than look), "everyone", "nobody", or roles, comma-separated.
SECOND_FACTOR_FOR = env.str("SECOND_FACTOR_FOR", "nobody" if EMBEDDED else "acting").strip()
ACCOUNT_ADAPTER = "integrations.accounts.login.adapters.Accounts"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = _public.scheme
ACCOUNT_SESSION_REMEMBER = True  # as long as a session of ours lasts (integrations/accounts/sessions.py)
ACCOUNT_RATE_LIMITS = MFA_RATE_LIMITS = False  # ours lock nobody out (integrations/accounts/login/guessing.py)
MFA_ADAPTER = "integrations.accounts.login.adapters.Factors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS  # browsers allow it on localhost alone
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_RECOVERY_CODE_DIGITS = 10
MFA_TOTP_TOLERANCE = 1
MFA_TOTP_ISSUER = f"{BRAND_NAME} Integrations"
MFA_FORMS = {
    "authenticate": "integrations.accounts.login.factors.Authenticate",
    "activate_totp": "integrations.accounts.login.factors.ActivateTotp",
    "deactivate_totp": "integrations.accounts.login.factors.DeactivateTotp",
}

# The company's own sign-in, by OpenID Connect; unset: none (integrations/accounts/login/company.py).
OIDC_ISSUER = env.str("OIDC_ISSUER", "").rstrip("/")
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = secret("OIDC_CLIENT_SECRET")
OIDC_NAME = env.str("OIDC_NAME", f"{BRAND_NAME} account")
OIDC_SCOPES = env.list("OIDC_SCOPES", default=["openid", "profile", "email"])
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", "groups")
OIDC_ROLES = env.list("OIDC_ROLES", default=[])  # "group=Role", so many as there are
OIDC_SECOND_FACTOR = env.bool("OIDC_SECOND_FACTOR", True)  # the provider asks for one: ours asks for no other
SOCIALACCOUNT_ADAPTER = "integrations.accounts.login.company.Company"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form's redirect elsewhere is what the Content-Security-Policy forbids
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "company",
                "name": OIDC_NAME,
                "client_id": OIDC_CLIENT_ID,
                "secret": OIDC_CLIENT_SECRET,
                "settings": {
                    "server_url": OIDC_ISSUER,
                    "scope": OIDC_SCOPES,
                },
            }
        ]
        if OIDC_ISSUER
        else [],
    }
}

# --- Closed for planned work (config/closed.py) ----------------------------------------------------------------------
MAINTENANCE = env.str("MAINTENANCE", "").strip()
MAINTENANCE_FILE = Path(env.str("MAINTENANCE_FILE", str(DATA_DIR / "maintenance")))

# --- Safety ----------------------------------------------------------------------------------------------------------
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no cookie of their own
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_IDLE_MINUTES = env.int(
    "SESSION_IDLE_MINUTES", 30
)  # 0: only the twelve hours end one (integrations/accounts/sessions.py)
SECURE_SSL_REDIRECT = False  # the reverse proxy redirects; a POST must never be redirected here
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # which asks for that redirect
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "font-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
        "manifest-src": [SELF],
    }
}
CSRF_FAILURE_VIEW = "config.views.stale"
# A variable that holds a secret must begin like this: nobody points `secret_env_var` at SECRET_KEY.
SECRET_ENV_PREFIXES = (
    "CLICKATELL_", "DIDIT_", "GOOGLE_", "MTN_", "NETCASH_", "RESEND_", "WEBHOOK_", "ZOHO_",
    *env.list("SECRET_ENV_PREFIXES", default=[]),
)  # fmt: skip

# What an error page or report may show: with DEBUG too, no value of any variable.
DEFAULT_EXCEPTION_REPORTER = "config.errors.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "config.errors.Filter"

# --- The door out ----------------------------------------------------------------------------------------------------
OUTBOUND_ALLOW_PRIVATE = env.bool("OUTBOUND_ALLOW_PRIVATE", False)
OUTBOUND_ALLOWED_NETWORKS = env.list("OUTBOUND_ALLOWED_NETWORKS", default=[])
# Written by `manage.py up` while the simulator runs: its URL, and stand-ins for what is unset.
SANDBOX_FILE = Path(env.str("SANDBOX_FILE", str(DATA_DIR / "sandbox.json") if EMBEDDED else ""))
SANDBOX_URL, SANDBOX_VALUES = sandbox(SANDBOX_FILE)

# --- API -------------------------------------------------------------------------------------------------------------
API_READ_RATE = env.str("API_READ_RATE", "120/min")
API_ACTION_RATE = env.str("API_ACTION_RATE", "10/min")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "integrations.api.authentication.BearerAuthentication",
        "integrations.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["integrations.api.permissions.DeclaredPermission"],
    "DEFAULT_THROTTLE_CLASSES": ["integrations.api.limits.PerUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["integrations.api.parsing.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "integrations.api.problems.handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Integrations API",
    "DESCRIPTION": "Health, tokens, webhooks and jobs of every third-party integration.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["integrations.api.permissions.SignedIn"],
    "SCHEMA_PATH_PREFIX": "/api/",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "TAGS": [
        {"name": "Registry", "description": "The integrations and what is known of each."},
        {"name": "Health", "description": "How they are, by which rule, and a check at once."},
        {"name": "Alerts", "description": "What is amiss, and who was told of it."},
        {"name": "Webhooks", "description": "Receivers and every delivery."},
        {"name": "OAuth", "description": "Whether there are tokens; never what they are."},
        {"name": "Jobs", "description": "What runs when."},
        {"name": "Activity", "description": "Who did what."},
    ],
    "POSTPROCESSING_HOOKS": ["integrations.api.openapi.problems"],
}

# --- Language, time, files -------------------------------------------------------------------------------------------
# One for the whole installation, so that what workers write is in the language of the pages (docs/translation.md).
LANGUAGE_CODE = env.str("LANGUAGE_CODE", "en-za")
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = env.str("TIME_ZONE", "Africa/Johannesburg")
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_KEEP_ONLY_HASHED_FILES = True
SERVESTATIC_ALLOW_ALL_ORIGINS = False
SERVESTATIC_ADD_HEADERS_FUNCTION = headers.static
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static.Storage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

# --- Webhooks, health ------------------------------------------------------------------------------------------------
WEBHOOK_MAX_BYTES = 1_048_576
WEBHOOK_RETRY_WAITS = env.list("WEBHOOK_RETRY_WAITS", cast=int, default=[5, 300, 1800, 7200, 18000, 36000, 36000])
# Refused deliveries a minute from one source to one receiver, before it is answered 429; 0: no limit.
WEBHOOK_REFUSALS_PER_MINUTE = env.int("WEBHOOK_REFUSALS_PER_MINUTE", 120)
WEBHOOK_LEASE_SECONDS = env.int("WEBHOOK_LEASE_SECONDS", 30)
HEALTH_SILENCE_HOURS = env.int("HEALTH_SILENCE_HOURS", 48)
# Calls are recorded in company, half a second late at most; off: each at once, and its caller waits for it.
METRICS_BUFFERED = env.bool("METRICS_BUFFERED", True)
# Single calls are kept for so long, at least two days; their hourly roll-ups 400 days.
METRICS_RETENTION_DAYS = env.int("METRICS_RETENTION_DAYS", 30)
# What is personal in an event is dropped after so many days, at least one; the event stays as its receiver says.
PERSONAL_RETENTION_DAYS = env.int("PERSONAL_RETENTION_DAYS", 30)
# Entries of the activity log are kept for so long, at least 30 days.
ACTIVITY_RETENTION_DAYS = env.int("ACTIVITY_RETENTION_DAYS", 90)

# --- Alerts ----------------------------------------------------------------------------------------------------------
# Routes, comma-separated (healthchecks/alerts/routes.py). They may hold secrets: nowhere shown but masked.
ALERT_TO = secret("ALERT_TO")
ALERT_FALLBACK_TO = secret("ALERT_FALLBACK_TO")
ALERT_FROM = env.str("ALERT_FROM", f"{BRAND_NAME} alerts <alerts@{_public.hostname or 'localhost'}>")
# Django's own mail settings come out of it; unset, e-mail goes through Resend alone.
EMAIL_URL = secret("EMAIL_URL")
if EMAIL_URL:
    globals().update(env.email_url_config(EMAIL_URL))  # type: ignore[no-untyped-call]  # typed in part
EMAIL_TIMEOUT = 10
DEADMAN_URL = secret("DEADMAN_URL")

# --- Logs ------------------------------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "config.logs.Line", "readable": DEBUG and sys.stderr.isatty()}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "django.request": {"level": "ERROR"},
        "celery": {"level": "WARNING"},
        # It writes whole URLs, of which a part is a secret; what it has to say is kept with the delivery.
        "apprise": {"handlers": ["nowhere"], "level": "WARNING", "propagate": False},
        "urllib3": {"level": "INFO"},  # at DEBUG it writes whole addresses: a query may carry a key
    },
}
