"""Driver errors: each becomes one of `artemis_server.errors`, and its text goes to the log, never to a caller.

    sqlite3.OperationalError("database or disk is full")  ->  ResourceExhausted, reason STORAGE_FULL

An error may come from the driver itself or wrapped by SQLAlchemy. This module knows the drivers' error codes by name
and imports neither driver: psycopg need not be installed.
"""

import enum
import logging
import re
import time
from collections.abc import Callable

from artemis_models import DatabaseError, sequence_repair
from artemis_models.sequences import NUMBERED
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from artemis_server.db.connection.cancellation import Ending, StatementEnded
from artemis_server.errors import Cancelled, DeadlineExceeded, RequestError, ResourceExhausted, Unavailable

log = logging.getLogger(__name__)
STORAGE_RETRY = 60
"""Seconds after which a caller may find room on a disk that is full: more than most wait, since it takes a person."""
_LOG_INTERVAL = 60.0  # seconds between two lines about the same subject
_logged: dict[str, float] = {}
"""The time of the last line about each table's sequence and about connections, as `time.monotonic` has it."""
_NO_CONNECTION = re.compile("too many (clients|connections)|connection slots are reserved|no more connections allowed")
"""The words for it of PostgreSQL and PgBouncer: psycopg has no SQLSTATE of a connection that was not made."""


def translate(error: Exception) -> Exception:
    """Returns the error for the caller; the same error if it does not say that the database failed."""
    if isinstance(error, PoolTimeoutError):
        return _busy(error)
    if isinstance(error, DatabaseError):
        return _unusable(error)
    if isinstance(error, StatementEnded):
        return _ENDINGS[error.reason]()
    cause = _cause(error)
    if broken_constraint(error) is Constraint.PRIMARY_KEY:
        return _inconsistent(cause)
    translation = _sqlite(cause) or _postgresql(cause)
    return translation(cause) if translation else error


def is_transient(error: Exception) -> bool:
    """Tells whether the transaction was rolled back because it collided with another, and may be run again."""
    return getattr(_cause(error), "sqlstate", None) in _COLLISIONS


def is_read_only(error: Exception) -> bool:
    """Tells whether the statement failed because PostgreSQL may only be read: the node is a standby by now."""
    return _code(error) == "25006"


def is_cancellation(error: Exception) -> bool:
    """Tells whether the statement was cancelled, by whomever."""
    return _code(error) in ("57014", "SQLITE_INTERRUPT")


def is_busy(error: Exception) -> bool:
    """Tells whether another connection to SQLite's file holds the lock that the statement needs."""
    return _code(error).startswith("SQLITE_BUSY")


class Constraint(enum.Enum):
    """A kind of constraint."""

    PRIMARY_KEY = "primary key"
    UNIQUE = "unique"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    OTHER = "other"


def broken_constraint(error: Exception) -> Constraint:
    """Returns the kind of constraint that the statement broke, OTHER if it failed for another reason."""
    kind = _CONSTRAINTS.get(_code(error), Constraint.OTHER)
    return Constraint.PRIMARY_KEY if kind is Constraint.UNIQUE and _primary_key_table(_cause(error)) else kind


def _primary_key_table(cause: BaseException) -> str:
    """Returns the table whose primary key a PostgreSQL statement broke, or nothing: "users" of "pk_users"."""
    name = getattr(getattr(cause, "diag", None), "constraint_name", None)
    return next((table for table in NUMBERED if name == f"pk_{table}"), "")


def caller_gone() -> Cancelled:
    """Returns the error of a write whose caller has gone: a new one each time, because it keeps what raised it."""
    return Cancelled("CANCELLED", "the caller has gone; nothing was changed")


def shutting_down() -> Unavailable:
    """Returns the error of a read or write that the end of the server cut off, or that comes after it."""
    return Unavailable("SHUTTING_DOWN", "the server is shutting down; try another one")


def not_replicated() -> Unavailable:
    """Returns the error of a write that is committed, but may be lost with the node that committed it."""
    return Unavailable(
        "NOT_REPLICATED", "the write is on one node only, because its standbys did not confirm it; repeat it"
    )


def node_left() -> Unavailable:
    """Returns the error of a write that was ended because its node is not the one to write to any more."""
    return Unavailable("DATABASE_UNAVAILABLE", "the database cannot be written now; try again")


def _full(cause: BaseException) -> RequestError:
    log.error("the disk is full: %s", cause)
    return ResourceExhausted(
        "STORAGE_FULL", "the database has no space left; nothing was changed", retry_after=STORAGE_RETRY
    )


def busy() -> Unavailable:
    """Returns the error of a write that waited too long for others."""
    return Unavailable("DATABASE_BUSY", "another process holds the database; try again")


def _busy(_: BaseException) -> RequestError:
    return busy()


def _unusable(cause: BaseException) -> RequestError:
    if _NO_CONNECTION.search(str(cause)):
        return _no_connection(cause)
    log.error("the database failed: %s", cause)
    return Unavailable("DATABASE_UNAVAILABLE", "the database cannot be used now; try again")


def _no_connection(cause: BaseException) -> RequestError:
    if _is_due("connections"):
        text = str(cause).strip().partition("\n")[0]
        log.error("the database has no connection left: raise max_connections there, or lower --threads (%s)", text)
    return Unavailable("DATABASE_UNAVAILABLE", "the database has no connection left for this server; try again")


def _is_due(subject: str) -> bool:
    """Tells whether the log may have another line about a subject, and notes that it has."""
    now = time.monotonic()
    due = now - _logged.get(subject, -_LOG_INTERVAL) >= _LOG_INTERVAL
    if due:
        _logged[subject] = now
    return due


def _read_only(cause: BaseException) -> RequestError:
    log.error("the database cannot be written: %s", cause)
    return read_only()


def read_only() -> Unavailable:
    """Returns the error of a write on a node that may only be read."""
    return Unavailable("DATABASE_UNAVAILABLE", "the database may only be read now; try again")


def _mismatched(cause: BaseException) -> RequestError:
    log.error("the schema is not the one that this server needs: %s", cause)
    return Unavailable("SCHEMA_MISMATCH", "the database's schema is not the one that this server needs")


class DatabaseDamaged(Unavailable):
    """The database has a damaged page."""


def _damaged(cause: BaseException) -> RequestError:
    log.error("the database is damaged: %s", cause)
    return DatabaseDamaged("DATABASE_UNAVAILABLE", "the database cannot be used now; try again")


def late() -> DeadlineExceeded:
    """Returns the error of a read or write that took longer than its caller waits."""
    return DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed while the database worked on the request")


def _wal_held() -> RequestError:
    return Unavailable("SNAPSHOT_ENDED", "the read took too long while others wrote; ask for less, or try again")


def _cancelled(cause: BaseException) -> RequestError:
    log.warning("somebody cancelled a statement: %s", cause)
    return Unavailable("STATEMENT_CANCELLED", "the database's operator cancelled the statement; try again")


def _inconsistent(cause: BaseException) -> RequestError:
    """Returns the error of a new row whose id is taken: the ids come from a sequence that is behind its table."""
    table = _primary_key_table(cause)
    if _is_due(table):
        mend = f"sequence of {table} is behind; execute {sequence_repair(table)}" if table else "database is damaged"
        log.error("the ids of new rows are taken, because the %s (%s)", mend, str(cause).partition("\n")[0])
    return Unavailable("DATABASE_INCONSISTENT", "the database cannot number new rows; its operator has to mend it")


_ENDINGS: dict[Ending, Callable[[], RequestError]] = {
    Ending.LATE: late,
    Ending.ABANDONED: caller_gone,
    Ending.SHUTDOWN: shutting_down,
    Ending.LEFT: node_left,
    Ending.WAL_HELD: _wal_held,
}
_Translation = Callable[[BaseException], RequestError]
_SQLITE: dict[str, _Translation] = {
    "SQLITE_FULL": _full,
    "SQLITE_BUSY": _busy,
    "SQLITE_LOCKED": _busy,
    "SQLITE_INTERRUPT": _cancelled,
    "SQLITE_IOERR": _unusable,
    "SQLITE_CANTOPEN": _unusable,
    "SQLITE_CORRUPT": _damaged,
    "SQLITE_NOTADB": _damaged,
    "SQLITE_READONLY": _unusable,
    "SQLITE_NOMEM": _unusable,
    "SQLITE_PROTOCOL": _unusable,
    "SQLITE_PERM": _unusable,
    "SQLITE_AUTH": _unusable,
}
"""By the name of the error (SQLite, "Result and Error Codes") or its first part, which names the kind."""
_POSTGRESQL: dict[str, _Translation] = {
    "53100": _full,
    "55P03": _busy,  # a lock is not available
    "57014": _cancelled,
    "42P01": _mismatched,  # no such table
    "42703": _mismatched,  # no such column
    "40": _busy,  # collisions that did not end
    "08": _unusable,  # connection
    "25006": _read_only,
    "26": _unusable,  # a pooler does not keep prepared statements
    "42P05": _unusable,  # nor their names apart
    "25P": _unusable,  # a timeout of the transaction that the operator has set
    "42501": _unusable,  # the user may not
    "53": _unusable,  # out of memory or connections
    "57": _unusable,  # shut down, not up yet, or dropped
    "58": _unusable,  # the system
    "XX": _unusable,  # damaged
}
"""By the SQLSTATE (PostgreSQL, "Error Codes") or its first characters, which name the class."""
_COLLISIONS = ("40001", "40P01")  # SQLSTATEs: serialization failure, deadlock
_CONSTRAINTS = {
    "SQLITE_CONSTRAINT_PRIMARYKEY": Constraint.PRIMARY_KEY,
    "SQLITE_CONSTRAINT_UNIQUE": Constraint.UNIQUE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": Constraint.FOREIGN_KEY,
    "SQLITE_CONSTRAINT_CHECK": Constraint.CHECK,
    "23505": Constraint.UNIQUE,
    "23503": Constraint.FOREIGN_KEY,
    "23514": Constraint.CHECK,
}
"""By the name of SQLite's error, and by the SQLSTATE."""


def _cause(error: Exception) -> BaseException:
    """Returns the driver's error that SQLAlchemy has wrapped, or else the error itself."""
    return getattr(error, "orig", None) or error


def _code(error: Exception) -> str:
    """Returns the name of SQLite's error or the SQLSTATE; nothing if the error is no driver's."""
    cause = _cause(error)
    return getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""


def _sqlite(cause: BaseException) -> _Translation | None:
    name = getattr(cause, "sqlite_errorname", "")
    if name == "SQLITE_ERROR" and str(cause).startswith(("no such table", "no such column", "table ")):
        return _mismatched
    return _find(_SQLITE, name)


def _postgresql(cause: BaseException) -> _Translation | None:
    if type(cause).__module__.partition(".")[0] != "psycopg":
        return None
    state = getattr(cause, "sqlstate", None)
    if state is None:  # the server could not be reached, or went away; the classes are those of PEP 249
        names = {each.__name__ for each in type(cause).__mro__}
        return None if names.isdisjoint(("OperationalError", "InterfaceError")) else _unusable
    return _find(_POSTGRESQL, state)


def _find(translations: dict[str, _Translation], code: str) -> _Translation | None:
    return next((translation for prefix, translation in translations.items() if code.startswith(prefix)), None)
