"""Verify, read, store once."""

import dataclasses
import json
import threading

import pytest
from django.db import connection
from django.utils import timezone

from integrations.actor import Actor
from integrations.models import Activity
from integrations.providers import spec
from tests.webhooks.conftest import raw, signed
from webhooks.models import WebhookLog
from webhooks.services import receive

pytestmark = pytest.mark.django_db

RECEIVERS = [
    "zoho-crm", "zoho-sign", "zoho-billing", "didit-kyc", "netcash", "clickatell", "resend",
]  # fmt: skip


def take(route: receive.Route, delivery: spec.Delivery) -> list[WebhookLog]:
    rows = receive.admit(route, delivery, now=timezone.now())
    receive.store(rows)
    return rows


# --- Storing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", RECEIVERS)
def test_a_genuine_delivery_is_kept_with_its_bytes_and_waits_to_be_processed(route, slug):
    delivery = signed(slug)
    (row,) = take(route(slug), delivery)
    row.refresh_from_db()
    assert bytes(row.body) == delivery.body
    assert row.status == "pending"
    assert row.due_at is not None
    assert row.event_type
    assert row.idempotency_key
    assert receive.answer([row]) == {"received": True, "logId": str(row.pk)}


def test_the_second_delivery_becomes_a_duplicate_of_the_first(route):
    (first,) = take(route("resend"), signed("resend"))
    (second,) = take(route("resend"), signed("resend"))
    assert (second.status, second.duplicate_of, second.due_at) == ("duplicate", first.pk, None)
    assert second.idempotency_key == first.idempotency_key
    assert receive.answer([second]) == {"received": True, "logId": str(second.pk), "duplicateOf": str(first.pk)}


def test_the_same_key_at_another_receiver_is_another_event(route):
    key = "shared-key"
    rows = [
        WebhookLog(
            webhook_id=route(slug).webhook_id, body=b"{}", idempotency_key=key, claims_key=True, due_at=timezone.now()
        )
        for slug in ("resend", "didit-kyc")
    ]
    receive.store(rows)
    assert {row.status for row in rows} == {"pending"}


def test_one_batch_may_hold_an_event_and_its_duplicates(route):
    rows = [row for _ in range(5) for row in receive.admit(route("resend"), signed("resend"), now=timezone.now())]
    receive.store(rows)
    assert sorted(row.status for row in rows) == ["duplicate"] * 4 + ["pending"]
    first = next(row for row in rows if row.status == "pending")
    assert {row.duplicate_of for row in rows if row.status == "duplicate"} == {first.pk}
    assert WebhookLog.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_of_many_equal_deliveries_at_once_one_claims_the_key(route):
    resend = route("resend")

    def deliver() -> None:
        try:
            start.wait()
            take(resend, signed("resend"))
        finally:
            connection.close()

    start = threading.Barrier(8)
    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(WebhookLog.objects.values_list("status", flat=True))
    assert statuses == ["duplicate"] * 7 + ["pending"]


def test_a_duplicate_revives_an_event_that_failed_for_good_once(route):
    (first,) = take(route("resend"), signed("resend"))
    WebhookLog.objects.filter(pk=first.pk).update(status="failed", due_at=None, attempts=8)
    take(route("resend"), signed("resend"))
    first.refresh_from_db()
    assert first.due_at is not None
    assert first.revived_at is not None
    WebhookLog.objects.filter(pk=first.pk).update(status="failed", due_at=None)
    take(route("resend"), signed("resend"))
    first.refresh_from_db()
    assert first.due_at is None


def test_a_duplicate_leaves_an_event_alone_that_is_still_being_tried(route):
    (first,) = take(route("resend"), signed("resend"))
    later = timezone.now() + timezone.timedelta(hours=2)
    WebhookLog.objects.filter(pk=first.pk).update(status="failed", due_at=later)
    take(route("resend"), signed("resend"))
    first.refresh_from_db()
    assert (first.due_at, first.revived_at) == (later, None)


def test_a_desk_delivery_is_one_row_for_each_event(route):
    desk = route("zoho-desk")
    rows = [
        receive._row(
            desk,
            spec.Delivery(body=b"[]"),
            spec.Verified(hint=True),
            spec.Event("Ticket_Add", f"k{n}", {}),
            timezone.now(),
        )
        for n in range(3)
    ]
    receive.store(rows)
    assert receive.answer(rows) == {
        "received": True, "logId": str(rows[0].pk), "logIds": [str(row.pk) for row in rows],
    }  # fmt: skip


# --- Not genuine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", [slug for slug in RECEIVERS if slug not in ("netcash", "clickatell", "zoho-crm")])
def test_one_changed_byte_is_refused_and_leaves_no_row(route, slug):
    delivery = signed(slug)
    altered = dataclasses.replace(delivery, body=delivery.body.replace(b'"', b"'", 1))
    with pytest.raises(spec.Refused):
        take(route(slug), altered)
    assert not WebhookLog.objects.exists()


@pytest.mark.parametrize("slug", [slug for slug in RECEIVERS if slug != "netcash"])
def test_without_a_secret_nothing_is_accepted(route, slug, monkeypatch):
    delivery = signed(slug)
    monkeypatch.delenv(route(slug).secret_env)
    with pytest.raises(receive.NoSecret):
        take(route(slug), delivery)


def test_a_secret_is_changed_without_losing_what_the_old_one_still_signs(route, monkeypatch, secrets):
    old = signed("resend", delivery_id="msg_old")
    new = "whsec_bmV3LXNpZ25pbmcta2V5LTI0Ynl0ZXMh"
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", f"{new},{secrets['RESEND_WEBHOOK_SECRET']}")
    (row,) = take(route("resend"), old)
    assert row.status == "pending"


def test_an_unverifiable_netcash_post_waits_for_confirmation_and_claims_nothing(route, monkeypatch):
    monkeypatch.delenv("NETCASH_WEBHOOK_SECRET")
    body = b"TransactionAccepted=true&Reason=Success&RequestTrace=t-1&Reference=r-1&Amount=899.00&Method=1"
    rows = [*take(route("netcash"), spec.Delivery(body=body)), *take(route("netcash"), spec.Delivery(body=body))]
    assert [(row.verified, row.claims_key, row.status) for row in rows] == [(False, False, "pending")] * 2
    assert rows[0].idempotency_key == rows[1].idempotency_key != None  # noqa: E711 - both at once


def test_only_so_many_unverifiable_posts_may_wait(route, monkeypatch):
    monkeypatch.setattr(receive, "UNCONFIRMED_LIMIT", 3)
    for number in range(3):
        take(route("netcash"), spec.Delivery(body=f"RequestTrace={number}&TransactionAccepted=true".encode()))
    with pytest.raises(receive.TooManyUnconfirmed):
        take(route("netcash"), spec.Delivery(body=b"RequestTrace=9&TransactionAccepted=true"))
    take(route("resend"), signed("resend"))


def test_a_refusal_is_told_once_a_minute_for_each_reason(route):
    now = timezone.now().replace(second=5)
    caller = Actor(username="anonymous", ip_address="192.0.2.1")
    noted = [
        receive.note_refusal(route("resend"), reason=reason, detail="", actor=caller, now=moment)
        for reason in ("mismatch", "stale")
        for moment in (now, now, now + timezone.timedelta(minutes=1))
    ]
    assert noted == [True, False, True] * 2
    entry = Activity.objects.order_by("seq").first()
    assert (entry.action, entry.outcome, entry.integration_slug) == (
        "webhook_verification_failed",
        "refused",
        "resend",
    )
    assert entry.details == {"webhook": "/api/webhooks/resend", "reason": "mismatch", "detail": ""}


# --- Hostile bytes, genuinely signed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\xfa",
        b'{"type": "email.sent"',
        b"[1, 2, 3]",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"n": NaN}',
        b'{"n": 1e999}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b"null",
    ],
)
def test_what_can_not_be_read_is_kept_raw_and_has_failed_for_good(route, body):
    (row,) = take(route("resend"), raw(body))
    row.refresh_from_db()
    assert bytes(row.body) == body
    assert (row.status, row.due_at, row.payload) == ("failed", None, None)
    assert row.error_message.startswith("Genuine, but it can't be read: ")


@pytest.mark.parametrize(
    ("body", "readable"),
    [
        (rb'{"type": "email.sent", "note": "a\u0000b"}', "a\ufffdb"),
        (rb'{"type": "email.sent", "note": "\ud800"}', "\ufffd"),
        (rb'{"type": "email.sent", "note": "\ud83d\ude00"}', "\U0001f600"),
        (b'{"type": "email.sent", "note": "x", "note": "y"}', "y"),
    ],
)
def test_what_a_database_can_not_keep_is_replaced_in_the_readable_copy_only(route, body, readable):
    (row,) = take(route("resend"), raw(body))
    row.refresh_from_db()
    assert bytes(row.body) == body
    assert row.payload["note"] == readable
    assert row.status == "pending"


def test_names_and_keys_of_any_length_fit(route):
    body = json.dumps({"type": "t" * 5000}).encode()
    (row,) = take(route("resend"), raw(body, delivery_id="i" * 2000))
    row.refresh_from_db()
    assert len(row.event_type) == 200
    assert len(row.idempotency_key) <= 255


def test_credentials_in_headers_are_named_but_not_kept(route):
    genuine = signed("resend")
    delivery = dataclasses.replace(
        genuine,
        headers={
            **genuine.headers,
            "authorization": "Basic abc",
            "cookie": "session=1",
            "x-webhook-secret": "s",
            "x-api-key": "k",
            "x-zdesk-jwt": "j",
            "user-agent": "Svix",
        },
    )
    (row,) = take(route("resend"), delivery)
    for name in ("authorization", "cookie", "x-webhook-secret", "x-api-key", "x-zdesk-jwt"):
        assert row.headers[name] == "[redacted]"
    assert row.headers["user-agent"] == "Svix"
    assert row.headers["svix-signature"].startswith("v1,")


def test_a_row_made_in_a_hurry_is_like_any_other(route):
    (quick,) = receive.admit(route("resend"), signed("resend"), now=timezone.now())
    columns = {name: value for name, value in quick.__dict__.items() if name != "_state"}
    slow = WebhookLog(**{name: value for name, value in columns.items() if name != "as_it_came"})
    assert {name: value for name, value in slow.__dict__.items() if name != "_state"} | {"as_it_came": True} == columns
    assert (quick._state.adding, quick._state.db) == (slow._state.adding, slow._state.db) == (True, None)
    (other,) = receive.admit(route("resend"), signed("resend", delivery_id="other"), now=timezone.now())
    assert other.headers is not quick.headers
