"""The log of the changes of events, on either engine. Functions take the session first; each statement is a snapshot.

Reading begins at a `Position`, and a `Page` gives the next one. The pages together have every committed change after
the position once, in the order of commits, with the changes of a transaction together.
"""

from types import ModuleType

from sqlalchemy import text
from sqlalchemy.orm import Session

from artemis_server.db.changes import postgresql_log, sqlite_log
from artemis_server.db.changes.records import COLUMNS, Change, Page, Position, expired, to_changes
from artemis_server.db.statements import Statement

MAX_PRUNED = 1000
"""The changes that one transaction removes at most, because writers wait for it."""
NEWEST = 2**63 - 1
"""An id above that of every change."""
_ENGINES: dict[str, ModuleType] = {"sqlite": sqlite_log, "postgresql": postgresql_log}
_HISTORY = Statement(
    text(
        f"SELECT {COLUMNS} FROM event_changes WHERE event_id = :event_id AND id < :before AND type > 0"  # noqa: S608
        " ORDER BY id DESC LIMIT :max_rows"
    )
)
_EXTENT = Statement(text("SELECT (SELECT min(id) FROM event_changes), (SELECT max(id) FROM event_changes)"))


def current_position(session: Session) -> Position:
    """Returns the position after every change that is committed: what comes after it is committed from now on."""
    return _log(session).current_position(session)  # type: ignore[no-any-return]


def check_position(session: Session, position: Position) -> None:
    """Raises OutOfRange (RESUME_TOKEN_EXPIRED) unless the log has all changes after the position."""
    if not _log(session).has(session, position):
        raise expired()


def read_changes(session: Session, position: Position, max_rows: int = 1000) -> Page:
    """Returns the next changes after the position, at most `max_rows`, in whole transactions.

    A transaction with more changes than that comes in parts: the position after a part is not `whole`.

    Raises:
        OutOfRange: as `check_position`.
    """
    page: Page = _log(session).read(session, position, max_rows)
    check_position(session, position)  # afterwards: what was there then was there before
    return page


def list_changes(session: Session, event_id: int, before: int, max_rows: int) -> list[Change]:
    """Returns the changes of one event whose ids in the log are less than `before`, the newest first."""
    return to_changes(_HISTORY.rows(session, {"event_id": event_id, "before": before, "max_rows": max_rows}))


def prune(session: Session, before: int, max_rows: int = MAX_PRUNED) -> int:
    """Removes changes that were made before a time in microseconds; returns how many, at most `max_rows`.

    The newest one of them stays: a position after it is good until the change that follows it is old as well.
    """
    return _log(session).prune(session, before, max_rows)  # type: ignore[no-any-return]


def renumber(session: Session) -> bool:
    """Repairs a log that was restored into another PostgreSQL cluster; returns whether it had to."""
    return _log(session).renumber(session)  # type: ignore[no-any-return]


def size(session: Session) -> int:
    """Returns about how many changes the log has: it counts ids that were given out and not used, too."""
    first, last = _EXTENT.first(session, {}) or (None, None)
    return 0 if first is None else last - first


def _log(session: Session) -> ModuleType:
    return _ENGINES[session.get_bind().dialect.name]
