"""What a failing database means to a caller: driver errors become `errors`, their texts go to the log."""

import enum
import logging
from collections.abc import Callable

from artemis_models import DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from artemis_server.errors import Cancelled, DeadlineExceeded, RequestError, ResourceExhausted, Unavailable

log = logging.getLogger(__name__)


def translate(error: Exception) -> Exception:
    """Returns what to tell the caller; the error itself if it is not the database that failed."""
    if isinstance(error, PoolTimeoutError):
        return _busy(error)
    if isinstance(error, DatabaseError):
        return _broken(error)
    cause = getattr(error, "orig", None) or error
    meaning = _sqlite(cause) or _postgresql(cause)
    return meaning(cause) if meaning else error


def is_transient(error: Exception) -> bool:
    """Tells whether the transaction was undone because it collided with another, and may be run again."""
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlstate", None) in _COLLISIONS


def cancelled() -> Cancelled:
    """Returns the error of a write whose caller has gone: a new one each time, because it keeps what raised it."""
    return Cancelled("CANCELLED", "the caller has gone; nothing was changed")


def stopped() -> Unavailable:
    """Returns the error of a write that comes too late."""
    return Unavailable("SHUTTING_DOWN", "the server is shutting down; try another one")


def _full(cause: BaseException) -> RequestError:
    log.error("the disk is full: %s", cause)
    return ResourceExhausted("STORAGE_FULL", "the database has no space left; nothing was changed")


def _busy(_: BaseException) -> RequestError:
    return Unavailable("DATABASE_BUSY", "another process holds the database; try again")


def _broken(cause: BaseException) -> RequestError:
    log.error("the database failed: %s", cause)
    return Unavailable("DATABASE_UNAVAILABLE", "the database cannot be used now; try again")


def _mismatched(cause: BaseException) -> RequestError:
    log.error("the schema is not the one that this server needs: %s", cause)
    return Unavailable("SCHEMA_MISMATCH", "the database's schema is not the one that this server needs")


def _late(_: BaseException) -> RequestError:
    return DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed while the database worked on the request")


_Meaning = Callable[[BaseException], RequestError]
_SQLITE: dict[str, _Meaning] = {
    "SQLITE_FULL": _full,
    "SQLITE_BUSY": _busy,
    "SQLITE_LOCKED": _busy,
    "SQLITE_INTERRUPT": _late,
    "SQLITE_IOERR": _broken,
    "SQLITE_CANTOPEN": _broken,
    "SQLITE_CORRUPT": _broken,
    "SQLITE_NOTADB": _broken,
    "SQLITE_READONLY": _broken,
    "SQLITE_NOMEM": _broken,
    "SQLITE_PROTOCOL": _broken,
    "SQLITE_PERM": _broken,
    "SQLITE_AUTH": _broken,
}
"""By the name of the error or what it begins with, which names the kind."""
_COLLISIONS = ("40001", "40P01")  # serialization failure, deadlock
_POSTGRESQL: dict[str, _Meaning] = {
    "53100": _full,
    "55P03": _busy,  # a lock is not available
    "57014": _late,  # the statement timeout
    "42P01": _mismatched,  # no such table
    "42703": _mismatched,  # no such column
    "40": _busy,  # collisions that did not end
    "08": _broken,  # connection
    "25006": _broken,  # read only
    "53": _broken,  # out of memory or connections
    "57P": _broken,  # shut down, or not up yet
    "58": _broken,  # the system
    "XX": _broken,  # damaged
}
"""By the SQLSTATE (PostgreSQL, "Error Codes") or what it begins with, which names the class."""


def _sqlite(cause: BaseException) -> _Meaning | None:
    name = getattr(cause, "sqlite_errorname", "")
    if name == "SQLITE_ERROR" and str(cause).startswith(("no such table", "no such column", "table ")):
        return _mismatched
    return _first(_SQLITE, name)


def _postgresql(cause: BaseException) -> _Meaning | None:
    if type(cause).__module__.partition(".")[0] != "psycopg":
        return None
    state = getattr(cause, "sqlstate", None)
    if state is None:  # the server did not say anything: it could not be reached, or went away
        return _broken if _is_operational(cause) else None
    return _first(_POSTGRESQL, state)


def _is_operational(cause: BaseException) -> bool:
    """Tells whether a psycopg error is of the connection; the classes are those of PEP 249."""
    return any(each.__name__ in ("OperationalError", "InterfaceError") for each in type(cause).__mro__)


def _first(meanings: dict[str, _Meaning], name: str) -> _Meaning | None:
    return next((meaning for prefix, meaning in meanings.items() if name.startswith(prefix)), None)


class Constraint(enum.Enum):
    """A kind of constraint."""

    UNIQUE = "unique"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    OTHER = "other"


_CONSTRAINTS = {
    "SQLITE_CONSTRAINT_UNIQUE": Constraint.UNIQUE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": Constraint.FOREIGN_KEY,
    "SQLITE_CONSTRAINT_CHECK": Constraint.CHECK,
    "23505": Constraint.UNIQUE,  # PostgreSQL, "Error Codes"
    "23503": Constraint.FOREIGN_KEY,
    "23514": Constraint.CHECK,
}


def broken(error: Exception) -> Constraint:
    """Returns the kind of constraint that the statement broke, OTHER if it failed for another reason."""
    cause = getattr(error, "orig", None) or error
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return _CONSTRAINTS.get(name or "", Constraint.OTHER)
