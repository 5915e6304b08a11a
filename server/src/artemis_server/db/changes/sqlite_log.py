"""The log on SQLite: writers are one after the other, so the order of the ids is the order of the commits."""

from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from artemis_server.db.changes.records import COLUMNS, Change, Mark, Page, Position, Transaction, to_changes
from artemis_server.db.statements import Row, Statement

_LAST = Statement(text("SELECT transaction_id, id, time FROM event_changes ORDER BY id DESC LIMIT 1"))
_READ = Statement(
    text(f"SELECT {COLUMNS} FROM event_changes WHERE id > :after AND type > 0 ORDER BY id LIMIT :max_rows")  # noqa: S608
)
_FIND = Statement(
    text("SELECT 1 FROM event_changes WHERE transaction_id = :transaction_id AND id = :id AND time = :time")
)
_OLDEST = Statement(text("SELECT id, time FROM event_changes ORDER BY id LIMIT :max_rows"))
_DELETE = Statement(text("DELETE FROM event_changes WHERE id < :id"))


def current_position(session: Session) -> Position:
    """Returns the position after the last change that is committed."""
    last = _LAST.first(session, {})
    return Position(mark=_mark(last) if last else None, last_id=last[1] if last else 0)


def read(session: Session, position: Position, max_rows: int) -> Page:
    """Returns the next changes, at most `max_rows`."""
    rows = _READ.rows(session, {"after": position.part_id or position.last_id, "max_rows": max_rows + 1})
    at_end = len(rows) <= max_rows
    groups = _by_transaction(to_changes(rows[:max_rows]))
    cut = not at_end and rows[-1][5] == groups[-1][-1].transaction_id
    if cut and len(groups) > 1:
        groups.pop()
        cut = False
    transactions = []
    for group in groups:
        last = group[-1]
        mark = Mark(transaction_id=last.transaction_id, id=last.id, time=last.time)
        transactions.append(Transaction(changes=group, position=Position(mark=mark, last_id=last.id)))
    if cut:
        last = groups[-1][-1]
        inside = replace(position, part_transaction=last.transaction_id, part_id=last.id)
        transactions[-1] = Transaction(changes=groups[-1], position=inside)
    after = transactions[-1].position if transactions else position
    return Page(transactions=transactions, position=after, at_end=at_end)


def has(session: Session, position: Position) -> bool:
    """Tells whether the log has all changes after the position."""
    if position.mark is None:
        return _LAST.first(session, {}) is None
    return _FIND.first(session, vars(position.mark)) is not None


def prune(session: Session, before: int, max_rows: int) -> int:
    """Removes the oldest changes that are older than `before`, but for the last one of them; returns their number."""
    old = []
    for log_id, time in _OLDEST.rows(session, {"max_rows": max_rows + 1}):
        if time >= before:
            break
        old.append(log_id)
    if len(old) > 1:
        _DELETE.execute(session, {"id": old[-1]})
    return max(len(old) - 1, 0)


def renumber(session: Session) -> bool:
    """Does nothing: the ids of this log do not depend on where it is."""
    del session
    return False


def _mark(row: Row) -> Mark:
    return Mark(transaction_id=row[0], id=row[1], time=row[2])


def _by_transaction(changes: list[Change]) -> list[list[Change]]:
    groups: list[list[Change]] = []
    for change in changes:
        if groups and groups[-1][-1].transaction_id == change.transaction_id:
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups
