"""NetCash's confirmation, against the simulated NetCash."""

import pytest
from django.utils import timezone

from config import handlers
from healthchecks import look
from integrations import http
from integrations.models import ApiMetric, Integration
from integrations.providers import netcash, samples
from webhooks.models import Webhook, WebhookLog
from webhooks.services import process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def payment(sandbox) -> dict[str, str]:
    """A payment that NetCash knows, as its post tells it."""
    fields = netcash.fresh(samples.load("netcash", "TransactionAccepted"), 0.0, "p-1")
    sandbox.state.remember("netcash", fields)
    return fields


def arrived(fields: dict[str, str]) -> WebhookLog:
    return WebhookLog.objects.create(
        webhook=Webhook.objects.get(integration__slug="netcash"),
        body=b"",
        payload=fields,
        verified=False,
        idempotency_key=f"claimed {fields.get('Reason')}",
        due_at=timezone.now(),
    )


def processed(log: WebhookLog) -> WebhookLog:
    process.drain(handlers.TABLE)
    log.refresh_from_db()
    return log


def test_a_payment_that_netcash_knows_is_confirmed_and_the_look_up_recorded(payment):
    log = processed(arrived(payment))
    assert (log.status, log.verified, log.claims_key) == ("processed", True, True)
    assert "Confirmed by NetCash" in log.verification
    assert ApiMetric.objects.get().endpoint == "/PayNow/TransactionStatus/Check"


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("Amount", "1.00", "amount"),
        ("Amount", "not a sum", "amount"),
        ("Amount", "NaN", "amount"),
        ("Reference", "SOMEBODY-ELSES", "reference"),
        ("TransactionAccepted", "false", "outcome"),
    ],
)
def test_a_post_that_differs_from_netcashs_record_fails_for_good(payment, field, value, named):
    log = processed(arrived({**payment, field: value}))
    assert (log.status, log.due_at, log.verified) == ("failed", None, False)
    assert named in log.error_message


def test_a_post_about_an_unknown_payment_fails_for_good(payment):
    log = processed(arrived({**payment, "RequestTrace": "000000"}))
    assert (log.status, log.due_at, log.verified) == ("failed", None, False)


def test_the_same_payment_told_in_other_words_is_a_duplicate(payment):
    first, again = (
        processed(arrived(payment)),
        arrived({**payment, "Reason": "Success, once more", "Extra1": "changed"}),
    )
    assert processed(again).status == "duplicate"
    assert again.duplicate_of == first.pk


def test_while_netcash_is_away_the_payment_waits(payment, sandbox):
    sandbox.set_fault("netcash", "fail")
    log = processed(arrived(payment))
    assert log.status == "failed"
    assert log.due_at is not None
    sandbox.clear_fault("netcash")
    WebhookLog.objects.update(due_at=timezone.now())
    assert processed(log).status == "processed"


def test_nobody_but_the_status_service_is_asked(payment, monkeypatch):
    asked = []
    send = http.send
    monkeypatch.setattr(http, "send", lambda request, **kw: asked.append(request.url) or send(request, **kw))
    processed(arrived(payment))
    assert len(asked) == 1


def test_what_netcash_denied_is_kept_within_bounds_and_says_nothing_of_its_health(payment, monkeypatch):
    monkeypatch.setattr(process, "DENIED_KEPT", 3)
    for number in range(6):
        processed(arrived({**payment, "RequestTrace": f"made-up-{number}"}))
    assert WebhookLog.objects.filter(status="failed").count() == 3
    netcash_row = Integration.objects.get(slug="netcash")
    assert look.webhooks_seen([netcash_row], timezone.now())[netcash_row.pk].received == 0
