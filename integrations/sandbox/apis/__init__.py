"""The ten providers as servers: each file is one product, a table of routes and its ways of saying no."""

import random
from dataclasses import replace

from integrations import providers
from integrations.sandbox import oauth
from integrations.sandbox.apis import (
    clickatell,
    didit,
    google,
    mtn,
    netcash,
    plain,
    resend,
    zoho_billing,
    zoho_crm,
    zoho_desk,
    zoho_sign,
)
from integrations.sandbox.faults import Fault
from integrations.sandbox.shapes import SHAPES
from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Reply, Route, text

_OWN = {
    api.slug: api
    for api in (
        zoho_crm.API, zoho_sign.API, zoho_billing.API, zoho_desk.API, didit.API,
        netcash.API, mtn.API, clickatell.API, resend.API, google.API,
    )
}  # fmt: skip


def find(prefix: str) -> Api | None:
    """Who is played under this first part of a path: a provider's slug, or ``accounts`` for Zoho's sign-in."""
    if prefix == "accounts":
        return oauth.API
    provider = providers.get(prefix)
    return (_OWN.get(prefix) or plain.play(provider)) if provider else None


_NONSENSE = (
    text("<!doctype html><title>Maintenance</title><h1>We will be right back</h1>"),
    Reply(200, b'{"status": "ok", "data": [{"id": 1, "na\xff\xfe\x00', {"Content-Type": "application/json"}),
)


def serve(api: Api, call: Call, state: State) -> Reply:
    """What `api` says to `call`, its faults included; counted."""
    route, call = api.find(call)
    fault = state.faults.strike(api.slug, "api", call.now)
    reply = _answer(api, route, call, state, fault)
    counted = 0 if reply.manner in ("hang", "reset") else reply.status
    state.counters.add(api.slug, f"{call.method} {route.path}" if route else "unknown path", counted)
    return reply


def _answer(api: Api, route: Route | None, call: Call, state: State, fault: Fault | None) -> Reply:
    if fault and (shape := SHAPES.get(api.slug, {}).get(fault.name)):
        return shape.reply()
    match fault.name if fault else "":
        case "fail":
            return api.failed(call)
        case "refuse":
            return api.refused(call)
        case "throttle":
            return api.throttled(call, 30)
        case "garbage":
            return random.choice(_NONSENSE)  # noqa: S311 - no key
        case "hang" | "reset" as manner if fault:
            return Reply(manner=manner, delay=fault.delay)
        case "slow" | "drip" as manner if fault:
            honest = _honest(api, route, call, state)
            return replace(honest, manner=manner, delay=fault.delay)
        case name:
            return _honest(api, route, replace(call, fault=name), state)


def _honest(api: Api, route: Route | None, call: Call, state: State) -> Reply:
    if route is None:
        return api.missing(call)
    if route.open:
        return route.handler(call, state)
    if refusal := api.admit(call, state):
        return refusal
    quota = api.quota(call)
    if quota is None:
        return route.handler(call, state)
    key = (api.slug, call.method, route.path) if quota.each == "endpoint" else (api.slug, str(quota.requests))
    window = state.meter.hit(key, limit=quota.requests, seconds=quota.seconds, now=call.now)
    reply = api.throttled(call, window.seconds) if window.over else route.handler(call, state)
    return reply.adding(quota.headers(window))
