"""The index of texts of events, which stands beside the tables (docs/adr/0050).

SQLite has `event_texts`, an FTS5 table of trigrams. The server's indexer fills it in the order of ids, and the row of
`event_text_progress` has the last one: the events after it wait. Events up to it whose texts changed since wait in
`event_text_queue`. Triggers write the queue alone, so that a `sqlite3` without FTS5 can still write events, and the
usual create writes nothing, because its id is the greatest. A search reads all three, and checks every event that it
finds. PostgreSQL has a GIN index of pg_trgm, which it keeps in step itself; letters are marked in it, because pg_trgm
has no regard to case. Neither is needed: without it, a search reads every event.
"""

import logging
import re
import sqlite3
import time
from collections.abc import Iterator

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from artemis_models.errors import AUTOCOMMIT

COLUMNS = ("name", "description", "location")
"""The columns of events that are indexed."""
OBJECTS = "event_text"
"""The names of the tables on SQLite begin with it."""
INDEX = "ix_events_text"
"""The name of the index on PostgreSQL."""
MARKED = r"regexp_replace(name || ' ' || description || ' ' || location, '([A-Z])', '0\10', 'g')"
"""The texts of an event as PostgreSQL's index has them, in SQL: one after the other, and each as `marked` gives it.

The marks cost 7 us for an event. To replace each capital by another character with `translate` costs 90 us.
"""
STATISTICS = 500
"""The statistics target of the index: how frequent a text is, is known from five times the usual sample."""

SQLITE_INDEX = (
    # Without the texts, their sizes and the places of trigrams in them, which no search needs.
    "CREATE VIRTUAL TABLE event_texts USING fts5(name, description, location, "
    "content='', columnsize=0, detail=column, tokenize='trigram case_sensitive 1')",
    # The indexer merges in small steps, so that no transaction is long (FTS5, "The 'automerge' configuration option").
    "INSERT INTO event_texts (event_texts, rank) VALUES ('automerge', 0)",
    "INSERT INTO event_texts (event_texts, rank) VALUES ('crisismerge', 100)",
    "INSERT INTO event_texts (event_texts, rank) VALUES ('usermerge', 8)",
)
SQLITE_PROGRESS = (
    "CREATE TABLE event_text_progress (\n  id INTEGER PRIMARY KEY CHECK (id = 1),\n  last_id INTEGER NOT NULL\n) STRICT"
)
NOTHING_INDEXED = -(2**63)
"""The last id that is indexed, of an index that has no event."""
SQLITE_QUEUE = """\
CREATE TABLE event_text_queue (
  event_id INTEGER PRIMARY KEY,
  name TEXT,
  description TEXT,
  location TEXT
) STRICT"""
"""The texts are those that the index has. They are NULL for an event that the index does not have.

The first change of an event after it was indexed adds its row, and later ones leave that as it is.
"""
_IS_INDEXED = "{}.id <= (SELECT last_id FROM event_text_progress)"
_OLD = f"""\
  INSERT INTO event_text_queue (event_id, name, description, location)
  SELECT OLD.id, OLD.name, OLD.description, OLD.location WHERE {_IS_INDEXED.format("OLD")} ON CONFLICT DO NOTHING;"""
_NEW = f"""\
  INSERT INTO event_text_queue (event_id)
  SELECT NEW.id WHERE {_IS_INDEXED.format("NEW")} ON CONFLICT DO NOTHING;"""
_CHANGED = " OR ".join(f"NEW.{column} <> OLD.{column}" for column in ("id", *COLUMNS))
SQLITE_TRIGGERS = (
    # OR REPLACE runs no DELETE trigger for the row that it replaces. That leaves trigrams of its old texts in the
    # index, which is harmless: the search checks what it finds.
    f"CREATE TRIGGER event_text_created AFTER INSERT ON events WHEN {_IS_INDEXED.format('NEW')} BEGIN\n{_NEW}\nEND",
    # Not UPDATE OF: it does not fire for SET rowid = 7, which changes the id.
    f"CREATE TRIGGER event_text_updated AFTER UPDATE ON events WHEN {_CHANGED} BEGIN\n{_OLD}\n{_NEW}\nEND",
    f"CREATE TRIGGER event_text_deleted AFTER DELETE ON events BEGIN\n{_OLD}\nEND",
)
SQLITE = (
    *SQLITE_INDEX,
    SQLITE_PROGRESS,
    f"INSERT INTO event_text_progress (id, last_id) VALUES (1, {NOTHING_INDEXED})",  # noqa: S608, a number
    SQLITE_QUEUE,
    *SQLITE_TRIGGERS,
)
"""The statements that make the index, for which all events wait."""

_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
_SCHEMA = """
    SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE extname = 'pg_trgm'
"""
_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_events_text')"
_IS_ANALYZED = """
    SELECT EXISTS (SELECT 1 FROM pg_stats WHERE tablename = 'ix_events_text') OR NOT EXISTS (SELECT 1 FROM events)
"""
_ANALYZE = (f"ALTER INDEX {INDEX} ALTER COLUMN 1 SET STATISTICS {STATISTICS}", "ANALYZE events")
_REFUSALS = ("42501", "25006", "0A000")
"""The codes of PostgreSQL for a user who may not, for a server that only reads, and for a file that is not there."""
_NO_INDEX = "without an index, searches in text read all events"

log = logging.getLogger(__name__)


def ensure(engine: Engine) -> None:
    """Makes the index, where the database has the schema of this program and lacks it. It may run beside servers.

    If it cannot be made, the log says what to do.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            make_on_sqlite(connection)
    else:
        is_made = lack(engine) is None
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            (_analyze if is_made else _make_on_postgresql)(connection)
    if missing := lack(engine):
        log.warning("%s", missing)


def is_complete(engine: Engine) -> bool:
    """Tells whether the database has the index, and PostgreSQL its statistics."""
    missing = lack(engine)
    if missing is not None or engine.dialect.name == "sqlite":
        return missing is None
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        return bool(connection.exec_driver_sql(_IS_ANALYZED).scalar())


def lack(engine: Engine) -> str | None:
    """Returns a line that says what is missing, and what to do about it; None if the database has the index."""
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        if engine.dialect.name == "sqlite":
            if not has_fts5(connection):
                return f"{_NO_INDEX}: SQLite {sqlite3.sqlite_version} has no FTS5; run `migrate` where it has"
            return None if _is_made(connection) else f"{_NO_INDEX}: run `migrate`"
        return None if connection.exec_driver_sql(_IS_VALID).scalar() else _lack_on_postgresql(connection)


def has_fts5(connection: Connection) -> bool:
    """Tells whether this program's SQLite can use the index."""
    return connection.exec_driver_sql("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").scalar() is not None


def make_on_sqlite(connection: Connection) -> None:
    """Makes the index, unless it is there or this program's SQLite cannot use it."""
    if has_fts5(connection) and not _is_made(connection):
        for statement in SQLITE:
            connection.exec_driver_sql(statement)


def _is_made(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'event_texts'").scalar() is not None


def _lack_on_postgresql(connection: Connection) -> str:
    if connection.exec_driver_sql(_AVAILABLE).scalar() is None:
        return f"{_NO_INDEX}: install the extension pg_trgm (package postgresql-contrib), and run `migrate`"
    if connection.exec_driver_sql(_SCHEMA).scalar() is None:
        return f"{_NO_INDEX}: a superuser has to run CREATE EXTENSION pg_trgm in this database; then run `migrate`"
    return f"{_NO_INDEX}: the index {INDEX} is missing; run `migrate`"


def _make_on_postgresql(connection: Connection) -> None:
    """Makes the index, and the extension before it, unless this user or this server may not."""
    try:
        if connection.exec_driver_sql(_AVAILABLE).scalar() is not None:
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DBAPIError as error:
        _pass_over(error)
    try:
        if schema := connection.exec_driver_sql(_SCHEMA).scalar():
            _build(connection, schema)
            _analyze(connection)
    except DBAPIError as error:
        _pass_over(error)


def _pass_over(error: DBAPIError) -> None:
    if getattr(error.orig, "sqlstate", None) not in _REFUSALS:
        raise error
    log.warning("the index %s cannot be made or analyzed: %s", INDEX, str(error.orig).partition("\n")[0])


def _build(connection: Connection, schema: str) -> None:
    begun = time.monotonic()
    log.info("building the index %s of events; pg_stat_progress_create_index shows how far it is", INDEX)
    for statement in postgresql_statements(schema, anew=connection.exec_driver_sql(_IS_VALID).scalar() is False):
        connection.exec_driver_sql(statement)
    log.info("built the index %s in %.1f s", INDEX, time.monotonic() - begun)


def _analyze(connection: Connection) -> None:
    """Reads a sample of the events, if that was not done, so that PostgreSQL knows which texts are rare.

    Autovacuum does it only after many changes, and a build may have been killed before.
    """
    if not connection.exec_driver_sql(_IS_ANALYZED).scalar():
        try:
            for statement in _ANALYZE:
                connection.exec_driver_sql(statement)
        except DBAPIError as error:
            _pass_over(error)


def postgresql_statements(schema: str, *, anew: bool) -> Iterator[str]:
    """Yields the statements that make the index with the extension in a schema; `anew`, if one has to go first."""
    if anew:  # a build that failed or was killed leaves an index that slows writes and answers nothing
        yield f"DROP INDEX CONCURRENTLY {INDEX}"
    yield f"CREATE INDEX CONCURRENTLY {INDEX} ON events USING gin ({MARKED} {schema}.gin_trgm_ops)"


def marked(text: str) -> str:
    """Returns a text with a 0 on both sides of each capital: "An Owl" gives "0A0n 0O0wl".

    It contains the marked text of each of its parts, and differs from a text in other letters, without regard to case.
    """
    return re.sub("[A-Z]", r"0\g<0>0", text)
