"""What sends: e-mail by our own Resend client or SMTP, SMS by our own Clickatell client, the rest by apprise.

Nothing here knows of alarms or of the outbox. Each way is bounded in time, says in words why it failed, and lets no
secret of its route into them.
"""

import logging
import smtplib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from healthchecks.alerts.routes import Route
from healthchecks.models import Alarm, Alert
from integrations import credentials
from integrations.clients import clickatell, resend
from integrations.models import HealthStatus, Integration
from integrations.providers.spec import ProviderError
from oauth import services as oauth

log = logging.getLogger(__name__)
T = TypeVar("T")

SECONDS = 20.0
"""For a way that isn't ours: SMTP, apprise. Our own clients keep their own time."""

MAIL, SMS = "resend", "clickatell"
"""The integrations that carry e-mails and text messages."""
_UNWELL = (HealthStatus.DEGRADED, HealthStatus.DOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`key` is the same at every try, so that who knows it already can tell. `again`: it was tried before."""

    subject: str
    text: str
    sms: str
    tone: str
    key: str
    again: bool = False


def tone(alert: Alert) -> str:
    """As apprise names it: failure, warning, success or info."""
    match alert.kind:
        case Alert.Kind.RECOVERED:
            return "success"
        case Alert.Kind.TEST:
            return "info"
    return "failure" if alert.severity == Alarm.Severity.CRITICAL else "warning"


def send(route: Route, message: Message) -> str:
    """Send it, once. Returns the channel's own name for it, "" where it has none. Raises ProviderError."""
    try:
        match route.kind:
            case "mail":
                return _mail(route, message)
            case "sms":
                return _text(route, message)
            case "apprise":
                return _by_apprise(route, message)
    except ProviderError as error:
        raise ProviderError(route.scrubbed(error.words), permanent=error.permanent, code=error.code) from None
    raise ProviderError(route.trouble, permanent=True)


# --- Whom to rely on -------------------------------------------------------------------------------------------------


def through_patients(routes: Iterable[Route]) -> frozenset[int]:
    """The positions of those that lead through a provider which is itself unwell."""
    unwell = set(
        Integration.objects.filter(slug__in=(MAIL, SMS), is_active=True, health_status__in=_UNWELL).values_list(
            "slug", flat=True
        )
    )
    carried = {"mail": "" if settings.EMAIL_URL else MAIL, "sms": SMS}
    return frozenset(route.position for route in routes if carried.get(route.kind) in unwell)


def _carrier(slug: str) -> Integration | None:
    """The integration, if it can be used: switched on, and its key is set (or the sandbox plays it)."""
    row = Integration.objects.filter(slug=slug, is_active=True).first()
    usable = row is not None and row.spec is not None and not credentials.missing(row.spec)
    return row if usable else None


# --- E-mail ----------------------------------------------------------------------------------------------------------


def _mail(route: Route, message: Message) -> str:
    """Through Resend; through SMTP where that is set and Resend is unwell, not set up, or failed just now."""
    row = _carrier(MAIL)
    by_smtp = bool(settings.EMAIL_URL)
    if row is not None and not (by_smtp and (message.again or row.health_status in _UNWELL)):
        return resend.send_email(
            oauth.client_of(row), sender=settings.ALERT_FROM, to=[route.target], subject=message.subject,
            text=message.text, idempotency_key=message.key,
        )  # fmt: skip
    if not by_smtp:
        words = "There is no way to send e-mail: set RESEND_API_KEY (and leave Resend switched on) or EMAIL_URL."
        raise ProviderError(words, code="not_configured")
    return _bounded(lambda: _by_smtp(route, message), "The mail server")


def _by_smtp(route: Route, message: Message) -> str:
    host = settings.ALERT_FROM.rpartition("@")[2].rstrip("> ") or "localhost"
    name = f"<{message.key}@{host}>"
    mail = EmailMessage(
        message.subject, message.text, settings.ALERT_FROM, [route.target],
        headers={"Message-ID": name, "Auto-Submitted": "auto-generated"},
        connection=get_connection(fail_silently=False, timeout=SECONDS / 2),
    )  # fmt: skip
    try:
        taken = mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        codes = "; ".join(f"{code} {_said(said)}" for code, said in error.recipients.values())
        raise ProviderError(f"The mail server refuses the address: {codes}") from None
    except smtplib.SMTPResponseException as error:
        raise ProviderError(f"The mail server answers {error.smtp_code}: {_said(error.smtp_error)}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise ProviderError(f"The mail server can't be used: {type(error).__name__}: {error}") from None
    if not taken:
        raise ProviderError("The mail server took nothing.")
    return name


def _said(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


# --- SMS -------------------------------------------------------------------------------------------------------------


def _text(route: Route, message: Message) -> str:
    row = _carrier(SMS)
    if row is None:
        words = "There is no way to send SMS: set CLICKATELL_API_KEY, and leave Clickatell switched on."
        raise ProviderError(words, code="not_configured")
    return clickatell.send_sms(oauth.client_of(row), to=route.target, text=message.sms, client_message_id=message.key)


# --- Everything else -------------------------------------------------------------------------------------------------


def _by_apprise(route: Route, message: Message) -> str:
    return _bounded(lambda: _notified(route, message), "It")


def _notified(route: Route, message: Message) -> str:
    import apprise  # a tenth of a second and fifty modules, of use to nobody who sends nothing

    asset = apprise.AppriseAsset(
        app_id=settings.BRAND_NAME, async_mode=False, http_redirects=False, allow_templates=False, plugin_paths=[]
    )
    service = apprise.Apprise.instantiate(route.target, asset=asset)
    if service is None:
        raise ProviderError("apprise can't use this URL: compare it with what apprise's documentation asks for.")
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    with sender.notify(
        title=message.subject, body=message.text, notify_type=message.tone, body_format="text", timeout=SECONDS / 2
    ) as result:
        if result:
            return ""
        said = " ".join(dict.fromkeys(entry.message for entry in result.logs()))
    raise ProviderError(said[:500] or "It was not taken, and apprise doesn't say why.")


def _bounded(work: Callable[[], T], who: str) -> T:
    """What `work` gives, or raises; ProviderError when it isn't over in time. Its thread then ends by itself."""
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that asked
            raised.append(error)

    thread = threading.Thread(target=run, name="alert-channel", daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        raise ProviderError(f"{who} gave no complete answer within {SECONDS:g} s.", code="hangs")
    if raised and isinstance(raised[0], ProviderError):
        raise raised[0]
    if raised:
        log.error("A channel broke: %s", type(raised[0]).__name__)  # its words may hold what is secret
        raise ProviderError(f"The channel broke: {type(raised[0]).__name__}.")
    return given[0]
