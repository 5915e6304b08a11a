"""Steps of migrations that take long on a big table, beside servers that read and write it.

The migration that calls them sets `in_transaction = False`. Its steps are committed one by one then, and after a
failure it runs again from the start; so each step can be repeated. A new database of SQLite is made in one transaction
all the same.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic import op
from artemis_models.change_log import SQLITE_TRIGGERS, sqlite_triggers
from artemis_models.migrations.locks import Patience, try_for_locks
from sqlalchemy import Connection, text

PROGRESS = 10.0
"""Seconds between two lines of the log about a step that goes on."""
_IS_MADE = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = :name",
    "postgresql": "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)",
}
"""The query that tells by the dialect's name whether an index is there: true, none, or false for an INVALID one."""

log = logging.getLogger(__name__)


def create_index(name: str, table: str, columns: list[Any], **options: Any) -> None:
    """Makes an index, unless it is there. `options` are those of `op.create_index`.

    On PostgreSQL it is made CONCURRENTLY and blocks no write. An attempt that failed or was killed leaves an INVALID
    index, which slows writes and answers nothing. It is dropped first (PostgreSQL, "CREATE INDEX"). On SQLite, which
    leaves nothing of such an attempt, writes wait until the index is made, and reads go on.
    """
    context = op.get_context()
    query = text(_IS_MADE[context.dialect.name])
    found = None if context.as_sql else op.get_bind().execute(query, {"name": name}).scalar()
    if found:
        return
    if context.dialect.name == "sqlite":
        with _announced(f"{name} of {table}; writes wait for it, and reads go on", quiet=_is_empty(table)):
            op.create_index(name, table, columns, **options)
        return
    with _announced(f"{name} of {table}; pg_stat_progress_create_index shows how far it is"):
        if context.as_sql or found is False:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


@contextmanager
def _announced(index: str, *, quiet: bool = False) -> Iterator[None]:
    begun = time.monotonic()
    if not quiet:
        log.info("building the index %s", index)
    yield
    if not quiet:
        log.info("built the index in %.1f s", time.monotonic() - begun)


def _is_empty(table: str) -> bool:
    if op.get_context().as_sql:
        return True
    return not op.get_bind().execute(text(f"SELECT EXISTS (SELECT 1 FROM {table})")).scalar()  # noqa: S608, a table's name


def drop_index(name: str, table: str) -> None:
    """Drops an index, if it is there: on PostgreSQL CONCURRENTLY, so that nobody waits."""
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def update_in_batches(table: str, statement: str, size: int = 5000) -> None:
    """Executes an UPDATE for ranges of the ids of a table, each committed on its own on PostgreSQL.

    The statement has :first and :last, and leaves out rows that are done, because it may run again:
    `UPDATE events SET place = location WHERE id BETWEEN :first AND :last AND place = ''`. The version of each row that
    it changes is counted up, and so its etag changes.
    """
    context = op.get_context()
    if context.as_sql:
        op.execute(statement.replace(":first", "0").replace(":last", str(2**63 - 1)))
        return
    bind = op.get_bind()
    first, last = bind.execute(text(f"SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM {table}")).one()  # noqa: S608, a table's name
    assert context.config is not None  # noqa: S101, for the type checker
    run = _runner(bind, context.config.attributes["patience"], table)
    told = time.monotonic()
    for start in range(first, last + 1, size):
        run(statement, {"first": start, "last": min(start + size - 1, last)})
        if time.monotonic() - told >= PROGRESS:
            told = time.monotonic()
            log.info("updating %s: %.0f %% of the ids are done", table, 100 * (start - first) / (last - first + 1))


def _runner(bind: Connection, patience: Patience, table: str) -> Callable[[str, dict[str, int]], None]:
    """Returns what executes a statement: here on SQLite, and on PostgreSQL in a transaction that waits little."""

    def run(statement: str, parameters: dict[str, int]) -> None:
        if bind.dialect.name == "sqlite":
            bind.execute(text(statement), parameters)
            return
        with bind.engine.begin() as connection:
            connection.exec_driver_sql(patience.statement)
            connection.execute(text(statement), parameters)

    def run_patiently(statement: str, parameters: dict[str, int]) -> None:
        name = f"the update of {table} from id {parameters['first']}"
        try_for_locks(bind.engine, patience, name, lambda: run(statement, parameters))

    return run_patiently


def log_event_columns(columns: str) -> None:
    """Makes the triggers log these columns of events, which is every one: "id name url version".

    SQLite's triggers name the columns, and PostgreSQL's do not: nothing is to be done there. The migration that adds a
    column calls it, in its transaction.
    """
    if op.get_context().dialect.name == "postgresql":
        return
    for name in SQLITE_TRIGGERS:
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
    for statement in sqlite_triggers(columns.split()):
        op.execute(statement)
