"""The fast path: statements that SQLAlchemy builds and compiles once, and the driver executes.

Executing through SQLAlchemy costs several times what SQLite needs for a row; the driver's own
connection, which the session holds, costs little more than the row. It is the same transaction, the
same SQL and bound parameters. Rows are plain tuples.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Literal, Protocol, cast

from sqlalchemy import ClauseElement, Dialect, Select
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import Session
from sqlalchemy.util import LRUCache

_KEPT = "artemis_driver_connection"
"""The key in `Session.info` of the connection that `driver_connection` found."""
_CHUNK = 128
"""How many rows are fetched at a time: a page of 100 and the row after it at once."""
MAX_KEPT_SQL = 4096
"""The longest SQL, in characters, that is kept for other statements."""
_POSITIONAL: dict[str, Literal["qmark", "format"]] = {"sqlite": "qmark", "postgresql": "format"}

Row = tuple[Any, ...]
"""The columns of a row, in the order of the statement."""
Values = dict[str, Any]
"""Values by the name of a column or of a parameter."""
_COMPILED: LRUCache[Any, tuple[str, list[str], list[str], Values]] = LRUCache(256)
"""By dialect and cache key: the SQL, its parameters' names, the cache key's parameters' names, and the constants."""


class Cursor(Protocol):
    """The part of a driver's cursor (PEP 249) that is used."""

    def fetchone(self) -> Row | None:
        """Returns the next row."""

    def fetchmany(self, size: int) -> Sequence[Row]:
        """Returns the next rows."""

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> object:
        """Executes a statement once for each of the sequences of values."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed, by all executions together."""

    @property
    def lastrowid(self) -> int | None:
        """The id that SQLite assigned to the row that was inserted. psycopg has no such thing."""

    def close(self) -> None:
        """Ends the statement, and with it its snapshot."""


class Driver(Protocol):
    """The part of a driver's connection that is used; sqlite3 and psycopg both have it."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        """Executes a statement."""

    def cursor(self) -> Cursor:
        """Returns a new cursor."""


class Statement:
    """A statement whose parameters are named binds. It raises the driver's own errors (PEP 249)."""

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
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

    def many(self, session: Session, rows: Iterable[Values]) -> int:
        """Executes the statement for each of the rows, in one call of the driver; returns how many were changed."""
        driver, compiled = self._prepare(session)
        cursor = driver.cursor()
        cursor.executemany(compiled.sql, map(compiled.positional, rows))
        changed = cursor.rowcount
        cursor.close()
        return changed

    def chunks(self, session: Session, values: Values) -> Generator[Sequence[Row]]:
        """Executes the statement and yields its rows, many at a time. Close the iterator to stop early."""
        cursor = self._execute(session, values)
        try:
            while chunk := cursor.fetchmany(_CHUNK):
                yield chunk
        finally:
            cursor.close()

    def _execute(self, session: Session, values: Values) -> Cursor:
        driver, compiled = self._prepare(session)
        return driver.execute(compiled.sql, compiled.positional(values))

    def _prepare(self, session: Session) -> "tuple[Driver, _Compiled]":
        driver, dialect = session.info.get(_KEPT) or _find(session)
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self._clause, dialect)
        return driver, compiled


class _Compiled:
    """A statement that is compiled for one dialect.

    Selects that differ in nothing but constants, such as those of the filters `id > 5` and `id > 7`, share their SQL:
    compiling it costs as much as reading the rows of a page.

    Parameters are positional: to bind a named one, sqlite3 gives up the interpreter's lock and takes it
    again, which under load costs more than the binding.
    """

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        key = clause._generate_cache_key() if isinstance(clause, Select) else None  # SQLAlchemy's recipes do it
        parameters = key.bindparams if key else []
        compiled = _COMPILED.get((dialect.name, key.key)) if key else None
        if compiled is None:
            compiler: Any = clause.compile(
                dialect=cast("type[DefaultDialect]", type(dialect))(paramstyle=_POSITIONAL[dialect.name])
            )
            names = [compiler.bind_names[parameter] for parameter in parameters]
            compiled = str(compiler), compiler.positiontup, names, compiler.params
            if key and len(compiled[0]) <= MAX_KEPT_SQL:
                _COMPILED[dialect.name, key.key] = compiled
        self.sql, self._names, names, constants = compiled
        constants = constants | {name: parameter.value for name, parameter in zip(names, parameters, strict=True)}
        self._constants = {name: value for name, value in constants.items() if value is not None}

    def positional(self, values: Values) -> list[Any]:
        """Returns the values in the order of the parameters."""
        if self._constants:
            values = {**self._constants, **values}
        return [values[name] for name in self._names]


def driver_connection(session: Session) -> Driver:
    """Returns the driver's connection of the session's transaction, and keeps it for the statements of the session.

    Only the owner of a session calls it, because the session must not change its connection afterwards.
    """
    session.info[_KEPT] = found = _find(session)
    return found[0]


def _find(session: Session) -> tuple[Driver, Dialect]:
    """Returns the driver's connection of the session's transaction, which begins if there is none, and its dialect."""
    connection = session.connection()
    return cast("Driver", connection.connection.dbapi_connection), connection.dialect
