""" "NetCash payments stopped arriving: why?" Three clicks from the overview to the reason."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from config import handlers, wakeup
from healthchecks import services as health
from integrations.accounts.models import User
from integrations.actor import SYSTEM
from integrations.models import Integration
from integrations.providers import samples, spec
from integrations.sandbox.server import Sandbox
from tests.factories import WebhookLogFactory
from webhooks.models import RefusalTally, Webhook, WebhookLog
from webhooks.services import process, quarantine, receive

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

Enter = Callable[[User | None, str], Page]


@pytest.fixture
def netcash(registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> receive.Route:
    monkeypatch.setattr(wakeup, "_send", lambda *_: None)
    monkeypatch.setenv("NETCASH_WEBHOOK_SECRET", "netcash-secret")
    route = next(route for route in receive.routes().values() if route.slug == "netcash")
    three_days_ago = timezone.now() - timedelta(days=3)  # since then none was processed
    WebhookLogFactory(
        webhook=Webhook.objects.get(pk=route.webhook_id), created_at=three_days_ago, processed_at=three_days_ago
    )
    return route


def notice(route: receive.Route, number: int, secret: str = "") -> spec.Delivery:
    """A payment notice; signed only with a secret, as a gateway in between would."""
    payload = route.webhook.fresh(
        samples.load("netcash", "TransactionAccepted"), timezone.now().timestamp(), f"n{number}"
    )
    return route.webhook.sign(payload, secret, now=timezone.now().timestamp(), delivery_id=f"n{number}")


def test_notices_that_netcash_does_not_know_are_found_in_three_clicks(
    enter: Enter, alice: User, netcash: receive.Route, sandbox: Sandbox
) -> None:
    sandbox.set_fault("netcash", "lost")
    for number in range(6):
        receive.store(receive.admit(netcash, notice(netcash, number), now=timezone.now()))
    process.drain(handlers.TABLE)
    health.check(integration=Integration.objects.get(slug="netcash"), actor=SYSTEM)
    page = enter(alice, "/admin/integrations")
    page.locator("#attention-netcash summary").click()  # 1
    page.locator("#attention-netcash").get_by_role("link", name="Open its events").click()  # 2
    page.locator("#feed .row > summary").first.click()  # 3
    body = page.locator("#feed .row").first
    expect(body.locator(".problem")).to_contain_text("Transaction not found")
    expect(body.get_by_role("group", name="Payload")).to_contain_text("RequestTrace")


def test_a_secret_that_was_changed_is_found_in_three_clicks(enter: Enter, alice: User, netcash: receive.Route) -> None:
    hook, now = Webhook.objects.get(pk=netcash.webhook_id), timezone.now()
    delivery = notice(netcash, 1, "the-new-one")
    with pytest.raises(spec.Refused) as refusal:
        receive.admit(netcash, delivery, now=now)
    found = quarantine.Refused(
        route=netcash, delivery=delivery, reason=refusal.value.reason, detail=refusal.value.detail, at=now,
        caller=SYSTEM, keep=True, note=True,
    )  # fmt: skip
    place = (hook.pk, quarantine.hour_of(now))
    quarantine.keep([found], {place: {found.reason: 1}})
    assert RefusalTally.objects.exists()
    health.check(integration=Integration.objects.get(slug="netcash"), actor=SYSTEM)
    page = enter(alice, "/admin/integrations")
    page.locator("#attention-netcash summary").click()  # 1
    expect(page.locator("#attention-netcash")).to_contain_text("No payment notice since")
    page.locator("#attention-netcash").get_by_role("link", name="Open its events").click()  # 2
    page.locator("#notices").get_by_role("link", name="NetCash Pay Now").click()  # 3
    expect(page.get_by_role("heading", name="Why, in the last 24 hours")).to_be_visible()
    expect(page.locator("#live")).to_contain_text("It was signed with another secret")
    row = page.locator("#live .row").first
    row.locator("> summary").click()
    expect(row.get_by_role("group", name="What it says")).to_contain_text("RequestTrace")
    assert WebhookLog.objects.count() == 1
