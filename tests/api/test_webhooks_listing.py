"""Lists of deliveries: the same rows in the same order whichever indexes they are read by, and text found in them."""

from datetime import timedelta
from itertools import product

import pytest
from django.db import connection
from django.utils import timezone
from guardian.shortcuts import assign_perm

from tests.api.test_webhooks_csv import rows_of
from webhooks.models import Webhook, WebhookLog
from webhooks.services import listing, search

pytestmark = pytest.mark.django_db

NOW = timezone.now()
LOGS = "/webhooks/logs"


@pytest.fixture
def hooks(registry) -> dict[str, Webhook]:
    return {hook.integration.slug: hook for hook in Webhook.objects.select_related("integration")}


def log(hook: Webhook, minutes: float = 0, **fields) -> WebhookLog:
    """A delivery of so many minutes ago."""
    fields = {"status": "processed", "body": b"{}", "created_at": NOW - timedelta(minutes=minutes), **fields}
    return WebhookLog.objects.create(webhook=hook, **fields)


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["logs"]]


@pytest.fixture
def mixed(hooks) -> list[WebhookLog]:
    """Of each receiver, status and type some, several of them at the same instant."""
    kinds = product(("resend", "didit-kyc"), WebhookLog.Status.values, ("a.made", "b.made", None), (False, True))
    rows = [
        log(hooks[slug], number // 3, status=status, event_type=kind, is_test=is_test)
        for number, (slug, status, kind, is_test) in enumerate(kinds)
    ]
    return sorted(rows, key=lambda row: (row.created_at, row.pk), reverse=True)


FILTERS = [
    dict(pairs)
    for pairs in product(
        *[[(name, value), (name, None)] for name, value in (
            ("integration", "resend"), ("status", "failed"), ("eventType", "a.made"), ("isTest", "true"),
            ("from", (NOW - timedelta(minutes=12)).isoformat()),
        )]
    )
]  # fmt: skip


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: "-".join(k for k, v in filters.items() if v) or "all")
def test_every_set_of_filters_lists_what_fits_newest_first_by_page_and_by_cursor(api, mixed, filters):
    asked = {name: value for name, value in filters.items() if value}
    fits = [
        str(row.pk)
        for row in mixed
        if (not asked.get("integration") or row.webhook.integration.slug == "resend")
        and (not asked.get("status") or row.status == "failed")
        and (not asked.get("eventType") or row.event_type == "a.made")
        and (not asked.get("isTest") or row.is_test)
        and (not asked.get("from") or row.created_at >= NOW - timedelta(minutes=12))
    ]
    assert fits
    assert [pk for page in range(1, 9) for pk in ids(api.get(LOGS, page=page, limit=7, **asked))] == fits
    seen, cursor = [], {}
    while cursor is not None:
        answer = api.get(LOGS, limit=7, **asked, **cursor)
        seen += ids(answer)
        assert answer.json()["pagination"]["total"] == len(fits)
        follows = answer.json()["pagination"]["nextCursor"]
        cursor = {"cursor": follows} if follows else None
    assert seen == fits


def test_event_types_are_found_by_a_part_of_their_name(mixed, hooks):
    log(hooks["netcash"], event_type="Élan.MADE")
    assert listing.kinds("made") == ["a.made", "b.made", "Élan.MADE"]
    assert listing.kinds("éla") == ["Élan.MADE"]
    assert listing.kinds("nothing") == []


def test_a_list_is_read_in_the_order_of_an_index_and_nothing_is_sorted(hooks):
    now = timezone.now()
    WebhookLog.objects.bulk_create(
        WebhookLog(webhook=hook, body=b"{}", status=status, created_at=now - timedelta(seconds=n))
        for hook in (hooks["resend"], hooks["didit-kyc"])
        for status in WebhookLog.Status.values
        for n in range(1000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE integration_webhook_logs")
    wanted = listing.Wanted(webhooks=[hooks["resend"].pk], since=now - timedelta(days=1))
    plan = wanted.listing().query(0, 51).explain()
    assert plan.count("webhook_log_by_status") == len(WebhookLog.Status.values), plan
    if connection.vendor == "postgresql":
        assert "Merge Append" in plan, plan
        assert "Sort  " not in plan, plan


# --- Text ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(search, "LOOKED_AT", 10)
    monkeypatch.setattr(search, "LOOKED_INTO", 4)


def test_text_is_looked_for_in_so_many_at_a_time_and_the_answer_says_how_far(api, hooks, few):
    rows = [log(hooks["resend"], n, error_message="It broke" if n in (3, 12, 27) else "") for n in range(30)]
    first = api.get(LOGS, search="BROKE")
    assert ids(first) == [str(rows[3].pk)]
    told = first.json()["pagination"]
    assert (told["total"], told["totalIsCapped"]) == (1, True)
    assert told["searchedTo"] == rows[9].created_at.isoformat().replace("+00:00", "Z")
    second = api.get(LOGS, search="BROKE", cursor=told["nextCursor"])
    assert ids(second) == [str(rows[12].pk)]
    third = api.get(LOGS, search="BROKE", cursor=second.json()["pagination"]["nextCursor"])
    assert ids(third) == [str(rows[27].pk)]
    assert third.json()["pagination"]["nextCursor"] is None
    assert third.json()["pagination"]["searchedTo"] is None


def test_what_is_looked_for_it_in_is_what_the_other_filters_leave(api, hooks, few):
    for n in range(30):
        log(hooks["netcash"], n)
    old = log(hooks["resend"], 60, error_message="It broke")
    assert ids(api.get(LOGS, search="broke")) == []
    assert ids(api.get(LOGS, search="broke", integration="resend")) == [str(old.pk)]


def test_a_page_that_is_full_goes_on_within_what_was_looked_at(api, hooks, few):
    rows = [log(hooks["resend"], n, error_message="x") for n in range(25)]
    seen, cursor = [], {}
    while cursor is not None:
        answer = api.get(LOGS, search="x", limit=4, **cursor)
        seen += ids(answer)
        follows = answer.json()["pagination"]["nextCursor"]
        cursor = {"cursor": follows} if follows else None
    assert seen == [str(row.pk) for row in rows]


@pytest.mark.parametrize("claims", [True, False])
def test_an_id_or_a_whole_key_is_found_wherever_it_stands(api, hooks, few, claims):
    old = log(hooks["resend"], 1000, idempotency_key="evt_7", claims_key=claims)
    for n in range(30):
        log(hooks["resend"], n, idempotency_key=f"other_{n}")
    assert ids(api.get(LOGS, search="evt_7")) == [str(old.pk)]
    assert ids(api.get(LOGS, search=str(old.pk))) == [str(old.pk)]
    assert api.get(LOGS, search="evt_7").json()["pagination"]["totalIsCapped"] is False
    assert ids(api.get(LOGS, search="evt_7", status="failed")) == []


def test_a_key_of_what_somebody_may_not_see_is_as_if_it_were_not_there(calling, charlie, registry, hooks, few):
    assign_perm("integrations.read", charlie, registry["resend"])
    hidden = log(hooks["netcash"], 1000, idempotency_key="evt_7", claims_key=True)
    for n in range(30):
        log(hooks["resend"], n)
    answers = [calling(charlie).get(LOGS, search=text) for text in ("evt_7", str(hidden.pk), "evt_8")]
    assert len({str(answer.json()) for answer in answers}) == 1
    assert ids(answers[0]) == []


def test_payloads_are_looked_into_fewer_at_a_time(api, hooks, few):
    rows = [log(hooks["resend"], n, payload={"n": "said" if n in (1, 6) else ""}) for n in range(9)]
    week = (NOW - timedelta(days=6)).isoformat()
    first = api.get(LOGS, search="said", **{"from": week})
    assert ids(first) == [str(rows[1].pk)]
    second = api.get(LOGS, search="said", cursor=first.json()["pagination"]["nextCursor"], **{"from": week})
    assert ids(second) == [str(rows[6].pk)]


def test_of_many_payloads_that_hold_it_none_is_left_out(api, hooks, monkeypatch):
    monkeypatch.setattr(search, "EXAMINED", 2)
    rows = [log(hooks["resend"], n, payload={"n": "said"}) for n in range(7)]
    seen, cursor = [], {"from": (NOW - timedelta(days=6)).isoformat()}
    while True:
        answer = api.get(LOGS, search="said", **cursor)
        seen += ids(answer)
        if not (follows := answer.json()["pagination"]["nextCursor"]):
            break
        cursor["cursor"] = follows
    assert seen == [str(row.pk) for row in rows]


def test_csv_looks_all_the_way(api, hooks, few):
    rows = [log(hooks["resend"], n, error_message="It broke" if n in (3, 12, 27) else "") for n in range(30)]
    lines = rows_of(api.get("/webhooks/logs.csv", search="broke"))
    assert [line["id"] for line in lines] == [str(rows[n].pk) for n in (3, 12, 27)]


def test_the_feed_says_how_far_it_looked_and_looks_further(client, alice, hooks, few):
    rows = [log(hooks["resend"], n, error_message="It broke" if n == 12 else "") for n in range(15)]
    client.force_login(alice)
    page = client.get("/admin/integrations/webhooks", {"q": "broke"})
    assert page.context["feed"].rows == ()
    assert "No event matches so far" in page.content.decode()
    assert "Look further back" in page.content.decode()
    further = client.get(f"/admin/integrations/webhooks?{page.context['feed'].older}")
    assert [row.pk for row in further.context["feed"].rows] == [rows[12].pk]
    assert further.context["feed"].searched_to is None


def test_a_poll_whose_page_reaches_further_than_was_looked_starts_anew(client, alice, hooks, few):
    rows = [log(hooks["resend"], n, error_message="x") for n in range(15)]
    client.force_login(alice)
    floor = f"{rows[12].created_at.isoformat()}~{rows[12].pk}"
    feed = client.get("/admin/integrations/webhooks", {"q": "x", "floor": floor}).context["feed"]
    assert feed.starts_anew
    assert [row.pk for row in feed.rows] == [row.pk for row in rows[:10]]
