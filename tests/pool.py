"""PostgreSQL databases that tests use one after the other: to empty one takes a tenth of the time to make one.

A database that differs from a new one in more than rows, such as in an index, a setting or statistics, is dropped.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import URL

CATALOGS = {
    "pg_attrdef": "oid",
    "pg_attribute": "attrelid",
    "pg_class": "oid",
    "pg_constraint": "oid",
    "pg_event_trigger": "oid",
    "pg_extension": "oid",
    "pg_index": "indexrelid",
    "pg_proc": "oid",
    "pg_sequence": "seqrelid",
    "pg_statistic": "starelid",
    "pg_trigger": "oid",
    "pg_type": "oid",
}
"""The catalogs that show a change of the schema or of statistics, and their columns that say whose each row is."""
CHANGES = """
    SELECT '{0}' AS part, concat_ws(' ', count(*), max(xmin::text::bigint)) AS value FROM {0} WHERE {1} >= 16384
"""
"""The number of rows that are not PostgreSQL's own, and the newest transaction that has written one."""
SETTINGS = """
    SELECT 'settings', concat_ws(' ', datconnlimit, datallowconn, datacl, setrole, setconfig)
    FROM pg_database LEFT JOIN pg_db_role_setting ON setdatabase = pg_database.oid WHERE datname = current_database()
"""
LOG = "event_changes"
FIRST = "SELECT 'first', event_changes::text FROM event_changes WHERE id = 0"
"""The one change that a new database has."""
CONTENT = "SELECT '{0}', {0}::text FROM {0}"
TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
"""
LARGE = """
    SELECT 'large', relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 80 * 1024
"""
"""The tables of more than ten pages: up to that the planner sees no difference to one that was never filled."""
OTHERS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
WITHOUT_TRIGGERS = "SET session_replication_role = replica"
"""Turns triggers and foreign keys off."""
DELETED = "{0} AS (DELETE FROM {0})"
EMPTY = """
    WITH {}, log AS (DELETE FROM event_changes WHERE id > 0)
    SELECT setval(seqrelid, seqstart, false) FROM pg_sequence
"""

State = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A database, and what belongs to it until it is dropped."""

    url: URL
    connection: "psycopg.Connection[Any]"
    """Stays open between tests: PostgreSQL takes longer to start a process for one than to delete the rows."""
    made: ExitStack


class Pool:
    """Databases made from one template, each by a call that drops it in the end."""

    def __init__(self, clone: Callable[[], AbstractContextManager[URL]]) -> None:
        self._clone = clone
        self._free: list[Clone] = []
        self._new: State = []
        self._state = ""
        """The query for what is different after a change of anything but rows."""
        self._empty = ""

    @contextmanager
    def lend(self) -> Iterator[URL]:
        """Yields the URL of a database that nobody else uses meanwhile, and is like a new one."""
        clone = self._free.pop() if self._free else self._make()
        try:
            yield clone.url
        finally:
            if self._is_emptied(clone.connection):
                self._free.append(clone)
            else:
                clone.made.close()

    def close(self) -> None:
        """Drops the databases."""
        for clone in self._free:
            clone.made.close()

    def _make(self) -> Clone:
        made = ExitStack()
        url = made.enter_context(self._clone())
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = made.enter_context(closing(psycopg.connect(dsn, autocommit=True, prepare_threshold=0)))
        connection.execute(WITHOUT_TRIGGERS)
        if not self._new:
            self._ask_for(connection)
            self._new = _rows(connection, self._state)
        return Clone(url=url, connection=connection, made=made)

    def _ask_for(self, connection: "psycopg.Connection[Any]") -> None:
        """Writes the two statements that empty a database, by what a new one has."""
        tables = [table for (table,) in _rows(connection, TABLES) if table != LOG]
        filled = [table for table in tables if _rows(connection, CONTENT.format(table))]
        catalogs = [CHANGES.format(*catalog) for catalog in CATALOGS.items()]
        contents = [CONTENT.format(table) for table in filled]
        self._state = " UNION ALL ".join([*catalogs, SETTINGS, FIRST, LARGE, *contents])
        self._empty = EMPTY.format(", ".join(DELETED.format(table) for table in tables if table not in filled))

    def _is_emptied(self, connection: "psycopg.Connection[Any]") -> bool:
        """Deletes all rows that a new database has not; returns False if that is not all that there is to do."""
        try:
            connection.execute(OTHERS)
            if _rows(connection, self._state) != self._new:
                return False
            connection.execute(self._empty)
        except psycopg.Error:  # such as of a database or a table that the test has dropped
            return False
        return True


def _rows(connection: "psycopg.Connection[Any]", query: str) -> list[Any]:
    return connection.execute(query.encode()).fetchall()
