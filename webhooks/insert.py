"""The quick way into the table, on PostgreSQL: a whole batch in one statement, its columns as binary arrays.

Whatever is out of the ordinary (a key that is taken, a row that the database refuses) is left to `receive.store`,
which says what is right; this only does the common case of it fast.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection
from psycopg import AsyncConnection

from webhooks.models import WebhookLog
from webhooks.services import receive

SECONDS = 4.0
"""What one statement may take. Providers wait five seconds for their answer."""

NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)

_PAYLOAD = "CASE WHEN t.as_it_came THEN convert_from(t.body, 'UTF8')::jsonb ELSE NULLIF({}, '')::jsonb END"

# name, type, what becomes of it in the row ("": it is no column), value. An array without any value has no type, so
# "none" is said by a value and undone in the statement.
_COLUMNS: tuple[tuple[str, str, str, Callable[[WebhookLog], Any]], ...] = (
    ("id", "uuid", "{}", lambda row: row.pk),
    ("webhook_id", "uuid", "{}", lambda row: row.webhook_id),
    ("event_type", "text", "NULLIF({}, '')", lambda row: row.event_type or ""),
    ("body", "bytea", "{}", lambda row: row.body),
    # What can be stored as it came is sent but once.
    ("as_it_came", "bool", "", lambda row: row.as_it_came),
    ("payload", "text", _PAYLOAD, lambda row: "" if row.as_it_came else _json(row.payload)),
    ("query_string", "text", "{}", lambda row: row.query_string),
    ("headers", "text", "{}::jsonb", lambda row: _json(row.headers)),
    ("status", "text", "{}", lambda row: str(row.status)),
    ("verification", "text", "{}", lambda row: row.verification),
    ("idempotency_key", "text", "NULLIF({}, '')", lambda row: row.idempotency_key or ""),
    ("claims_key", "bool", "{}", lambda row: row.claims_key),
    ("error_message", "text", "{}", lambda row: row.error_message),
    ("created_at", "timestamptz", "{}", lambda row: row.created_at),
    ("due_at", "bool", "CASE WHEN {} THEN t.created_at END", lambda row: row.due_at is not None),
    ("sent_at", "timestamptz", "NULLIF({}, 'epoch'::timestamptz)", lambda row: row.sent_at or NO_TIME),
    ("part_of", "uuid", "NULLIF({}, t.id)", lambda row: row.part_of or row.pk),
)
_CONSTANT = {
    "verified": "true", "denied": "false", "traceback": "''", "is_test": "false", "forwards": "true", "attempts": "0",
    "retry_count": "0", "stored_at": "clock_timestamp()",
}  # fmt: skip
_VALUES = [value for *_, value in _COLUMNS]
_SHAPES = {name: shape.format(f"t.{name}") for name, _, shape, _ in _COLUMNS if shape} | _CONSTANT
_STATEMENT = f"""
    INSERT INTO integration_webhook_logs ({", ".join(_SHAPES)})
    SELECT {", ".join(_SHAPES.values())}
    FROM unnest({", ".join(f"%b::{kind}[]" for _, kind, *_ in _COLUMNS)}) AS t({", ".join(c[0] for c in _COLUMNS)})
    ON CONFLICT DO NOTHING RETURNING id
""".encode()  # noqa: S608 - made of the constants above


class Inserter:
    """One connection, made when it is needed and thrown away when anything is wrong with it. Belongs to one loop."""

    def __init__(self) -> None:
        self._connection: AsyncConnection[Any] | None = None

    async def insert(self, rows: Sequence[WebhookLog]) -> set[UUID]:
        """The ids of those rows that are in, durably: the others met a key, or themselves, already there.

        Raises Django's database errors; OperationalError also when it took too long.
        """
        ordered = sorted(rows, key=receive.order)
        values = [[value(row) for row in ordered] for value in _VALUES]
        with connection.wrap_database_errors:
            try:
                async with asyncio.timeout(SECONDS):
                    found = await (await self._connected()).execute(_STATEMENT, values, binary=True)
                    return {row[0] for row in await found.fetchall()}
            except TimeoutError as error:
                await self.close()
                raise psycopg.OperationalError("the database took too long") from error
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await self.close()
                raise

    async def close(self) -> None:
        broken, self._connection = self._connection, None
        if broken is not None:
            await broken.close()

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            given = connection.get_connection_params()
            for ours in ("cursor_factory", "context"):
                given.pop(ours, None)
            self._connection = await AsyncConnection.connect(
                **{**given, "application_name": "webhook-lane", "autocommit": True, "prepare_threshold": None}
            )
        return self._connection


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _json(value: Any) -> str:
    return "" if value is None else _encode(value)
