"""One good call of every operation, against the sandbox."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from integrations.clients import sign

PERSON = "lerato.dlamini@example.com"
REQUEST = "222008000000016075"
SESSION = "6f1d3a52-0000-4000-8000-000000000001"
RECORD = "5725767000003000001"
TRACE = "100000000042"
EVENT = "90300000005337"
WORDS = "A text that nobody may find in a metric"

PAYMENT = {"RequestTrace": TRACE, "Reference": "INV-42", "Amount": "899.00", "TransactionAccepted": "true"}
BILLED = {"event_id": EVENT, "event_type": "payment_thankyou", "event_time": "2026-11-22T20:31:00.000Z", "data": {}}


def samples() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """By integration and operation, what it is called with."""
    signer = sign.Signer(name="Lerato Dlamini", email=PERSON)
    field = sign.Field(action_id=f"{REQUEST}10", document_id=f"{REQUEST}90", x=100, y=200)
    return {
        "zoho-crm": {
            "records": {"module": "Leads", "fields": ["Email", "Last_Name"]},
            "record": {"module": "Leads", "id": RECORD},
            "search": {"module": "Leads", "email": PERSON},
            "upsert": {"module": "Leads", "records": [{"Last_Name": WORDS}], "match": ["Email"]},
            "coql": {"query": f"select Email from Leads where Last_Name = '{WORDS}'"},
            "watches": {},
            "watch": {
                "channel_id": "1000000068001", "events": ["Leads.all"], "token": "t-1",
                "notify_url": "https://hooks.example.com/api/webhooks/zoho/crm",
                "until": timezone.now() + timedelta(days=6),
            },
            "renew": {
                "channel_id": "1000000068001", "events": ["Leads.all"], "token": "t-2",
                "notify_url": "https://hooks.example.com/api/webhooks/zoho/crm",
                "until": timezone.now() + timedelta(days=6),
            },
            "unwatch": {"channel_ids": ["1000000068001"]},
        },
        "zoho-sign": {
            "requests": {},
            "request": {"id": REQUEST},
            "create": {"name": WORDS, "documents": {"nda.pdf": b"%PDF-1.4"}, "signers": [signer]},
            "submit": {"id": REQUEST, "fields": [field]},
            "pdf": {"id": REQUEST},
        },
        "zoho-billing": {
            "plans": {},
            "customers": {},
            "subscriptions": {},
            "events": {"since": timezone.now() - timedelta(days=365 * 20)},
            "event": {"id": EVENT},
        },
        "zoho-desk": {
            "tickets": {},
            "ticket": {"id": RECORD},
            "create_ticket": {"subject": WORDS, "department_id": "1892000000006907", "contact_id": "18920000"},
            "update_ticket": {"id": RECORD, "changes": {"status": "Closed"}},
            "comments": {"ticket_id": RECORD},
            "add_comment": {"ticket_id": RECORD, "content": WORDS},
            "webhooks": {},
        },
        "didit-kyc": {
            "create_session": {"workflow_id": SESSION, "vendor_data": WORDS, "email": PERSON},
            "decision": {"session_id": SESSION},
            "balance": {},
            "destinations": {},
        },
        "netcash": {
            "payment_form": {"reference": "INV-42", "description": "Fibre", "amount": Decimal("899.00")},
            "transaction_status": {"trace": TRACE},
        },
        "mtn-coverage": {
            "covered": {"latitude": -26.2, "longitude": 28.05, "layers": ["mtnsi:MTNSA-Coverage-LTE"]},
        },
        "clickatell": {
            "send_sms": {"to": "+27 82 000 0001", "text": WORDS},
            "balance": {},
        },
        "resend": {
            "send_email": {"sender": "CircleTel <a@example.com>", "to": [PERSON], "subject": "Hi", "text": WORDS},
            "email": {"id": SESSION},
            "domains": {},
            "webhooks": {},
        },
        "google-maps": {
            "geocode": {"address": WORDS},
            "autocomplete": {"text": WORDS},
        },
    }  # fmt: skip


SAFE = {
    "zoho-crm": "records", "zoho-sign": "requests", "zoho-billing": "plans", "zoho-desk": "tickets",
    "didit-kyc": "balance", "netcash": "transaction_status", "mtn-coverage": "covered", "clickatell": "balance",
    "resend": "domains", "google-maps": "geocode",
}  # fmt: skip
"""Of each client an operation that only reads."""
