"""What holds for every client: its operations work, whatever goes wrong is an error in words, and nothing leaks."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from integrations import credentials, http, limiter, providers
from integrations.clients import operations
from integrations.clients.base import FAILED, REFUSED, THROTTLED, Refusal
from integrations.clients.operations import OPERATIONS, Operation
from integrations.models import ApiMetric
from integrations.providers.spec import ProviderError
from integrations.sandbox.server import Sandbox
from integrations.sandbox.shapes import SHAPES
from tests.clients.conftest import Made
from tests.clients.samples import PERSON, RECORD, REQUEST, SAFE, SESSION, TRACE, WORDS, samples

pytestmark = pytest.mark.django_db

Run = Callable[..., Any]

SLUGS = list(OPERATIONS)
EVERY = [
    pytest.param(slug, each, id=f"{slug} {each.name}")
    for slug, all_of_it in OPERATIONS.items()
    for each in all_of_it
    if each.name != "payment_form"  # which calls nobody
]
every_operation = pytest.mark.parametrize(("slug", "operation"), EVERY)
every_client = pytest.mark.parametrize("slug", SLUGS)
NEED_A_CHANNEL = {"watches", "renew", "unwatch"}


def prepare(run: Run, operation: Operation) -> None:
    if operation.name in NEED_A_CHANNEL:
        run("zoho-crm", "watch")


def test_the_ten_have_clients_and_each_operation_its_sample() -> None:
    assert len(SLUGS) == 10
    assert set(SLUGS) <= {provider.slug for provider in providers.PROVIDERS}
    assert {slug: list(each) for slug, each in samples().items()} == {
        slug: [operation.name for operation in each] for slug, each in OPERATIONS.items()
    }


# --- All goes well ---------------------------------------------------------------------------------------------------


@every_operation
def test_every_operation_works_and_is_recorded_without_what_was_said(
    run: Run, slug: str, operation: Operation
) -> None:
    prepare(run, operation)
    run(slug, operation.name)
    metrics = list(ApiMetric.objects.all())
    assert metrics
    for metric in metrics:
        assert (metric.integration.slug, metric.source, metric.error_message) == (slug, "call", "")
        assert not [said for said in (PERSON, REQUEST, SESSION, RECORD, TRACE, WORDS, "?") if said in metric.endpoint]


@every_operation
def test_every_operation_says_what_it_does_and_where_that_is_written(slug: str, operation: Operation) -> None:
    assert "PROVIDERS §" in operation.words
    assert "[" in operation.words
    assert all(argument.shown for argument in operation.arguments())


# --- Something goes wrong --------------------------------------------------------------------------------------------

Expected = tuple[type[ProviderError], str, bool]
WRONG: dict[str, Expected] = {
    "fail": (Refusal, FAILED, False),
    "refuse": (Refusal, REFUSED, True),
    "throttle": (Refusal, THROTTLED, False),
    "hang": (http.Unreachable, "", False),
    "drip": (http.Unreachable, "", False),
    "reset": (http.Unreachable, "", False),
    "garbage": (Refusal, FAILED, False),
}


SLOW = ("hang", "drip")
FAULTY = [
    pytest.param(*each.values, fault, id=f"{each.id} {fault}")
    for each in EVERY
    for fault in WRONG
    if fault not in SLOW or each.values[1].name == SAFE[each.values[0]] or each.values[1].changes
]


@pytest.mark.parametrize(("slug", "operation", "fault"), FAULTY)
def test_every_fault_is_the_right_error_in_words(
    run: Run, made: Made, sandbox: Sandbox, slug: str, operation: Operation, fault: str
) -> None:
    prepare(run, operation)
    client = made(slug, timeout_s=0.2 if fault in SLOW else 5.0)
    client.token()
    sandbox.set_fault(slug, fault)
    kind, code, permanent = WRONG[fault]
    if (slug, fault) == ("netcash", "refuse"):  # a payment that can't be looked up now is not one that wasn't made
        permanent = False
    with pytest.raises(kind) as caught:
        run(slug, operation.name, client)
    error = caught.value
    assert (error.code, error.permanent) == (code, permanent)
    assert client.integration.name in error.words
    assert str(error) == error.words
    newest = ApiMetric.objects.order_by("-created_at").first()
    assert newest
    assert newest.error_message


@every_client
def test_a_slow_provider_is_waited_for(run: Run, sandbox: Sandbox, slug: str) -> None:
    sandbox.set_fault(slug, "slow", delay=0.2)
    began = time.monotonic()
    run(slug, SAFE[slug])
    assert time.monotonic() - began >= 0.2


@every_client
def test_nothing_that_is_secret_stands_in_an_error_or_a_metric(
    run: Run, made: Made, sandbox: Sandbox, lent: dict[str, str], slug: str
) -> None:
    client = made(slug, timeout_s=0.2)
    said = [repr(client)]
    for fault in WRONG:
        sandbox.set_fault(slug, fault)
        with pytest.raises(ProviderError) as caught:
            run(slug, SAFE[slug], client)
        said += [str(caught.value), repr(caught.value), repr(caught.value.args)]
        limiter.RateWindow.objects.all().delete()
    said += ApiMetric.objects.values_list("error_message", flat=True)
    secrets = [value for name, value in lent.items() if name not in ("ZOHO_ORG_ID", "ZOHO_CLIENT_ID")]
    text = "\n".join(said)
    assert not [value for value in (*secrets, client.token()) if value and value in text]


# --- Again, or not ---------------------------------------------------------------------------------------------------

LOOK_FIRST = {"watch", "submit"}
"""They read before they write: what is true of them stands in tests of their own."""


@pytest.mark.parametrize("fault", ["fail", "reset"])
@pytest.mark.parametrize(("slug", "operation"), [each for each in EVERY if each.values[1].name not in LOOK_FIRST])
def test_only_what_is_safe_is_tried_again(
    run: Run, made: Made, sandbox: Sandbox, slug: str, operation: Operation, fault: str
) -> None:
    prepare(run, operation)
    client = made(slug, retries=2, patience=30)
    client.token()
    before = asked(sandbox, slug)
    sandbox.set_fault(slug, fault)
    with pytest.raises(ProviderError) as caught:
        run(slug, operation.name, client)
    assert asked(sandbox, slug) - before == (1 if operation.changes else 3)
    assert ("look there before you send it again" in caught.value.words) == operation.changes


@every_client
def test_a_bad_moment_passes_unnoticed(run: Run, made: Made, sandbox: Sandbox, slug: str) -> None:
    client = made(slug, retries=2, patience=30)
    client.token()
    clear_after(sandbox, slug, 1)
    sandbox.set_fault(slug, "fail")
    run(slug, SAFE[slug], client)
    assert max(ApiMetric.objects.values_list("status_code", flat=True)) >= 500


@every_client
def test_what_the_provider_turned_down_is_not_tried_again(run: Run, made: Made, sandbox: Sandbox, slug: str) -> None:
    client = made(slug, retries=2)
    client.token()
    before = asked(sandbox, slug)
    sandbox.set_fault(slug, "refuse")
    with pytest.raises(ProviderError):
        run(slug, SAFE[slug], client)
    assert asked(sandbox, slug) - before == 1


def asked(sandbox: Sandbox, slug: str) -> int:
    return sum(number for by_status in sandbox.requests(slug).values() for number in by_status.values())


def clear_after(sandbox: Sandbox, slug: str, number: int) -> None:
    """The provider mends its ways after so many requests."""
    strike, left = sandbox.state.faults.strike, [number]

    def struck(owner: str, kind: Any, now: float) -> Any:
        if owner == slug and kind == "api":
            if not left[0]:
                return None
            left[0] -= 1
        return strike(owner, kind, now)

    sandbox.state.faults.strike = struck  # type: ignore[method-assign]


# --- Slow down -------------------------------------------------------------------------------------------------------


@every_client
def test_a_provider_that_asks_for_a_pause_has_one_from_everybody(
    run: Run, made: Made, sandbox: Sandbox, slug: str
) -> None:
    client = made(slug, retries=2, patience=1)
    client.token()
    sandbox.set_fault(slug, "throttle")
    with pytest.raises(Refusal) as caught:
        run(slug, SAFE[slug], client)
    assert (caught.value.code, caught.value.wait >= 30) == (THROTTLED, True)
    sandbox.clear_fault(slug)
    before = asked(sandbox, slug)
    with pytest.raises(limiter.TooSoon, match="asked us to slow down") as soon:
        run(slug, SAFE[slug], client)
    assert soon.value.words.startswith(client.integration.name)
    assert soon.value.wait > 20
    assert asked(sandbox, slug) == before


def others_use_it_up(sandbox: Sandbox, lent: dict[str, str]) -> None:
    """Somebody else with the same key makes the two calls that Resend allows in a second."""
    for _ in range(2):
        headers = {"Authorization": f"Bearer {lent['RESEND_API_KEY']}"}
        requests.get(f"{sandbox.url}/resend/domains", headers=headers, timeout=5)


def test_whoever_comes_during_a_short_pause_waits_for_its_end(
    run: Run, made: Made, sandbox: Sandbox, lent: dict[str, str]
) -> None:
    others_use_it_up(sandbox, lent)
    with pytest.raises(Refusal) as caught:
        run("resend", "send_email", made("resend"))
    assert (caught.value.provider_code, caught.value.wait) == ("rate_limit_exceeded", 1.0)
    began = time.monotonic()
    run("resend", "send_email", made("resend", patience=5))
    assert time.monotonic() - began > 0.5
    assert sandbox.requests("resend")["POST /emails"] == {429: 1, 200: 1}


def test_what_was_throttled_was_not_obeyed_and_is_sent_again(
    run: Run, made: Made, sandbox: Sandbox, lent: dict[str, str]
) -> None:
    others_use_it_up(sandbox, lent)
    run("resend", "send_email", made("resend", retries=1, patience=5))
    assert sandbox.requests("resend")["POST /emails"] == {429: 1, 200: 1}


# --- The provider's own words ----------------------------------------------------------------------------------------

THROTTLES = {
    "45", "1070", "TOO_MANY_REQUESTS", "daily_quota_exceeded", "monthly_quota_exceeded", "OVER_QUERY_LIMIT",
    "RESOURCE_EXHAUSTED",
}  # fmt: skip
REFUSES = {
    "OAUTH_SCOPE_MISMATCH", "NO_PERMISSION", "57", "SCOPE_MISMATCH", "no_credits", "missing_api_key",
    "restricted_api_key", "OVER_DAILY_LIMIT", "REQUEST_DENIED", "PERMISSION_DENIED",
}  # fmt: skip
PASSES = {"UNKNOWN_ERROR"}
WITHOUT_A_WORD = {"no_credits", "fields"}
OTHER_OPERATION = {
    "INVALID_QUERY": "coql", "LIMIT_EXCEEDED": "coql", "PERMISSION_DENIED": "autocomplete",
    "RESOURCE_EXHAUSTED": "autocomplete", "fields": "create_session", "301": "send_sms", "9101": "create",
    "validation_error": "send_email", "INVALID_DATA": "create_ticket",
}  # fmt: skip


@pytest.mark.parametrize(
    ("slug", "word"),
    [(slug, word) for slug, words in SHAPES.items() for word in words if word not in ("DUPLICATE_DATA", "null")],
)
def test_every_documented_error_is_told_by_its_own_word(run: Run, sandbox: Sandbox, slug: str, word: str) -> None:
    sandbox.set_fault(slug, word)
    with pytest.raises(Refusal) as caught:
        run(slug, OTHER_OPERATION.get(word, SAFE[slug]))
    error = caught.value
    code = THROTTLED if word in THROTTLES else REFUSED if word in REFUSES else FAILED
    assert (error.code, error.permanent) == (code, word not in THROTTLES | PASSES)
    assert error.provider_code == ("" if word in WITHOUT_A_WORD else word)
    assert error.status == SHAPES[slug][word].status
    (metric,) = ApiMetric.objects.all()
    assert metric.error_message


@pytest.mark.parametrize(
    ("slug", "word", "seconds"),
    [
        ("resend", "daily_quota_exceeded", 3600),
        ("resend", "monthly_quota_exceeded", 3600),
        ("zoho-billing", "45", 3600),
        ("zoho-billing", "1070", 2),
        ("google-maps", "OVER_QUERY_LIMIT", 30),
    ],
)
def test_how_long_it_wants_to_be_left_alone_is_taken_from_its_words(
    run: Run, sandbox: Sandbox, slug: str, word: str, seconds: float
) -> None:
    sandbox.set_fault(slug, word)
    with pytest.raises(Refusal) as caught:
        run(slug, SAFE[slug])
    assert caught.value.wait == seconds


@every_client
def test_without_its_credentials_nobody_is_asked_and_the_variable_is_named(
    made: Made, sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch, slug: str
) -> None:
    provider = providers.get(slug)
    assert provider
    names = [*credentials.names(provider), *provider.settings]
    client, operation = made(slug), operations.find(slug, SAFE[slug])
    assert operation
    settings.SANDBOX_VALUES = {}
    if not names or slug == "netcash":
        operation.function(client, **samples()[slug][SAFE[slug]])  # they ask for none
        return
    with pytest.raises(ProviderError) as caught:
        operation.function(client, **samples()[slug][SAFE[slug]])
    assert (caught.value.code, caught.value.permanent) == ("not_configured", True)
    assert all(name in caught.value.words for name in names)
    assert asked(sandbox, slug) == 0
