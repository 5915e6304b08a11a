"""The fast path: statements that SQLAlchemy builds and compiles once, and the driver executes.

Executing through SQLAlchemy costs several times what SQLite needs for a row; the driver's own
connection, which the session holds, costs little more than the row. It is the same transaction, the
same SQL and bound parameters. Rows are plain tuples.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import Any, Literal, Protocol, cast

from sqlalchemy import ClauseElement, Dialect, Insert, Text, bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session

_DRIVER = "artemis_driver_connection"
"""The key in `Session.info` of the connection that `driver_connection` found."""
PRINCIPAL = "artemis_principal"
"""The key in `Session.info` of the principal whose work a session does (`access.principal.Principal`), or of None."""
PRINCIPAL_SETTING = "artemis.principal"
"""The setting of a transaction on PostgreSQL from which the triggers that log changes learn whose they are."""
PRINCIPAL_NAME = "artemis_principal_name"
"""The parameter of `ATTRIBUTION`."""
ATTRIBUTION = func.set_config(PRINCIPAL_SETTING, bindparam(PRINCIPAL_NAME, type_=Text), True)
"""Sets it within a statement that is a transaction by itself: RETURNING is evaluated before triggers of the statement.

It ends with the transaction, and so works behind PgBouncer.
"""
MAX_FETCH = 128
"""The number of rows that are fetched at a time: enough for a page of 100 and the row after it."""
MAX_INSERTED = 100
"""The number of rows of one INSERT on SQLite. Each of their values is a parameter, of which SQLite allows 32,766."""
_BEGIN = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
_POSITIONAL: dict[str, Literal["qmark", "format"]] = {"sqlite": "qmark", "postgresql": "format"}

Row = tuple[Any, ...]
"""The columns of a row, in the order of the statement."""
Values = dict[str, Any]
"""Values by the name of a column or of a parameter."""


class Driver(Protocol):
    """The part of a driver's connection that is used; sqlite3 and psycopg both have it."""

    def execute(self, sql: str, values: Sequence[Any] = (), **options: Any) -> DBAPICursor:
        """Executes a statement. Options are psycopg's."""

    def cursor(self) -> DBAPICursor:
        """Returns a new cursor."""


def principal_name(session: Session) -> str:
    """Returns the name of the principal whose work the session does; empty if it is not known."""
    principal = session.info.get(PRINCIPAL)
    return principal.name if principal else ""


class Statement:
    """A statement whose parameters are named binds. It raises the driver's own errors (PEP 249)."""

    def __init__(self, clause: ClauseElement, *, planned_anew: bool = False) -> None:
        """With `planned_anew`, PostgreSQL makes a plan for the values of each execution, also after many of them."""
        self._clause = clause
        self._planned_anew = planned_anew
        self._compiled: dict[str, _Compiled] = {}

    def first(self, session: Session, values: Values) -> Row | None:
        """Executes the statement and returns its first row, if it has one."""
        cursor = self._execute(session, values)
        row = cursor.fetchone()
        cursor.close()
        return row

    def execute(self, session: Session, values: Values) -> None:
        """Executes the statement, which returns no rows."""
        self._execute(session, values).close()

    def insert(self, session: Session, values: Values) -> int:
        """Executes the INSERT of a row and returns its id: the one in `values`, or else the one that SQLite assigned.

        SQLite's cursor knows it, for less than half of what RETURNING costs.
        """
        cursor = self._execute(session, values)
        row_id = values["id"] or cursor.lastrowid
        cursor.close()
        return cast("int", row_id)

    def insert_many(self, session: Session, rows: Sequence[Values]) -> None:
        """Executes the INSERT of rows, many in a statement: triggers have a cost for each statement.

        PostgreSQL takes an array for each column. Its driver would convert the text of a statement with VALUES each
        time, which costs ten times as much. SQLite has no arrays: "INSERT INTO t (a, b) VALUES (?, ?)" becomes "INSERT
        INTO t (a, b) VALUES (?, ?), (?, ?)" for two rows, and so on up to MAX_INSERTED.
        """
        if not rows:
            return
        driver, compiled = self._prepare(session)
        if compiled.prepares:
            values = [list(column) for column in zip(*map(compiled.positional, rows), strict=True)]
            driver.execute(compiled.insert_of_arrays, values).close()
            return
        head, _, row = compiled.sql.partition(" VALUES ")
        for start in range(0, len(rows), MAX_INSERTED):
            chunk = [compiled.positional(values) for values in rows[start : start + MAX_INSERTED]]
            driver.execute(f"{head} VALUES {', '.join([row] * len(chunk))}", [*chain.from_iterable(chunk)]).close()

    def many(self, session: Session, rows: Iterable[Values]) -> int:
        """Executes the statement for each of the rows, in one call of the driver; returns how many were changed."""
        driver, compiled = self._prepare(session)
        cursor = driver.cursor()
        cursor.executemany(compiled.sql, [compiled.positional(row) for row in rows])
        changed = cursor.rowcount
        cursor.close()
        return changed

    def rows(self, session: Session, values: Values) -> list[Row]:
        """Executes the statement and returns all its rows, which must be few."""
        cursor = self._execute(session, values)
        rows = list(cursor.fetchall())
        cursor.close()
        return rows

    def chunks(self, session: Session, values: Values) -> Generator[Sequence[Row]]:
        """Executes the statement and yields its rows, many at a time. Close the iterator to stop early."""
        cursor = self._execute(session, values)
        try:
            while chunk := cursor.fetchmany(MAX_FETCH):
                yield chunk
        finally:
            cursor.close()

    def _execute(self, session: Session, values: Values) -> DBAPICursor:
        driver, compiled = self._prepare(session)
        if self._planned_anew and compiled.prepares:
            return driver.execute(compiled.sql, compiled.positional(values), prepare=False)
        return driver.execute(compiled.sql, compiled.positional(values))

    def _prepare(self, session: Session) -> "tuple[Driver, _Compiled]":
        driver, dialect = session.info.get(_DRIVER) or _find(session)
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self._clause, dialect)
        return driver, compiled


class _Compiled:
    """A statement that is compiled for one dialect.

    Parameters are positional: to bind a named one, sqlite3 gives up the interpreter's lock and takes it
    again, which under load costs more than the binding.
    """

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        compiler: Any = clause.compile(
            dialect=cast("type[DefaultDialect]", type(dialect))(paramstyle=_POSITIONAL[dialect.name])
        )
        self.sql = str(compiler)
        self.prepares = dialect.name == "postgresql"
        """True if the driver prepares statements that are executed often."""
        self._names: list[str] = compiler.positiontup
        self._constants = {name: value for name, value in compiler.params.items() if value is not None}
        self._clause, self._dialect = clause, dialect

    def positional(self, values: Values) -> list[Any]:
        """Returns the values in the order of the parameters."""
        if self._constants:
            values = {**self._constants, **values}
        return [values[name] for name in self._names]

    @cached_property
    def insert_of_arrays(self) -> str:
        """The INSERT of a row, for PostgreSQL and any number of rows: each parameter is the list of a column's values.

        INSERT INTO t (a, b) SELECT * FROM unnest(%b::BIGINT[], %b::TEXT[]). Lists in the binary format (%b) cost a
        quarter of lists in text.
        """
        table = cast("Insert", self._clause).table
        arrays = ", ".join(f"%b::{ARRAY(table.c[name].type).compile(self._dialect)}" for name in self._names)
        return f"INSERT INTO {table.name} ({', '.join(self._names)}) SELECT * FROM unnest({arrays})"  # noqa: S608, names of ours


def driver_connection(session: Session) -> Driver:
    """Returns the driver's connection of the session's transaction, and keeps it for the statements of the session.

    Only the owner of a session calls it, because the session must not change its connection afterwards.
    """
    session.info[_DRIVER] = found = _find(session)
    return found[0]


@contextmanager
def snapshot(session: Session) -> Iterator[None]:
    """Makes the statements in the block read one snapshot, in a session whose connection is in autocommit."""
    driver = driver_connection(session)
    driver.execute(_BEGIN[session.get_bind().dialect.name]).close()
    try:
        yield
    finally:
        driver.execute("ROLLBACK").close()


def _find(session: Session) -> tuple[Driver, Dialect]:
    """Returns the driver's connection of the session's transaction, which begins if there is none, and its dialect."""
    connection = session.connection()
    return cast("Driver", connection.connection.dbapi_connection), connection.dialect
