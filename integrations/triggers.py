"""The activity log's guard inside the database: no UPDATE ever, DELETE only of what a signed anchor already covers.

Anchors are only ever added, below the head; the head moves one row at a time, forward.
Installed by a migration. Tests take it off to empty the table.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

SQLITE = [
    """CREATE TRIGGER activity_no_update BEFORE UPDATE ON integration_activity_log
       BEGIN SELECT RAISE(ABORT, 'integration_activity_log is append-only'); END""",
    """CREATE TRIGGER activity_no_delete BEFORE DELETE ON integration_activity_log
       WHEN OLD.seq > COALESCE((SELECT MAX(seq) FROM integration_activity_anchor), 0)
       BEGIN SELECT RAISE(ABORT, 'integration_activity_log is append-only above its newest anchor'); END""",
    """CREATE TRIGGER activity_head_forward BEFORE UPDATE ON integration_activity_head
       WHEN NEW.seq <> OLD.seq + 1 OR NEW.id <> OLD.id
       BEGIN SELECT RAISE(ABORT, 'integration_activity_head only moves forward'); END""",
    """CREATE TRIGGER activity_head_stays BEFORE DELETE ON integration_activity_head
       BEGIN SELECT RAISE(ABORT, 'integration_activity_head only moves forward'); END""",
    """CREATE TRIGGER activity_anchor_below BEFORE INSERT ON integration_activity_anchor
       WHEN NEW.seq > COALESCE((SELECT MAX(seq) FROM integration_activity_head), 0)
       BEGIN SELECT RAISE(ABORT, 'an anchor stands at or below the head'); END""",
    """CREATE TRIGGER activity_anchor_no_update BEFORE UPDATE ON integration_activity_anchor
       BEGIN SELECT RAISE(ABORT, 'integration_activity_anchor is append-only'); END""",
    """CREATE TRIGGER activity_anchor_no_delete BEFORE DELETE ON integration_activity_anchor
       BEGIN SELECT RAISE(ABORT, 'integration_activity_anchor is append-only'); END""",
]
SQLITE_DROP = [
    f"DROP TRIGGER IF EXISTS activity_{name}"
    for name in (
        "no_update", "no_delete", "head_forward", "head_stays", "anchor_below", "anchor_no_update", "anchor_no_delete"
    )
]  # fmt: skip

POSTGRESQL = [
    """CREATE OR REPLACE FUNCTION activity_guard() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF TG_OP = 'DELETE' THEN
           IF OLD.seq <= COALESCE((SELECT MAX(seq) FROM integration_activity_anchor), 0) THEN
             RETURN OLD;
           END IF;
         END IF;
         RAISE EXCEPTION 'integration_activity_log is append-only (% refused)', TG_OP;
       END $$""",
    """CREATE TRIGGER activity_guard_rows BEFORE UPDATE OR DELETE ON integration_activity_log
       FOR EACH ROW EXECUTE FUNCTION activity_guard()""",
    """CREATE TRIGGER activity_guard_truncate BEFORE TRUNCATE ON integration_activity_log
       FOR EACH STATEMENT EXECUTE FUNCTION activity_guard()""",
    """CREATE OR REPLACE FUNCTION activity_head_guard() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF TG_OP = 'UPDATE' THEN
           IF NEW.seq = OLD.seq + 1 AND NEW.id = OLD.id THEN
             RETURN NEW;
           END IF;
         END IF;
         RAISE EXCEPTION 'integration_activity_head only moves forward (% refused)', TG_OP;
       END $$""",
    """CREATE TRIGGER activity_head_rows BEFORE UPDATE OR DELETE ON integration_activity_head
       FOR EACH ROW EXECUTE FUNCTION activity_head_guard()""",
    """CREATE TRIGGER activity_head_truncate BEFORE TRUNCATE ON integration_activity_head
       FOR EACH STATEMENT EXECUTE FUNCTION activity_head_guard()""",
    """CREATE OR REPLACE FUNCTION activity_anchor_guard() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF TG_OP = 'INSERT' THEN
           IF NEW.seq <= COALESCE((SELECT MAX(seq) FROM integration_activity_head), 0) THEN
             RETURN NEW;
           END IF;
           RAISE EXCEPTION 'an anchor stands at or below the head';
         END IF;
         RAISE EXCEPTION 'integration_activity_anchor is append-only (% refused)', TG_OP;
       END $$""",
    """CREATE TRIGGER activity_anchor_rows BEFORE INSERT OR UPDATE OR DELETE ON integration_activity_anchor
       FOR EACH ROW EXECUTE FUNCTION activity_anchor_guard()""",
    """CREATE TRIGGER activity_anchor_truncate BEFORE TRUNCATE ON integration_activity_anchor
       FOR EACH STATEMENT EXECUTE FUNCTION activity_anchor_guard()""",
]
POSTGRESQL_DROP = [
    "DROP TRIGGER IF EXISTS activity_guard_rows ON integration_activity_log",
    "DROP TRIGGER IF EXISTS activity_guard_truncate ON integration_activity_log",
    "DROP TRIGGER IF EXISTS activity_head_rows ON integration_activity_head",
    "DROP TRIGGER IF EXISTS activity_head_truncate ON integration_activity_head",
    "DROP TRIGGER IF EXISTS activity_anchor_rows ON integration_activity_anchor",
    "DROP TRIGGER IF EXISTS activity_anchor_truncate ON integration_activity_anchor",
]


def install(connection: BaseDatabaseWrapper) -> None:
    _run(connection, {"sqlite": SQLITE, "postgresql": POSTGRESQL})


def remove(connection: BaseDatabaseWrapper) -> None:
    _run(connection, {"sqlite": SQLITE_DROP, "postgresql": POSTGRESQL_DROP})


def _run(connection: BaseDatabaseWrapper, statements: dict[str, list[str]]) -> None:
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)
