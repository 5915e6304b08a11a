"""The upgrade of a database, revision by revision, while servers may go on beside it (docs/adr/0032)."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from itertools import count
from pathlib import Path

from alembic import command
from alembic.script import Script
from sqlalchemy import Connection, Engine

from artemis_models import text_index
from artemis_models.errors import AUTOCOMMIT
from artemis_models.migrations.locks import PATIENCE, Patience, try_for_locks
from artemis_models.revisions import (
    COMPATIBLE_SINCE,
    config,
    head_revision,
    migrations,
    oldest_revision,
    served_revision,
)

LOCK = 0x617274656D6973
"""The advisory lock that a migration of a PostgreSQL database holds."""
LOCK_PAUSE = 0.2
"""Seconds between two attempts to get it."""

log = logging.getLogger(__name__)


def upgrade(engine: Engine, patience: Patience = PATIENCE) -> str:
    """Brings the database to `head_revision()`, and returns the revision that it has then.

    It does nothing when the database is there already, or is newer but may be served by this program. Each revision is
    a transaction of its own, but for those whose steps take long on a big table (`migrations.steps`). A new database of
    SQLite is made in one transaction. It also makes the index of texts, if that was impossible
    before (`text_index`).

    Raises:
        DatabaseError: the database was migrated beyond what this program can serve, or a lock was not to be had.
        sqlalchemy.exc.DBAPIError: the database failed; the revisions that the log names as made stay.
    """
    revision = _revision(engine)
    if revision is not None and revision > head_revision():
        log.info("the schema is at revision %s, and this program needs %s", revision, head_revision())
        return revision
    if revision == head_revision() and text_index.is_complete(engine):
        return revision
    if engine.dialect.name == "sqlite":
        before = _upgrade_sqlite(engine, patience)
        text_index.ensure(engine)
    else:
        with _alone(engine):
            before = _revision(engine)
            for migration in _announced(before):
                work = partial(_run_on_postgresql, engine, migration, patience)
                try_for_locks(engine, patience, f"the migration to revision {migration.revision}", work)
            text_index.ensure(engine)
    if _after(before):
        log.info("migrated the schema from revision %s to %s", before or "none", head_revision())
    return max(before or "", head_revision())


def upgrade_sql(engine: Engine) -> str:
    """Returns the statements that `upgrade` would execute, which changes nothing.

    Raises: as `upgrade`.
    """
    sqlite = engine.dialect.name == "sqlite"
    missing = sqlite and not Path(str(engine.url.database)).exists()  # connecting would create the file
    before = None if missing else _revision(engine)
    output = StringIO()
    for migration in _after(before):
        made = config()
        made.output_buffer = output
        made.attributes.update(dialect=engine.dialect.name, **_attributes(migration, PATIENCE, sqlite=sqlite))
        command.upgrade(made, f"{migration.down_revision or 'base'}:{migration.revision}", sql=True)
    return output.getvalue()


def _revision(engine: Engine) -> str | None:
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        return served_revision(connection)


def _after(revision: str | None) -> list[Script]:
    """Returns the migrations that a database of this revision lacks."""
    return [migration for migration in migrations() if revision is None or migration.revision > revision]


def _announced(revision: str | None) -> Iterator[Script]:
    """Yields the migrations that a database of this revision lacks, and logs each one that is about to run.

    Those that make a new database take no time, and have no lines.
    """
    for migration in _after(revision):
        if revision is not None:
            log.info("revision %s of %s: %s", migration.revision, head_revision(), migration.doc)
        yield migration


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Waits until no other process migrates this database, and keeps others waiting.

    The lock is a transaction's, so that it works through a pooler. CREATE INDEX CONCURRENTLY waits for transactions
    that have a snapshot. The one with the lock must have none while it is idle, and statements with parameters keep
    theirs; those that wait for the lock ask for it again and again, because a statement that waits has one too.
    """
    for attempt in count():
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            if connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({LOCK})").scalar():
                yield
                return
        if not attempt:
            log.info("another process migrates the database: waiting until it ends")
        time.sleep(LOCK_PAUSE)


def _upgrade_sqlite(engine: Engine, patience: Patience) -> str | None:
    """Brings a file to `head_revision()`, and returns the revision that it had."""
    with engine.begin() as connection:
        before = served_revision(connection)  # again: another process may have been first
        if before is None:
            for migration in _announced(before):
                _run(migration, patience, connection)
    if before is not None:
        for migration in _announced(before):
            if _in_transaction(migration):
                with engine.begin() as connection:
                    if served_revision(connection) == migration.down_revision:
                        _run(migration, patience, connection)
            else:
                with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
                    _run(migration, patience, connection)
    return before


def _run_on_postgresql(engine: Engine, migration: Script, patience: Patience) -> None:
    if _in_transaction(migration):
        with engine.begin() as connection:
            _run(migration, patience, connection)
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _run(migration, patience, connection)


def _run(migration: Script, patience: Patience, connection: Connection) -> None:
    made = config()
    sqlite = connection.dialect.name == "sqlite"
    made.attributes.update(connection=connection, **_attributes(migration, patience, sqlite=sqlite))
    command.upgrade(made, migration.revision)


def _attributes(migration: Script, patience: Patience, *, sqlite: bool) -> dict[str, object]:
    """Returns what env.py needs to run a migration."""
    first = []
    if not sqlite and _in_transaction(migration):
        first.append(patience.statement)
    oldest = oldest_revision(migration)
    if oldest is not None and migration.revision > COMPATIBLE_SINCE:
        # Before the migration: where it is not one transaction, servers that it would break must stop first.
        first.append(
            f"UPDATE schema_compatibility SET oldest_revision = '{oldest}' WHERE oldest_revision < '{oldest}'"  # noqa: S608, four digits
        )
    return {"patience": patience, "first": first, "in_transaction": _in_transaction(migration)}


def _in_transaction(migration: Script) -> bool:
    return getattr(migration.module, "in_transaction", True)
