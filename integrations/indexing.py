"""Indexes on big tables, for migrations: on PostgreSQL they are built while rows come in, elsewhere plainly.

A migration that uses them says `atomic = False`.
"""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations
from django.db.migrations.operations.base import Operation


class _Plainly:
    plain: Operation

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        how: Any = super() if schema_editor.connection.vendor == "postgresql" else self.plain
        how.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        how: Any = super() if schema_editor.connection.vendor == "postgresql" else self.plain
        how.database_backwards(app_label, schema_editor, from_state, to_state)


class AddIndex(_Plainly, AddIndexConcurrently):
    @property
    def plain(self) -> Operation:  # type: ignore[override]  # worked out, not set
        return migrations.AddIndex(self.model_name, self.index)


class RemoveIndex(_Plainly, RemoveIndexConcurrently):
    @property
    def plain(self) -> Operation:  # type: ignore[override]  # likewise
        return migrations.RemoveIndex(self.model_name, self.name)
