"""The activity log proves itself."""

import threading

import pytest
from django.db import DatabaseError, connection, transaction

from integrations import activity, triggers
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity, ActivityAnchor, ActivityHead, Integration

ALICE = Actor(username="alice", ip_address="192.0.2.7", user_agent="Firefox", request_id="req-1")


def write(count: int) -> None:
    for number in range(count):
        activity.record(actor=ALICE, action="login", details={"number": number})


@pytest.fixture
def guarded(db: None):
    triggers.install(connection)
    yield
    triggers.remove(connection)


@pytest.mark.django_db
def test_an_untouched_log_verifies():
    write(5)
    assert list(activity.verify()) == []
    assert list(Activity.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3, 4, 5]


@pytest.mark.django_db
def test_an_empty_log_verifies():
    assert list(activity.verify()) == []


@pytest.mark.django_db
def test_a_row_keeps_the_names_of_what_it_speaks_of(registry):
    row = activity.record(actor=ALICE, action="integration_changed", integration=registry["resend"])
    Integration.objects.filter(slug="resend").delete()
    row.refresh_from_db()
    assert (row.integration_slug, row.username, row.ip_address) == ("resend", "alice", "192.0.2.7")
    assert list(activity.verify()) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"username": "mallory"},
        {"action": "logout"},
        {"outcome": "refused"},
        {"details": {"number": 99}},
        {"ip_address": None},
        {"user_agent": "curl"},
        {"request_id": "req-2"},
        {"integration_slug": "resend"},
        {"once_key": "x"},
    ],
)
def test_a_changed_field_is_found(change):
    write(3)
    Activity.objects.filter(seq=2).update(**change)
    assert ["Row #2" in finding for finding in activity.verify()] == [True]


@pytest.mark.django_db
def test_a_removed_row_is_found():
    write(4)
    Activity.objects.filter(seq=2).delete()
    assert list(activity.verify()) == [finding for finding in activity.verify() if "Row #2 is missing" in finding]
    assert list(activity.verify()) != []


@pytest.mark.django_db
def test_a_cut_tail_is_found():
    write(4)
    Activity.objects.filter(seq=4).delete()
    assert ["ends at #3, but #4 was written" in finding for finding in activity.verify()] == [True]


@pytest.mark.django_db
def test_a_row_inserted_by_hand_is_found():
    write(2)
    row = Activity.objects.get(seq=2)
    row.pk, row.seq, row.username = None, 3, "nobody"
    row.id = Activity().id
    row.save(force_insert=True)
    assert any("Row #3" in finding and "inserted by hand" in finding for finding in activity.verify())


@pytest.mark.django_db
def test_a_row_that_was_changed_and_hashed_anew_with_a_wrong_key_is_found(settings):
    write(3)
    true_key = settings.ACTIVITY_KEY
    settings.ACTIVITY_KEY = "a guess"
    row = Activity.objects.get(seq=2)
    row.username = "mallory"
    previous = Activity.objects.get(seq=1).hash
    Activity.objects.filter(seq=2).update(username="mallory", hash=activity._hash(previous, row))
    settings.ACTIVITY_KEY = true_key
    assert any("Row #2" in finding for finding in activity.verify())


@pytest.mark.django_db
def test_rows_before_a_signed_anchor_may_be_gone():
    write(5)
    third = Activity.objects.get(seq=3)
    ActivityAnchor.objects.create(seq=3, hash=third.hash, signature=activity.sign_anchor(3, third.hash))
    Activity.objects.filter(seq__lte=3).delete()
    assert list(activity.verify()) == []


@pytest.mark.django_db
def test_an_anchor_that_we_did_not_sign_is_found():
    write(5)
    third = Activity.objects.get(seq=3)
    ActivityAnchor.objects.create(seq=3, hash=third.hash, signature="0" * 64)
    Activity.objects.filter(seq__lte=3).delete()
    assert any("isn't ours" in finding for finding in activity.verify())


@pytest.mark.django_db
@pytest.mark.parametrize("forged", ["0" * 64, "of another row"])
def test_rows_removed_under_a_forged_anchor_are_missing(forged):
    write(5)
    third = Activity.objects.get(seq=3)
    signature = forged if forged.startswith("0") else activity.sign_anchor(2, Activity.objects.get(seq=2).hash)
    ActivityAnchor.objects.create(seq=3, hash=third.hash, signature=signature)
    Activity.objects.filter(seq__lte=3).delete()
    found = list(activity.verify())
    assert ["isn't ours" in finding for finding in found] == [True, False]
    assert found[1].startswith("Rows #1 to #3 are missing before #4")
    assert activity.removed() is None


@pytest.mark.django_db
def test_rows_removed_by_hand_above_an_anchor_are_missing():
    write(6)
    third = Activity.objects.get(seq=3)
    ActivityAnchor.objects.create(seq=3, hash=third.hash, signature=activity.sign_anchor(3, third.hash))
    Activity.objects.filter(seq__lte=5).delete()
    assert [finding.split(" (")[0] for finding in activity.verify()] == ["Rows #4 to #5 are missing before #6"]
    assert activity.removed() == ActivityAnchor.objects.get()


@pytest.mark.django_db
def test_a_stretch_verifies_by_itself():
    write(6)
    assert list(activity.verify(upto=4)) == []
    Activity.objects.filter(seq=5).update(username="mallory")
    assert list(activity.verify(upto=4)) == []
    assert ["Row #5" in finding for finding in activity.verify(upto=5)] == [True]
    Activity.objects.filter(seq__gte=4).delete()
    assert list(activity.verify(upto=5)) == ["Rows #4 to #5 are missing."]


@pytest.mark.django_db
def test_a_head_put_back_below_the_rows_is_found():
    write(4)
    ActivityHead.objects.update(seq=2, hash=Activity.objects.get(seq=2).hash)
    assert ["ends at #4, but #2 was written" in finding for finding in activity.verify()] == [True]


@pytest.mark.django_db(transaction=True)
def test_what_is_written_and_removed_while_it_verifies_is_no_finding(monkeypatch):
    """Between any two of its reads."""
    write(3)
    head = activity._head

    def head_then_others(*, said=[]):  # noqa: B006 - remembers that it was asked before
        answer = head()
        if not said:
            said.append(True)
            write(2)
            fifth = Activity.objects.get(seq=5)
            ActivityAnchor.objects.create(seq=5, hash=fifth.hash, signature=activity.sign_anchor(5, fifth.hash))
            Activity.objects.filter(seq__lte=5).delete()
            write(1)
        return answer

    monkeypatch.setattr(activity, "_head", head_then_others)
    assert list(activity.verify()) == []
    assert Activity.objects.get().seq == 6


def test_a_forged_anchor_hides_no_cut_tail(guarded):
    """What an intruder can do who may write to every table but not change their triggers."""
    write(6)
    ActivityAnchor.objects.create(seq=6, hash="f" * 64, signature="0" * 64)
    Activity.objects.filter(seq__gt=4).delete()
    with pytest.raises(DatabaseError, match="only moves forward"), transaction.atomic():
        ActivityHead.objects.update(seq=4, hash=Activity.objects.get(seq=4).hash)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        ActivityAnchor.objects.all().delete()
    found = list(activity.verify())
    assert any("anchor at #6 carries a signature that isn't ours" in finding for finding in found)
    assert any("ends at #4, but #6 was written" in finding for finding in found)


def test_the_head_can_neither_leap_nor_vanish(guarded):
    write(2)
    for attempt in (lambda: ActivityHead.objects.update(seq=9), lambda: ActivityHead.objects.all().delete()):
        with pytest.raises(DatabaseError, match="only moves forward"), transaction.atomic():
            attempt()
    with pytest.raises(DatabaseError, match="at or below the head"), transaction.atomic():
        ActivityAnchor.objects.create(seq=3, hash="", signature="")


@pytest.mark.django_db
def test_a_row_rewritten_below_an_anchor_is_found():
    write(5)
    fourth = Activity.objects.get(seq=4)
    ActivityAnchor.objects.create(seq=4, hash=fourth.hash, signature=activity.sign_anchor(4, fourth.hash))
    Activity.objects.filter(seq=2).update(username="framed")
    assert ["Row #2" in finding for finding in activity.verify()] == [True]
    Activity.objects.filter(seq__in=[1, 3, 4]).delete()
    assert any("missing" in finding for finding in activity.verify())


@pytest.mark.django_db
def test_a_row_that_contradicts_its_anchor_is_found(settings):
    """The whole log written anew by somebody who has the key of today, but not what was signed then."""
    write(3)
    ActivityAnchor.objects.create(seq=2, hash="a" * 64, signature=activity.sign_anchor(2, "a" * 64))
    assert any("Row #2" in finding for finding in activity.verify())


@pytest.mark.django_db
def test_all_rows_may_be_gone_below_an_anchor_at_the_head():
    write(3)
    third = Activity.objects.get(seq=3)
    ActivityAnchor.objects.create(seq=3, hash=third.hash, signature=activity.sign_anchor(3, third.hash))
    Activity.objects.all().delete()
    assert list(activity.verify()) == []
    write(1)
    assert list(activity.verify()) == []


@pytest.mark.django_db
def test_each_row_is_witnessed_in_the_server_log(caplog):
    with caplog.at_level("INFO", logger="integrations.activity"):
        row = activity.record(actor=ALICE, action="login")
    assert f"Activity #{row.seq} {row.hash}" in caplog.text


def test_the_database_refuses_to_change_a_row(guarded):
    write(1)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Activity.objects.update(username="mallory")


def test_the_database_refuses_to_remove_a_row_above_the_anchor(guarded):
    write(3)
    second = Activity.objects.get(seq=2)
    ActivityAnchor.objects.create(seq=2, hash=second.hash, signature=activity.sign_anchor(2, second.hash))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Activity.objects.filter(seq=3).delete()
    Activity.objects.filter(seq__lte=2).delete()
    assert Activity.objects.count() == 1
    assert list(activity.verify()) == []


@pytest.mark.django_db
def test_an_entry_vanishes_with_the_action_that_failed():
    write(1)

    def act_and_fail():
        with transaction.atomic():
            activity.record(actor=SYSTEM, action="half_done")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        act_and_fail()
    assert Activity.objects.count() == 1
    assert ActivityHead.objects.get().seq == 1
    assert list(activity.verify()) == []


@pytest.mark.django_db
def test_a_folded_entry_is_written_once():
    once = {"actor": SYSTEM, "action": "refused", "integration": None, "outcome": "refused", "details": {}}
    assert activity.record_once(key="a:1", **once) is True
    assert activity.record_once(key="a:1", **once) is False
    assert activity.record_once(key="a:2", **once) is True
    assert list(activity.verify()) == []


@pytest.mark.django_db
def test_whatever_details_hold_comes_back_as_it_was_hashed():
    awkward = {
        "float": 1e22,
        "nul": "a\x00b",
        "half": "\ud800",
        "nested": [{"x": 1.5}, None, True],
        "big": 10**30,
        1: "n",
    }
    activity.record(actor=Actor(username="u" * 300, user_agent="\x00" * 400), action="odd", details=awkward)
    assert list(activity.verify()) == []


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_leave_a_gapless_chain():
    def append() -> None:
        try:
            write(10)
        finally:
            connection.close()

    threads = [threading.Thread(target=append) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(Activity.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 61))
    assert list(activity.verify()) == []
