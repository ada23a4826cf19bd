"""Between tests that commit, the database is put back to what `migrate` leaves: the declared rows and nothing else.

Django would empty every table with TRUNCATE, which on PostgreSQL makes new files of all seventy, and then declare
everything anew: four tenths of a second, a thousand times a run. Here the rows of the beginning are kept in tables of
their own and copied back, which takes a hundredth of that.
"""

from typing import Any

from django.core.management.commands import flush
from django.db.backends.base.base import BaseDatabaseWrapper

PREFIX = "first_"


def remember(connection: BaseDatabaseWrapper) -> None:
    """Keep what there is now; from here on a flush goes back to it."""
    filled = []
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True, include_views=False):
            cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
            if cursor.fetchone():
                cursor.execute(f"CREATE TABLE {PREFIX}{table} AS SELECT * FROM {table}")
                filled.append(table)

    def sql_flush(operations: Any, style: Any, tables: Any, **_: Any) -> list[str]:
        statements = [f"DELETE FROM {table}" for table in tables]
        statements += [f"INSERT INTO {table} SELECT * FROM {PREFIX}{table}" for table in filled]
        if connection.vendor == "postgresql":  # in one round trip; what points where was good
            return ["; ".join(["SET LOCAL session_replication_role = replica", *statements])]
        return statements

    # Of the class: each thread, and each event loop, has a connection of its own.
    type(connection.ops).sql_flush = sql_flush  # type: ignore[method-assign]
    flush.emit_post_migrate_signal = lambda *args, **kwargs: None  # type: ignore[attr-defined]
