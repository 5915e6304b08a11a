"""PostgreSQL databases that tests use one after the other: to empty one takes a tenth of the time to make one.

A database that differs from a new one in more than rows, such as in an index, a setting or statistics, is dropped.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL

SMALL = 80 * 1024
"""Bytes of a table up to which the planner sees no difference to one that was never filled: ten pages."""
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
CHANGES = "SELECT count(*), max(xmin::text::bigint) FROM {} WHERE {} >= 16384"
"""The number of rows that are not PostgreSQL's own, and the newest transaction that has written one."""
TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
"""
OTHERS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SEQUENCES = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
LOG = "event_changes"
FIRST = "SELECT * FROM event_changes WHERE id = 0"
"""The one change that a new database has."""
LOGGED = "DELETE FROM event_changes WHERE id > 0"
SETTINGS = """
    SELECT datconnlimit, datallowconn, datacl::text, setrole, setconfig::text
    FROM pg_database LEFT JOIN pg_db_role_setting ON setdatabase = pg_database.oid WHERE datname = current_database()
"""

State = list[Any]


class Pool:
    """Databases made from one template, each by a call that drops it in the end."""

    def __init__(self, clone: Callable[[], AbstractContextManager[URL]]) -> None:
        self._clone = clone
        self._free: list[tuple[URL, ExitStack]] = []
        self._new: State | None = None
        self._contents: list[str] = []
        """The tables that have rows in a new database."""

    @contextmanager
    def lend(self) -> Iterator[URL]:
        """Yields the URL of a database that nobody else uses meanwhile, and is like a new one."""
        url, made = self._free.pop() if self._free else self._make()
        try:
            yield url
        finally:
            if self._empty(url):
                self._free.append((url, made))
            else:
                made.close()

    def close(self) -> None:
        """Drops the databases."""
        for _, made in self._free:
            made.close()

    def _make(self) -> tuple[URL, ExitStack]:
        made = ExitStack()
        url = made.enter_context(self._clone())
        if self._new is None:
            with closing(_connect(url)) as connection:
                tables = _names(connection, TABLES)
                self._contents = [table for table in tables if _rows(connection, table)]
                self._new = self._state(connection)
        return url, made

    def _empty(self, url: URL) -> bool:
        """Deletes all rows that a new database has not; returns False if that is not all that there is to do."""
        try:
            with closing(_connect(url)) as connection:
                connection.execute(OTHERS)
                tables = _names(connection, TABLES)
                if self._state(connection) != self._new or not _small(connection, tables):
                    return False
                connection.execute("SET session_replication_role = replica")  # which turns triggers and keys off
                for table in tables:
                    if table not in self._contents:
                        connection.execute(SQL("DELETE FROM {}").format(Identifier(table)))
                connection.execute(LOGGED)
                connection.execute(SEQUENCES)
        except psycopg.Error:  # such as of a database or a table that the test has dropped
            return False
        return True

    def _state(self, connection: "psycopg.Connection[Any]") -> State:
        """Returns what is different after a change of anything but rows."""
        changes = " UNION ALL ".join(CHANGES.format(*catalog) for catalog in CATALOGS.items())
        found = connection.execute(changes).fetchall()
        kept = [_rows(connection, table) for table in self._contents if table != LOG]
        kept.append(connection.execute(FIRST).fetchall())
        return [*found, *connection.execute(SETTINGS).fetchall(), *kept]


def _connect(url: URL) -> "psycopg.Connection[Any]":
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)


def _names(connection: "psycopg.Connection[Any]", query: str) -> list[str]:
    return [name for (name,) in connection.execute(query).fetchall()]


def _rows(connection: "psycopg.Connection[Any]", table: str) -> State:
    return connection.execute(SQL("SELECT * FROM {}").format(Identifier(table))).fetchall()


def _small(connection: "psycopg.Connection[Any]", tables: list[str]) -> bool:
    sizes = connection.execute("SELECT pg_relation_size(name::regclass) FROM unnest(%s::text[]) name", [tables])
    return all(size <= SMALL for (size,) in sizes)
