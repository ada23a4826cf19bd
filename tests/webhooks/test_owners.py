"""Who owns the time, in words and as a bar."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import WebhookLogFactory
from webhooks import owners
from webhooks.models import Webhook
from webhooks.services.latency import Part, Split

FEED = "/admin/integrations/webhooks"
NOW = timezone.now()
NONE = Part()


def split(provider: Part, commit: Part = NONE, pickup: Part = NONE, work: Part = NONE, counted: int = 7) -> Split:
    return Split(since=NOW, counted=counted, capped=False, provider=provider, commit=commit, pickup=pickup, work=work)


def part(p50: float, **more) -> Part:
    return Part(counted=7, p50=p50, p95=p50 * 2, max=p50 * 3, **more)


def told(*parts: Part) -> owners.Told:
    return owners.of(split(*parts), "NetCash")


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_it_says_whose_the_time_is():
    found = told(part(1200), part(40), part(60), part(300))
    assert found.headline == "75 % of the time is NetCash's and the network's, 25 % is ours."
    assert plain(found.words) == (
        "NetCash took 1,200 ms to send it. We took 40 ms to store it. A worker took it up 60 ms later. "
        "It took 300 ms to handle it."
    )


def test_it_says_of_how_many_the_parts_are():
    assert told(part(1200), part(40)).of_fewer == ""
    few, fewer = Part(counted=6, p50=1.0), Part(counted=2, p50=1.0)
    assert told(NONE, few, few).of_fewer == "6"
    assert told(part(1200), few, fewer).of_fewer == "2 to 7"
    assert told(NONE).of_fewer == ""


def test_the_parts_of_the_bar_follow_each_other_and_fill_it():
    found = told(part(1200), part(40), part(60), part(300))
    assert [one.share for one in found.stretches] == [75.0, 2.5, 3.75, 18.75]
    assert [one.start for one in found.stretches] == [0.0, 75.0, 77.5, 81.25]


def test_what_takes_next_to_no_time_is_still_to_be_seen():
    found = told(part(10_000), part(0.5), part(1), part(0.1))
    assert min(one.share for one in found.drawn) > 0.9
    assert sum(one.share for one in found.drawn) == pytest.approx(100, abs=0.1)


def test_a_provider_that_signs_no_time_is_not_blamed():
    found = told(NONE, part(40), part(60))
    assert "is not known" in found.headline
    assert [one.key for one in found.drawn] == ["commit", "pickup"]
    assert plain(found.words) == "We took 40 ms to store it. A worker took it up 60 ms later."


def test_no_time_at_all_draws_nothing():
    found = told(part(0), part(0), part(0), part(0))
    assert (found.headline, found.drawn) == ("", ())


@pytest.mark.parametrize(("number", "begins"), [(1, "1 event is left out"), (2, "2 events are left out")])
def test_clocks_that_disagree_are_told(number, begins):
    found = told(part(0.4, backwards=number, backwards_max=700.0), part(40))
    assert plain(found.stretches[0].note).startswith(begins)
    assert "700 ms" in plain(found.stretches[0].note)
    assert found.stretches[1].note == ""


@pytest.mark.django_db
def test_the_page_tells_it_of_the_last_day(client, alice, registry):
    hook = Webhook.objects.get(integration__slug="resend")
    client.force_login(alice)
    page = client.get(f"{FEED}/{hook.pk}?tab=latency").content.decode()
    assert "Nothing came in the last 24 hours" in page
    at = timezone.now() - timedelta(hours=1)
    for ago in (timedelta(0), timedelta(hours=24)):
        WebhookLogFactory(
            webhook=hook, status="processed", attempts=1, created_at=at - ago, sent_at=at - ago - timedelta(seconds=3),
            stored_at=at - ago + timedelta(milliseconds=40), started_at=at - ago + timedelta(milliseconds=100),
            processed_at=at - ago + timedelta(seconds=1),
        )  # fmt: skip
    page = plain(client.get(f"{FEED}/{hook.pk}?tab=latency").content.decode())
    assert "Of the 1 event of the last 24 hours." in page
    assert "75 % of the time is Resend Email&#x27;s and the network&#x27;s, 25 % is ours." in page
    assert "Resend Email took 3,000 ms to send it. We took 40 ms to store it." in page
    assert page.count("<rect") >= 4
    WebhookLogFactory(webhook=hook, status="pending", created_at=at, stored_at=at + timedelta(milliseconds=40))
    page = plain(client.get(f"{FEED}/{hook.pk}?tab=latency").content.decode())
    told = "Medians of 1 to 2 of the 2 events of the last 24 hours: the others have no time for that part."
    assert told in page
    assert '<th scope="col" class="text-right">Events</th>' in page  # on phones as well
