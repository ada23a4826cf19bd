"""Which function handles which event: the explicit table that the worker reads (no signals, no import-time magic).

Table(handlers={("resend", "email.bounced"): mark_address, ("didit-kyc", "*"): update_kyc}, …)
"""

from healthchecks.alerts import bounces
from webhooks import handlers
from webhooks.services.process import Table

TABLE = Table(
    handlers={
        ("resend", "email.bounced"): bounces.email,
        ("resend", "email.complained"): bounces.email,
        ("resend", "email.failed"): bounces.email,
        ("resend", "email.suppressed"): bounces.email,
        ("clickatell", "messageStatusUpdate"): bounces.sms,
        **{("zoho-desk", kind): handlers.fetch_ticket for kind in handlers.TICKET_EVENTS},
    },
    confirmers={"netcash": handlers.confirm_netcash},
    asking=frozenset({"zoho-desk"}),
)
