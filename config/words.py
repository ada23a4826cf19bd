"""What the jobs did, in words for people: the `message` of a run's summary."""

from collections.abc import Mapping
from typing import Any

STATUSES = ("down", "degraded", "unknown", "healthy")


def of_sweep(done: Mapping[str, Any]) -> str:
    """ "10 checked: 1 down, 9 healthy. Changed: mtn-coverage." """
    statuses = ", ".join(f"{done[status]} {status}" for status in STATUSES if done.get(status))
    nothing = "" if done["broken"] else "None was due."
    parts = [
        f"{done['checked']:,} checked: {statuses}." if done["checked"] else nothing,
        f"Changed: {', '.join(done['changed'])}." if done["changed"] else "",
        f"First failure, looked at again soon: {', '.join(done['suspects'])}." if done["suspects"] else "",
        f"The check itself broke: {', '.join(done['broken'])}." if done["broken"] else "",
        *_of_watch(done),
    ]
    return _joined(parts)


def of_drain(done: Mapping[str, Any]) -> str:
    """ "12 events processed, 1 failed." """
    events = [
        f"{_some(done['processed'], 'event')} processed" if done["processed"] else "",
        f"{done['failed']:,} failed" if done["failed"] else "",
        _some(done["duplicates"], "duplicate") if done["duplicates"] else "",
    ]
    told = ", ".join(part for part in events if part)
    parts = [
        f"{told}." if told else "",
        f"{_some(done['slots_missed'], 'slot')} missed." if done["slots_missed"] else "",
        f"{_some(done['slots_unknown'], 'slot')} passed while nothing ran." if done["slots_unknown"] else "",
        f"{_some(done['silences_opened'], 'webhook')} fell silent." if done["silences_opened"] else "",
        f"{_some(done['silences_ended'], 'webhook')} heard from again." if done["silences_ended"] else "",
        *_of_watch(done),
    ]
    return _joined(parts)


LATER = "Time was up: the rest goes next time."


def of_cleaning(done: Mapping[str, Any]) -> str:
    """ "1,204 rows removed: 1,200 of zoho-crm, 4 refused. What is personal was dropped from 30 events." """
    removed = dict(done["removed"])
    removed |= {name: done[name] for name in ("runs_forgotten", "alarms_forgotten") if done.get(name)}
    personal = sum(done.get("personal_dropped", {}).values())
    if not removed and not personal:
        return "Nothing was old enough to be removed."
    names = {name: name.removesuffix("_forgotten").replace("_", " ") for name in removed}
    each = ", ".join(f"{number:,} {names[name]}" for name, number in removed.items())
    verb = "would be removed" if done["dry_run"] else "removed"
    drops = "would be dropped" if done["dry_run"] else "was dropped"
    parts = [
        f"{_some(sum(removed.values()), 'row')} {verb}: {each}." if removed else "",
        _of_personal(personal, drops) if personal else "",
        "" if done["finished"] else LATER,
    ]
    return _joined(parts)


def of_letting_go(activity: str, dropped: Mapping[str, Any]) -> str:
    """ "Entries 1 to 204 removed. What is personal was dropped from 30 events." """
    parts = [activity, _of_personal(dropped["total"], "was dropped") if dropped["total"] else ""]
    return _joined([*parts, "" if dropped["finished"] else LATER])


def _of_personal(events: int, verb: str) -> str:
    return f"What is personal {verb} from {_some(events, 'event')}."


def of_roll_up(words: str, removed: Mapping[str, int]) -> str:
    each = ", ".join(_some(number, name.removesuffix("s")) for name, number in removed.items() if number)
    return f"{words} Removed as too old: {each}." if each else words


def _of_watch(done: Mapping[str, Any]) -> list[str]:
    return [
        f"{_some(done[name], 'alarm')} {verb}."
        for name, verb in (("alarms_opened", "raised"), ("alarms_closed", "over"))
        if done[name]
    ]


def _some(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _joined(parts: list[str]) -> str:
    return " ".join(part for part in parts if part) or "There was nothing to do."
