"""Time-ordered ids: rows made together lie together, and "newest first" is the order of the primary key."""

from uuid import UUID

import uuid_utils.compat


def new() -> UUID:
    """A UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then randomness; increasing within a process."""
    return uuid_utils.compat.uuid7()
