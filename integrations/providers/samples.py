"""A sample of every declared event, as ``samples/<slug>/<event type>.json``: what tests, the simulator and the "send
test" button send. All values are invented."""

import json
from pathlib import Path

from integrations.providers.spec import Json

FOLDER = Path(__file__).parent / "samples"


def event_types(slug: str) -> tuple[str, ...]:
    """The event types of which there is a sample, sorted."""
    return tuple(sorted(path.stem for path in (FOLDER / slug).glob("*.json")))


def load(slug: str, event_type: str) -> Json:
    """A payload of its own: the caller may change it. Raises LookupError when there is no such sample."""
    if event_type not in event_types(slug):
        raise LookupError(f"There is no sample of {slug}'s {event_type}.")
    return json.loads((FOLDER / slug / f"{event_type}.json").read_bytes())
