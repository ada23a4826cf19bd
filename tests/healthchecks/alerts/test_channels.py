"""What sends, against what is there to be spoken to: the sandbox's Resend and Clickatell, a mail server, apprise."""

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from healthchecks.alerts import alarms, channels, outbox, routes
from healthchecks.alerts.channels import Message
from healthchecks.models import Alarm, Delivery
from integrations.models import Integration
from integrations.providers.spec import ProviderError
from tests.healthchecks.alerts.conftest import unwell

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = Message(subject="[CircleTel] Zoho Desk is down", text="Long.", sms="Short.", tone="failure", key="k-1")


def route(text: str) -> routes.Route:
    return routes._read(text, 1, fallback=False)


def use(settings, mail_server) -> None:
    for name, value in mail_server.settings.items():
        setattr(settings, name, value)


# --- E-mail ----------------------------------------------------------------------------------------------------------


def test_an_email_goes_through_our_resend_client(sandbox, registry):
    assert len(channels.send(route("mailto:ops@example.com"), MESSAGE)) == 36
    assert sandbox.requests("resend")["POST /emails"] == {200: 1}


def test_without_resend_it_goes_through_the_mail_server(registry, settings, mail_server):
    use(settings, mail_server)
    name = channels.send(route("mailto:ops@example.com"), MESSAGE)
    (mail,) = mail_server.got
    assert (mail["To"], mail["Subject"]) == ("ops@example.com", MESSAGE.subject)
    assert mail["From"] == settings.ALERT_FROM
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == name == "<k-1@localhost>"  # the same at every try: a mail program shows it once
    assert mail.get_content().strip() == "Long."


@pytest.mark.parametrize("status", ["degraded", "down"])
def test_where_resend_is_the_patient_the_mail_server_carries_it(sandbox, registry, settings, mail_server, status):
    use(settings, mail_server)
    unwell(registry["resend"], status=status)
    channels.send(route("mailto:ops@example.com"), MESSAGE)
    assert len(mail_server.got) == 1
    assert "POST /emails" not in sandbox.requests("resend")
    assert channels.through_patients([route("mailto:ops@example.com")]) == frozenset()


def test_where_resend_failed_just_now_the_next_try_is_the_mail_servers(sandbox, registry, settings, mail_server):
    use(settings, mail_server)
    sandbox.set_fault("resend", "refuse")
    with pytest.raises(ProviderError):
        channels.send(route("mailto:ops@example.com"), MESSAGE)
    channels.send(
        route("mailto:ops@example.com"), Message(subject="s", text="t", sms="", tone="info", key="k", again=True)
    )
    assert len(mail_server.got) == 1


def test_without_either_it_says_what_to_set(registry):
    with pytest.raises(ProviderError, match=r"RESEND_API_KEY .* or EMAIL_URL"):
        channels.send(route("mailto:ops@example.com"), MESSAGE)


def test_a_switched_off_resend_is_not_used(sandbox, registry):
    Integration.objects.filter(slug="resend").update(is_active=False)
    with pytest.raises(ProviderError, match="switched on"):
        channels.send(route("mailto:ops@example.com"), MESSAGE)


def test_a_mail_server_that_refuses_the_address_is_quoted_without_it(registry, settings, mail_server):
    use(settings, mail_server)
    mail_server.refuse = True
    with pytest.raises(ProviderError) as error:
        channels.send(route("mailto:ops@example.com"), MESSAGE)
    assert "550 5.1.1 no such user here" in error.value.words
    assert "ops@example.com" not in error.value.words


def test_a_mail_server_that_is_not_there_is_told(registry, settings, mail_server):
    use(settings, mail_server)
    settings.EMAIL_PORT = 9
    with pytest.raises(ProviderError, match="ConnectionRefusedError"):
        channels.send(route("mailto:ops@example.com"), MESSAGE)


# --- SMS -------------------------------------------------------------------------------------------------------------


def test_a_text_message_goes_through_our_clickatell_client(sandbox, registry):
    assert len(channels.send(route("sms:+27820000001"), MESSAGE)) == 32
    assert sandbox.requests("clickatell")["POST /v1/message"] == {202: 1}


def test_without_clickatell_it_says_what_to_set(registry):
    with pytest.raises(ProviderError, match="CLICKATELL_API_KEY"):
        channels.send(route("sms:+27820000001"), MESSAGE)


# --- apprise ---------------------------------------------------------------------------------------------------------


def test_apprise_brings_subject_text_and_gravity(phone):
    assert channels.send(route(phone.url), MESSAGE) == ""
    (got,) = phone.got
    assert (got["title"], got["message"], got["type"]) == (MESSAGE.subject, "Long.", "failure")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("json://127.0.0.1:9/hidden-path?key=hidden-key", "connection"),
        ("nosuchthing://x-hidden", "can't use this URL"),
    ],
)
def test_what_apprise_says_is_told_without_the_secret(url, words, caplog, settings):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ProviderError, match=f"(?i){words}") as error:
        channels.send(route(url), MESSAGE)
    ours = " ".join(record.getMessage() for record in caplog.records if record.name != "apprise")
    assert "hidden" not in error.value.words + ours
    told = settings.LOGGING["loggers"]["apprise"]  # what it logs itself, whole URLs, goes nowhere
    assert (told["handlers"], told["propagate"]) == (["nowhere"], False)


def test_one_that_hangs_is_given_up_on(phone, monkeypatch):
    monkeypatch.setattr(channels, "SECONDS", 0.2)
    import threading

    gate = threading.Event()
    monkeypatch.setattr(channels, "_notified", lambda *_: gate.wait(10) and "")
    with pytest.raises(ProviderError, match=r"no complete answer within 0\.2 s"):
        channels.send(route(phone.url), MESSAGE)
    gate.set()


def test_one_that_breaks_tells_its_kind_and_no_more(phone, monkeypatch, caplog):
    def broken(*_):
        raise ValueError("the secret")

    monkeypatch.setattr(channels, "_notified", broken)
    with pytest.raises(ProviderError, match="ValueError") as error:
        channels.send(route(phone.url), MESSAGE)
    assert "the secret" not in error.value.words + caplog.text


def test_apprise_is_not_loaded_by_those_who_send_nothing():
    import subprocess
    import sys

    code = "import django, sys; django.setup(); import config.schedule; sys.exit('apprise' in sys.modules)"
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": "/usr/bin:/bin"}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


# --- The patient -----------------------------------------------------------------------------------------------------


def test_a_second_channel_when_the_first_is_the_patient(sandbox, registry, clock, settings, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = "mailto:ops@example.com", "sms:+27820000001"
    unwell(registry["resend"])
    turn()
    assert sandbox.requests("clickatell")["POST /v1/message"] == {202: 1}
    assert sandbox.requests("resend")["POST /emails"] == {200: 1}  # it may work all the same
    assert Alarm.objects.get().told_at == timezone.now()


@pytest.mark.parametrize(
    ("patient", "first"), [("clickatell", "sms:+27820000001"), ("resend", "mailto:o@example.com")]
)
def test_it_does_not_matter_what_the_alert_is_about(sandbox, registry, clock, settings, pager, turn, patient, first):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = first, pager.url
    Integration.objects.filter(slug=patient).update(health_status="degraded")
    unwell(registry["netcash"])
    turn()
    assert len(pager.got) == 1


def test_a_sound_route_beside_it_is_enough(sandbox, registry, clock, settings, phone, pager, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = f"mailto:ops@example.com,{phone.url}", pager.url
    unwell(registry["resend"])
    turn()
    assert (len(phone.got), pager.asked) == (1, 0)


def test_a_resend_that_is_down_for_the_sender_too_is_made_up_for(sandbox, registry, clock, settings, pager, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = "mailto:ops@example.com", pager.url
    sandbox.set_fault("resend", "refuse")
    unwell(registry["netcash"])  # nobody has noticed that of Resend yet
    turn()
    assert len(pager.got) == 1
    first = Delivery.objects.get(fallback=False)
    assert (first.status, first.due_at) == ("waiting", timezone.now() + timedelta(seconds=outbox.WAITS[0]))


def test_nul_in_channels_words(registry, clock, settings, phone, pager, turn, monkeypatch):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = phone.url, pager.url
    sent = channels.send

    def send(route: routes.Route, message: Message) -> str:
        if not route.fallback:
            raise ProviderError("The mail server answers 550: a\x00b.")
        return sent(route, message) + "\x00"

    monkeypatch.setattr(channels, "send", send)
    unwell(registry["netcash"])
    turn()
    assert len(pager.got) == 1
    first, second = Delivery.objects.order_by("fallback")
    assert (first.error, first.due_at) == (
        "The mail server answers 550: a\ufffdb.", timezone.now() + timedelta(seconds=outbox.WAITS[0])
    )  # fmt: skip
    assert (second.status, second.provider_id) == ("sent", "\ufffd")


def test_a_repeat_by_resend_carries_the_same_key(sandbox, registry, settings, monkeypatch):
    """Killed between its answer and our stamp, the second sending is no second e-mail (24 h at Resend)."""
    from integrations.clients import resend

    keys = []

    def heard(client, *, idempotency_key, **rest):
        keys.append(idempotency_key)
        raise ProviderError("no answer")

    monkeypatch.setattr(resend, "send_email", heard)
    settings.ALERT_TO = "mailto:ops@example.com"
    unwell(registry["netcash"])
    alarms.watch(now=timezone.now())
    for _ in range(2):
        outbox.run_due()
        Delivery.objects.update(due_at=timezone.now())
    assert keys == [str(Delivery.objects.get().pk)] * 2
