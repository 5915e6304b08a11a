"""The differences between SQLite and PostgreSQL in staging and merging a feed, behind one protocol."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Protocol

from artemis_models import AUTOCOMMIT, ChangeContext
from sqlalchemy import Connection, Engine, Table, TextClause, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

StagedRow = tuple[Any, ...]
"""One row of a temporary table."""

SQLITE_PRAGMAS = {
    "busy_timeout": 60_000,  # milliseconds; a load can wait longer than a request
    "temp_store": "file",  # staging is as large as the feed, and must not be held in memory
    "main.cache_size": -49_152,  # KiB
    "temp.cache_size": -16_384,  # KiB
}

CHANGES_CHANNEL = "artemis_changes"
"""The channel of PostgreSQL's notifications that servers listen to while somebody watches."""
GONE_WITHIN = "500ms"
"""The time after which PostgreSQL notices that a load was killed during a statement."""
_SERIALIZATION_FAILURES = ("40001", "40P01")
"""The SQLSTATEs of conflicts and deadlocks on PostgreSQL."""


class Dialect(Protocol):
    """The statements of one engine that stage rows and begin transactions."""

    def set_up(self, connection: Connection) -> None:
        """Prepares a connection of a load's own."""

    def reading(self, connection: Connection) -> AbstractContextManager[object]:
        """Begins a transaction that writes temporary tables only, and keeps nobody else from writing."""

    def writing(self, connection: Connection) -> AbstractContextManager[object]:
        """Begins a transaction that writes the tables that others read."""

    def attribute(self, connection: Connection, principal: str) -> None:
        """Tells the triggers that log changes whose those of the transaction are, from now on.

        Nobody's ("") must be the last ones.
        """

    def announce(self, connection: Connection) -> None:
        """Tells servers of what was committed, whose watches would find it later otherwise. Errors do not matter."""

    def append(self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[StagedRow]) -> None:
        """Adds rows to columns of a temporary table, each as it comes.

        Raises DBAPIError when the database fails, and any error of the iterator.
        """

    def analyze(self, connection: Connection, table: Table) -> None:
        """Gives the engine statistics of a temporary table, after its rows were added."""

    def rebuilding_indexes(self, connection: Connection, table: Table) -> AbstractContextManager[object]:
        """Makes a very large insert faster by making the indexes afterwards, if that keeps no reader waiting."""


class _Sqlite:
    """Temporary tables are in a file of their own, which is deleted when the process ends in any way."""

    def set_up(self, connection: Connection) -> None:
        connection.execution_options(**{AUTOCOMMIT: True})
        for pragma, value in SQLITE_PRAGMAS.items():
            connection.exec_driver_sql(f"PRAGMA {pragma} = {value}")
        connection.commit()

    @contextmanager
    def reading(self, connection: Connection) -> Iterator[None]:
        connection.execution_options(**{AUTOCOMMIT: True})
        with connection.begin():
            connection.exec_driver_sql("BEGIN DEFERRED")
            yield

    @contextmanager
    def writing(self, connection: Connection) -> Iterator[None]:
        connection.execution_options(**{AUTOCOMMIT: False})
        with connection.begin():
            yield

    def attribute(self, connection: Connection, principal: str) -> None:
        values = {"transaction_id": ChangeContext.transaction_id + 1, "principal": principal}
        connection.execute(update(ChangeContext).values(values))

    def announce(self, connection: Connection) -> None:
        """Does nothing: servers see that the file has changed."""

    def append(self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[StagedRow]) -> None:
        driver: Any = connection.connection.dbapi_connection
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608, our names
        with _translated(connection, statement):
            driver.executemany(statement, rows)

    def analyze(self, connection: Connection, table: Table) -> None:
        """Does nothing: temporary tables are looked up by their keys."""

    def rebuilding_indexes(self, connection: Connection, table: Table) -> AbstractContextManager[object]:
        return _rebuilt(connection, _SQLITE_INDEXES, table)


class _Postgresql:
    """Temporary tables belong to the session, which the server ends when the process does."""

    def set_up(self, connection: Connection) -> None:
        with suppress(DBAPIError), connection.begin():  # PostgreSQL refuses it on some systems
            connection.exec_driver_sql(f"SET client_connection_check_interval = '{GONE_WITHIN}'")

    def reading(self, connection: Connection) -> AbstractContextManager[object]:
        return connection.begin()

    def writing(self, connection: Connection) -> AbstractContextManager[object]:
        return connection.begin()

    def attribute(self, connection: Connection, principal: str) -> None:
        connection.execute(select(func.set_config("artemis.principal", principal, True)))

    def announce(self, connection: Connection) -> None:
        # In a transaction of its own: one that notifies locks out others that do until it is committed.
        with suppress(DBAPIError), connection.begin():
            connection.exec_driver_sql(f"NOTIFY {CHANGES_CHANNEL}")

    def append(self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[StagedRow]) -> None:
        driver: Any = connection.connection.dbapi_connection
        statement = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN"
        with _translated(connection, statement), driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def analyze(self, connection: Connection, table: Table) -> None:
        connection.exec_driver_sql(f"ANALYZE {table.name}")

    def rebuilding_indexes(self, connection: Connection, table: Table) -> AbstractContextManager[object]:
        """Does nothing unless the table is empty, because readers wait while an index is away."""
        if connection.execute(select(select(table.c.id).exists())).scalar():
            return nullcontext()
        return _rebuilt(connection, _POSTGRESQL_INDEXES, table)


@contextmanager
def _translated(connection: Connection, statement: str) -> Iterator[None]:
    """Turns errors of the driver into those of SQLAlchemy, for statements that go past it."""
    errors: Any = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except errors as error:
        raise DBAPIError.instance(statement, None, error, errors) from error


_SQLITE_INDEXES = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :name AND sql NOTNULL")
_POSTGRESQL_INDEXES = text(
    "SELECT indexname, indexdef FROM pg_indexes JOIN pg_tables USING (schemaname, tablename)"
    " WHERE schemaname = current_schema() AND tablename = :name AND pg_has_role(tableowner, 'USAGE')"
    " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname AND conrelid = to_regclass(tablename))"
)
"""The indexes of a table that belong to no constraint and that the user may drop."""


@contextmanager
def _rebuilt(connection: Connection, indexes: TextClause, table: Table) -> Iterator[None]:
    """Drops the indexes of a table, and makes them again at the end, within the transaction of the caller."""
    found = connection.execute(indexes, {"name": table.name}).all()
    for name, _ in found:
        connection.exec_driver_sql(f'DROP INDEX "{name}"')
    yield
    for _, sql in found:
        connection.exec_driver_sql(sql)


_DIALECTS: dict[str, Dialect] = {"sqlite": _Sqlite(), "postgresql": _Postgresql()}


def dialect_of(engine: Engine) -> Dialect:
    """Returns how an engine's database stages rows."""
    return _DIALECTS[engine.dialect.name]


def is_conflict(error: DBAPIError) -> bool:
    """Tells whether a write of another session made a statement fail, so that it is worth comparing again."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in _SERIALIZATION_FAILURES


@contextmanager
def own_connection(engine: Engine) -> Iterator[Connection]:
    """Lends a connection that no pool keeps: temporary tables and locks end with it."""
    with engine.connect() as connection:
        connection.detach()
        dialect_of(engine).set_up(connection)
        yield connection
