"""The operations of each integration's client, as data: for `manage.py call` and whoever else lists them."""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

from integrations.clients import billing, clickatell, crm, desk, didit, google, mtn, netcash, resend, sign


@dataclass(frozen=True, slots=True)
class Argument:
    """`hint`: its type as annotated; `shown`: the same for people; `default` is `...` where it must be given."""

    name: str
    hint: Any
    shown: str
    default: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """A function of a client. `changes`: something at the provider is another then, or somebody gets a message."""

    function: Callable[..., Any]
    changes: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def words(self) -> str:
        return inspect.getdoc(self.function) or ""

    def arguments(self) -> list[Argument]:
        """All that can be typed: neither the client nor what is a function."""
        hints = get_type_hints(self.function)
        return [
            Argument(
                name=name,
                hint=hints[name],
                shown=_shown(hints[name]),
                default=... if parameter.default is inspect.Parameter.empty else parameter.default,
            )
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and get_origin(hints[name]) is not Callable
        ]


def _shown(hint: Any) -> str:
    """A type as people are told of it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _shown(inner[0])
    if origin is Sequence:
        return "texts" if inner[0] is str else f"[{_shown(inner[0])}, …]"
    if origin is Mapping:
        return "files" if inner[1] is bytes else "{…}"
    if is_dataclass(hint):
        return f"{{{', '.join(field.name for field in fields(hint))}}}"
    return {str: "text", int: "number", float: "number", bool: "true or false", datetime: "time"}.get(hint, "amount")


OPERATIONS: Mapping[str, tuple[Operation, ...]] = {
    "zoho-crm": (
        Operation(crm.records),
        Operation(crm.record),
        Operation(crm.search),
        Operation(crm.upsert, changes=True),
        Operation(crm.coql),
        Operation(crm.watches),
        Operation(crm.watch, changes=True),
        Operation(crm.renew, changes=True),
        Operation(crm.unwatch, changes=True),
    ),
    "zoho-sign": (
        Operation(sign.requests),
        Operation(sign.request),
        Operation(sign.create, changes=True),
        Operation(sign.submit, changes=True),
        Operation(sign.pdf),
    ),
    "zoho-billing": (
        Operation(billing.plans),
        Operation(billing.customers),
        Operation(billing.subscriptions),
        Operation(billing.events),
        Operation(billing.event),
    ),
    "zoho-desk": (
        Operation(desk.tickets),
        Operation(desk.ticket),
        Operation(desk.create_ticket, changes=True),
        Operation(desk.update_ticket, changes=True),
        Operation(desk.comments),
        Operation(desk.add_comment, changes=True),
        Operation(desk.webhooks),
    ),
    "didit-kyc": (
        Operation(didit.create_session, changes=True),
        Operation(didit.decision),
        Operation(didit.balance),
        Operation(didit.destinations),
    ),
    "netcash": (
        Operation(netcash.payment_form),
        Operation(netcash.transaction_status),
    ),
    "mtn-coverage": (Operation(mtn.covered),),
    "clickatell": (
        Operation(clickatell.send_sms, changes=True),
        Operation(clickatell.balance),
    ),
    "resend": (
        Operation(resend.send_email, changes=True),
        Operation(resend.email),
        Operation(resend.domains),
        Operation(resend.webhooks),
    ),
    "google-maps": (
        Operation(google.geocode),
        Operation(google.autocomplete),
    ),
}  # fmt: skip


def find(slug: str, name: str) -> Operation | None:
    return next((each for each in OPERATIONS.get(slug, ()) if each.name == name), None)
