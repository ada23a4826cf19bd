"""The orders and the page: what they do, and that no web page can give them."""

from html.parser import HTMLParser
from typing import Any

import pytest
import requests

from integrations import providers
from integrations.sandbox.server import Sandbox

from .conftest import Ask, Clock
from .receiver import Receiver, eventually


def order(sandbox: Sandbox, method: str, path: str, **how: Any) -> requests.Response:
    return requests.request(method, sandbox.url + path, timeout=5, allow_redirects=False, **how)


def test_a_fault_is_set_and_cleared(sandbox: Sandbox, ask: Ask, clock: Clock) -> None:
    wanted = {"provider": "clickatell", "fault": "fail", "seconds": 120, "probability": 1}
    answer = order(sandbox, "POST", "/_sandbox/faults", json=wanted)
    assert (answer.status_code, answer.json()["until"]) == (200, clock.now + 120)
    assert ask("clickatell").status == 500
    assert order(sandbox, "DELETE", "/_sandbox/faults/clickatell").json() == {"cleared": "clickatell"}
    assert ask("clickatell").status == 200


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"provider": "nobody", "fault": "fail"}, "No provider is called 'nobody'"),
        ({"provider": "resend", "fault": "explode"}, "resend has no fault 'explode'"),
        ({"provider": "google-maps", "fault": "forge"}, "google-maps has no fault 'forge'"),
        ({"provider": "resend", "fault": "lost"}, "resend has no fault 'lost'"),
        ({"provider": "resend", "fault": "fail", "seconds": 0}, "from 1 s"),
        ({"provider": "resend", "fault": "fail", "seconds": "soon"}, "soon"),
        ({"provider": "resend", "fault": "fail", "seconds": [1]}, "list"),
        ({"provider": "resend", "fault": "fail", "probability": 2}, "above 0 and at most 1"),
        ({"provider": "resend", "fault": "slow", "delay": 1e9}, "at most 120 s"),
        ({}, "No provider is called ''"),
    ],
)
def test_nonsense_is_refused_in_words(sandbox: Sandbox, wanted: dict[str, Any], words: str) -> None:
    answer = order(sandbox, "POST", "/_sandbox/faults", json=wanted)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(sandbox: Sandbox, body: bytes) -> None:
    assert order(sandbox, "POST", "/_sandbox/faults", data=body).status_code == 400


def test_webhooks_are_sent_on_order_and_found_in_the_ledger(sending: Sandbox, receiver: Receiver) -> None:
    wanted = {"provider": "resend", "eventType": "email.bounced", "count": 2}
    answer = order(sending, "POST", "/_sandbox/send", json=wanted)
    assert answer.status_code == 202
    receiver.wait(2)
    eventually(lambda: all(entry.attempts for entry in sending.ledger()))
    ledger = order(sending, "GET", "/_sandbox/ledger?provider=resend").json()["deliveries"]
    assert [(entry["id"], entry["event"], entry["status"]) for entry in ledger] == [
        (number, "email.bounced", 200) for number in answer.json()["sent"]
    ]
    assert order(sending, "GET", "/_sandbox/ledger?provider=netcash").json() == {"deliveries": []}


def test_without_a_receiver_nothing_is_sent(sandbox: Sandbox) -> None:
    answer = order(sandbox, "POST", "/_sandbox/send", json={"provider": "resend"})
    assert (answer.status_code, "without a target" in answer.json()["error"]) == (400, True)


def test_the_state_tells_everything_but_secrets(sending: Sandbox, ask: Ask, lent: dict[str, str]) -> None:
    sending.set_fault("zoho-desk", "quiet")
    text = order(sending, "GET", "/_sandbox/state").text + order(sending, "GET", "/").text
    assert not [name for name, value in lent.items() if name != "ZOHO_ORG_ID" and value in text]
    state = order(sending, "GET", "/_sandbox/state").json()
    assert [each["provider"] for each in state["providers"]] == [
        *(provider.slug for provider in providers.PROVIDERS), "zoho-accounts",
    ]  # fmt: skip
    desk = next(each for each in state["providers"] if each["provider"] == "zoho-desk")
    assert desk["faults"][0]["name"] == "quiet"


def test_an_unknown_path_is_404(sandbox: Sandbox) -> None:
    for method, path in (("GET", "/x"), ("GET", "/_sandbox"), ("POST", "/"), ("PUT", "/_sandbox/faults")):
        assert order(sandbox, method, path).status_code == 404
    assert order(sandbox, "GET", "/%2e%2e/values.py").status_code == 404


# --- No web page gives orders ----------------------------------------------------------------------------------------

PATHS = ["/_sandbox/faults", "/_sandbox/send", "/accounts/oauth/v2/auth", "/resend/emails"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_an_order_from_another_site_is_refused(sandbox: Sandbox, path: str, headers: dict[str, str]) -> None:
    form = {"provider": "resend", "fault": "fail"}
    assert order(sandbox, "POST", path, data=form, headers=headers).status_code == 403
    assert sandbox.state.faults.current("resend", 0) == []


@pytest.mark.parametrize(
    "path", ["/", "/_sandbox/state", "/_sandbox/faults", "/resend/domains", "/accounts/oauth/v2/token"]
)
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[", "localhost@x.example"]
)
def test_another_host_name_is_refused(sandbox: Sandbox, path: str, host: str) -> None:
    for method in ("GET", "POST"):
        assert order(sandbox, method, path, headers={"Host": host}).status_code == 403


def test_our_own_page_may_give_orders(sandbox: Sandbox) -> None:
    headers = {"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin"}
    answer = order(sandbox, "POST", "/_sandbox/faults", data={"provider": "resend", "fault": "fail"}, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert sandbox.state.faults.current("resend", sandbox.state.clock())


def test_a_body_too_large_or_without_length_is_refused(sandbox: Sandbox) -> None:
    def chunks():
        yield b"{}"

    assert order(sandbox, "POST", "/_sandbox/faults", data=b"x" * (4 * 1024 * 1024 + 1)).status_code == 413
    assert order(sandbox, "POST", "/_sandbox/faults", data=chunks()).status_code == 411


# --- The page --------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Its forms (action, and the values that are set), and everything it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.loads: list[str] = []
        self.inline = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.inline = self.inline or "style" in found or any(name.startswith("on") for name in found)
        self.inline = self.inline or tag == "style" or (tag == "script" and "src" not in found)
        if tag == "form":
            self.forms.append((found["action"], {}))
        if tag in ("input", "button") and found.get("name"):
            self.forms[-1][1][found["name"]] = found.get("value", "")
        if tag in ("link", "script", "img"):
            self.loads.append(found.get("href") or found.get("src") or "")


def test_the_page_shows_every_provider_and_its_faults(sandbox: Sandbox) -> None:
    sandbox.set_fault("mtn-coverage", "throttle", seconds=90)
    html = order(sandbox, "GET", "/").text
    for provider in providers.PROVIDERS:
        assert provider.name in html
    assert "for 91 s more" in html or "for 90 s more" in html


def test_the_page_loads_nothing_from_elsewhere_and_nothing_inline(sandbox: Sandbox) -> None:
    answer = order(sandbox, "GET", "/")
    page = Page(answer.text)
    assert not page.inline
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert set(page.loads) == {"/sandbox.css", "/sandbox.js", "/sandbox.svg"}
    for path in set(page.loads):
        assert order(sandbox, "GET", path).status_code == 200


def test_the_clear_button_works_without_javascript(sandbox: Sandbox) -> None:
    sandbox.set_fault("netcash", "lost")
    sandbox.set_fault("netcash", "repeat")
    forms = Page(order(sandbox, "GET", "/").text).forms
    clearing = next(fields for action, fields in forms if fields == {"provider": "netcash", "fault": ""})
    assert order(sandbox, "POST", "/_sandbox/faults", data=clearing).status_code == 303
    assert sandbox.state.faults.current("netcash", sandbox.state.clock()) == []


def test_the_page_tells_of_webhooks_and_their_answers(sending: Sandbox, receiver: Receiver) -> None:
    receiver.statuses = [503]
    form = {"provider": "resend", "eventType": "email.sent"}
    assert order(sending, "POST", "/_sandbox/send", data=form).status_code == 303
    eventually(lambda: bool(sending.ledger()[0].attempts))
    html = order(sending, "GET", "/").text
    assert "email.sent" in html
    assert "503" in html
