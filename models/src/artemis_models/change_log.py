"""The triggers that log each change of an event in `event_changes`, whoever makes it (docs/adr/0036).

A row of the log has the event after the change, or before a delete, as a JSON object of its columns. Nothing that these
triggers need belongs to a connection, so that a person with `sqlite3` or `psql` is logged as well.
"""

from collections.abc import Iterable

CREATED, UPDATED, DELETED = 1, 2, 3
"""The types of changes, which are the numbers of artemis.v1.EventChange.Type."""
_NOW_SQLITE = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
_SQLITE_LOGGED = """
CREATE TRIGGER events_{name} AFTER {event} ON events WHEN {condition} BEGIN
{body}
END
"""
_SQLITE_ROW = """\
  INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
  SELECT {alias}.id, {type}, {now}, coalesce(principal, ''), coalesce(transaction_id, 0),
    {state}, {previous} FROM (SELECT 1) LEFT JOIN change_context c ON c.id = 1;\
"""
"""The row of `change_context` says who it was. Without it, the change is logged all the same."""
_SQLITE_REMEMBER = """
CREATE TRIGGER events_{name} BEFORE {event} ON events
WHEN {condition}EXISTS (SELECT 1 FROM events WHERE id = NEW.id) BEGIN
  UPDATE change_context SET (replaced_after, replaced_id, replaced) =
    (SELECT (SELECT max(id) FROM event_changes), o.id, {state} FROM events o WHERE o.id = NEW.id)
  WHERE id = 1;
END
"""
_REPLACED = "replaced_id IS NEW.id AND replaced_after = (SELECT max(id) FROM event_changes)"
"""True in an AFTER trigger if OR REPLACE has deleted a row, of which SQLite tells no DELETE trigger.

The BEFORE trigger has remembered that row. It may have stayed, as with OR IGNORE: then nothing is logged, or what is
logged is newer than `replaced_after`.
"""


def sqlite_triggers(columns: Iterable[str]) -> list[str]:
    """Returns the statements that make the triggers for a table `events` with these columns, in any order."""
    names = sorted(columns)

    def state(alias: str) -> str:
        pairs = (f"'{name}', {alias}.{name}" for name in names)
        return f"json_object({', '.join(pairs)})"

    def row(alias: str, kind: object, previous: str = "NULL") -> str:
        return _SQLITE_ROW.format(alias=alias, type=kind, now=_NOW_SQLITE, state=state(alias), previous=previous)

    def logged(name: str, event: str, condition: str, *body: str) -> str:
        return _SQLITE_LOGGED.format(name=name, event=event, condition=condition, body="\n".join(body)).strip()

    def remember(name: str, event: str, condition: str) -> str:
        return _SQLITE_REMEMBER.format(name=name, event=event, condition=condition, state=state("o")).strip()

    created = row(
        "NEW", f"CASE WHEN {_REPLACED} THEN {UPDATED} ELSE {CREATED} END", f"CASE WHEN {_REPLACED} THEN replaced END"
    )
    return [
        remember("replacing", "INSERT", ""),
        # Not UPDATE OF id: it does not fire for SET rowid = 7, which is the same column.
        remember("replacing_by_update", "UPDATE", "NEW.id <> OLD.id AND "),
        logged("created", "INSERT", "TRUE", created),
        logged("deleted", "DELETE", "TRUE", row("OLD", DELETED)),
        logged(
            "updated", "UPDATE", "NEW.id = OLD.id AND NEW.version <> OLD.version", row("NEW", UPDATED, state("OLD"))
        ),
        logged("moved", "UPDATE", "NEW.id <> OLD.id", created, row("OLD", DELETED)),
        # Counts the version up, as the trigger of the same name did before, and then says what the row was before both.
        logged(
            "version",
            "UPDATE",
            "NEW.id = OLD.id AND NEW.version = OLD.version",
            "  UPDATE events SET version = OLD.version + 1 WHERE id = NEW.id;",
            f"  UPDATE event_changes SET previous = {state('OLD')} WHERE id = (SELECT max(id) FROM event_changes);",  # noqa: S608, names of columns
        ),
    ]


SQLITE_TRIGGERS = (
    "events_replacing",
    "events_replacing_by_update",
    "events_created",
    "events_deleted",
    "events_updated",
    "events_moved",
    "events_version",
)
"""The names of the triggers that `sqlite_triggers` makes."""

POSTGRESQL_FUNCTION = """
CREATE FUNCTION artemis_log_event_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  now_micros bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
  author text := coalesce(current_setting('artemis.principal', true), '');
  number bigint := pg_current_xact_id()::text::bigint;
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state)
    SELECT n.id, 1, now_micros, author, number, row_to_json(n)::text FROM new_rows n;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state)
    SELECT o.id, 3, now_micros, author, number, row_to_json(o)::text FROM old_rows o
    -- A statement that also gave the id to another row has logged that: its trigger for deletes comes last.
    WHERE (SELECT e.id FROM events e WHERE e.id = o.id) IS NULL;
  ELSIF TG_OP = 'TRUNCATE' THEN
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state)
    SELECT o.id, 3, now_micros, author, number, row_to_json(o)::text FROM events o;
  ELSE
    -- A full join is never a nested loop, whatever number of rows the plan was made for. A changed id leaves both its
    -- rows without a partner.
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
    SELECT coalesce(n.id, o.id), CASE WHEN n.id IS NULL THEN 3 WHEN o.id IS NULL THEN 1 ELSE 2 END,
      now_micros, author, number,
      CASE WHEN n.id IS NULL THEN row_to_json(o) ELSE row_to_json(n) END::text,
      CASE WHEN n.id IS NOT NULL AND o.id IS NOT NULL THEN row_to_json(o)::text END
    FROM new_rows n FULL JOIN old_rows o ON o.id = n.id;
  END IF;
  RETURN NULL;
END $$
""".strip()
_STATEMENT = "FOR EACH STATEMENT EXECUTE FUNCTION artemis_log_event_changes()"
POSTGRESQL_SEARCH_PATH = """
DO $do$ BEGIN
  EXECUTE 'ALTER FUNCTION artemis_log_event_changes() SET search_path = pg_catalog, '
    || quote_ident(current_schema()) || ', pg_temp';
END $do$
""".strip()
"""Makes the function find its tables whatever the search_path of the session is.

It is empty while pg_dump's output is loaded, and a temporary table may have the name of one of ours.
"""
POSTGRESQL_TRIGGERS = (
    f"CREATE TRIGGER events_created AFTER INSERT ON events REFERENCING NEW TABLE AS new_rows {_STATEMENT}",
    f"CREATE TRIGGER events_deleted AFTER DELETE ON events REFERENCING OLD TABLE AS old_rows {_STATEMENT}",
    "CREATE TRIGGER events_updated AFTER UPDATE ON events "
    f"REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows {_STATEMENT}",
    f"CREATE TRIGGER events_truncated BEFORE TRUNCATE ON events {_STATEMENT}",
)
"""The columns of events are not named: a new one is logged without a change of the triggers."""

_FIRST = "INSERT INTO event_changes (id, event_id, type, time, transaction_id, state) SELECT 0, 0, 0, {}, {}, '{{}}'"
FIRST_CHANGE = {
    "sqlite": _FIRST.format(_NOW_SQLITE, 0),
    "postgresql": _FIRST.format(
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", "pg_current_xact_id()::text::bigint"
    ),
}
"""The statement that begins the log, so that it always has a row that a resume token can name. It is about no event."""
CONTEXT_ROW = "INSERT INTO change_context (id) VALUES (1)"
