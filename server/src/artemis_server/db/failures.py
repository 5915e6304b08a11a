"""What a failing database means to a caller: driver errors become `errors`, their texts go to the log."""

import logging

from artemis_server.errors import ResourceExhausted, Unavailable

log = logging.getLogger(__name__)


def translate(error: Exception) -> Exception:
    """Returns what to tell the caller; the error itself if it is not the database that failed."""
    cause = getattr(error, "orig", None) or error
    name = getattr(cause, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        log.error("the disk is full: %s", cause)
        return ResourceExhausted("STORAGE_FULL", "the database has no space left; nothing was changed")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable("DATABASE_BUSY", "another process holds the database; try again")
    if name.startswith(_BROKEN):
        log.error("the database failed: %s", cause)
        return Unavailable("DATABASE_UNAVAILABLE", "the database cannot be used now; try again")
    if name == "SQLITE_ERROR" and str(cause).startswith(("no such table", "no such column", "table ")):
        log.error("the schema is not the one that this server needs: %s", cause)
        return Unavailable("SCHEMA_MISMATCH", "the database's schema is not the one that this server needs")
    return error


_BROKEN = (
    "SQLITE_IOERR",
    "SQLITE_CANTOPEN",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_READONLY",
    "SQLITE_NOMEM",
    "SQLITE_PROTOCOL",
    "SQLITE_PERM",
    "SQLITE_AUTH",
)
