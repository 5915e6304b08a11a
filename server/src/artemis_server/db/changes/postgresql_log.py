"""The log on PostgreSQL, where neither ids nor transaction ids are in the order of commits.

It is read in batches: all transactions from `lower` to below `upper`, which are over, because `upper` is at most the
horizon (`pg_snapshot_xmin`), below which no transaction runs any more. Within a batch they are in the order of their
greatest ids in the log: of two that changed the same event, the second one waited for the first one's row lock before
it was logged. Between batches this must hold as well: a transaction that began early may change an event after one that
began late has. So `upper` is lowered until there is no such pair, the early one below it and the late one not:

    begins  changes event 1        horizon at 12: the batch ends before 10, because 12 comes before it
    10      after 12 has committed
    11      (runs)                 horizon at 13: the batch is 12, 10
    12      at once
"""

from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from artemis_server.db.changes.records import COLUMNS, Change, Mark, Page, Position, Transaction
from artemis_server.db.statements import Row, Statement

RESTORED = 2
"""The transaction id of changes that came from another cluster. PostgreSQL gives none below 3 to a transaction."""
_SEEN = "(transaction_id >= :seen_below OR transaction_id = ANY(:running))"
_IN_BATCH = "transaction_id >= :lower AND transaction_id < :upper"
_SNAPSHOT = Statement(
    text(
        "SELECT CAST(s AS text), last.* FROM pg_current_snapshot() s LEFT JOIN LATERAL (SELECT transaction_id, id, time"
        " FROM event_changes WHERE transaction_id < CAST(CAST(pg_snapshot_xmin(s) AS text) AS bigint)"
        " ORDER BY transaction_id DESC, id DESC LIMIT 1) last ON true"
    )
)
_HORIZON = Statement(text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"))
_BATCH = Statement(
    text(
        f"SELECT min(id), max(id), EXISTS (SELECT FROM event_changes WHERE transaction_id >= :upper)"  # noqa: S608
        f" FROM event_changes WHERE {_IN_BATCH} AND {_SEEN} AND type > 0"
    )
)
_INVERTED = Statement(
    text(
        "SELECT min(early.transaction_id) FROM event_changes early JOIN event_changes late"
        " ON late.event_id = early.event_id AND late.id < early.id"
        " WHERE early.transaction_id >= :lower AND early.transaction_id < :upper AND late.transaction_id >= :upper"
    )
)
_READ = Statement(
    text(
        f"SELECT head.last_id, {', '.join(f'c.{name}' for name in COLUMNS.split(', '))} FROM ("  # noqa: S608
        f"SELECT id AS last_id, transaction_id FROM event_changes r WHERE id > :last_id AND id <= :end_id"
        f" AND {_IN_BATCH} AND {_SEEN} AND type > 0 AND NOT EXISTS (SELECT FROM event_changes"
        " WHERE transaction_id = r.transaction_id AND id > r.id) ORDER BY id LIMIT :max_rows) head"
        " JOIN event_changes c ON c.transaction_id = head.transaction_id"
        " WHERE c.transaction_id <> :part_transaction OR c.id > :part_id ORDER BY head.last_id, c.id LIMIT :max_rows"
    )
)
_LAST_BEFORE = Statement(
    text(
        "SELECT transaction_id, id, time FROM event_changes WHERE transaction_id < :upper"
        " ORDER BY transaction_id DESC, id DESC LIMIT 1"
    )
)
_FIND = Statement(
    text(
        "SELECT 1 FROM event_changes WHERE transaction_id = :transaction_id AND id = :id AND time = :time"
        " AND CAST(:lower AS bigint) <= CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
    )
)
_ANY = Statement(text("SELECT 1 FROM event_changes LIMIT 1"))
_OLDEST = Statement(
    text(
        "SELECT transaction_id, id, time FROM event_changes"
        " WHERE transaction_id < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
        " ORDER BY transaction_id, id LIMIT :max_rows"
    )
)
_DELETE = Statement(text("DELETE FROM event_changes WHERE (transaction_id, id) < (:transaction_id, :id)"))
_RENUMBER = Statement(
    text(
        f"UPDATE event_changes SET transaction_id = {RESTORED} WHERE EXISTS (SELECT FROM event_changes"  # noqa: S608
        " WHERE transaction_id >= CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)) RETURNING 1"
    )
)


def current_position(session: Session) -> Position:
    """Returns the position after all changes that a statement would see now."""
    snapshot, *last = _SNAPSHOT.rows(session, {})[0]
    lower, seen_below, running = str(snapshot).split(":")
    return Position(
        mark=None if last[0] is None else _mark(tuple(last)),
        lower=int(lower),
        upper=int(lower),
        seen_below=int(seen_below),
        running=tuple(map(int, filter(None, running.split(",")))),
    )


def read(session: Session, position: Position, max_rows: int) -> Page:
    """Returns the next changes, at most `max_rows`."""
    if position.lower == position.upper:
        position = _next_batch(session, position)
        if position.lower == position.upper:
            return Page(transactions=[], position=position, at_end=True)
    rows = _READ.rows(session, {**_bounds(position), "max_rows": max_rows})
    groups = _by_last_id(rows)
    transactions: list[Transaction] = []
    for last_id, changes in groups:
        if changes[-1].id == last_id:
            position = replace(position, last_id=last_id, part_transaction=0, part_id=0)
            if last_id == position.end_id:
                position = _after_batch(session, position)
        elif transactions:
            break
        else:
            last = changes[-1]
            position = replace(position, part_transaction=last.transaction_id, part_id=last.id)
        transactions.append(Transaction(changes=changes, position=position))
    return Page(transactions=transactions, position=position, at_end=False)


def has(session: Session, position: Position) -> bool:
    """Tells whether the log has all changes after the position."""
    if position.mark is None:
        return _ANY.first(session, {}) is None
    return _FIND.first(session, {**vars(position.mark), "lower": position.lower}) is not None


def prune(session: Session, before: int, max_rows: int) -> int:
    """Removes the oldest changes that are older than `before`, but for the last one of them; returns their number."""
    old = []
    for transaction_id, log_id, time in _OLDEST.rows(session, {"max_rows": max_rows + 1}):
        if time >= before:
            break
        old.append((transaction_id, log_id))
    if len(old) > 1:
        transaction_id, log_id = old[-1]
        _DELETE.execute(session, {"transaction_id": transaction_id, "id": log_id})
    return max(len(old) - 1, 0)


def renumber(session: Session) -> bool:
    """Gives all changes one transaction id if some came from a cluster that had given out more of them than this one.

    Otherwise they would seem to lie in the future until this cluster has as many. Positions from before are not found.
    Returns whether it did so.
    """
    return _RENUMBER.first(session, {}) is not None


def _next_batch(session: Session, position: Position) -> Position:
    """Returns the position at the start of the next batch; an empty one, from the horizon on, if there is none."""
    found = _HORIZON.first(session, {})
    upper: int = found[0] if found else position.lower
    while upper > position.lower:
        batch = replace(position, last_id=0, upper=upper, part_transaction=0, part_id=0)
        first_id, end_id, beyond = _BATCH.first(session, _bounds(batch)) or (None, None, False)
        if first_id is None:
            return _after_batch(session, batch)
        inverted = _INVERTED.first(session, {"lower": position.lower, "upper": upper}) if beyond else None
        if inverted is None or inverted[0] is None:
            return replace(batch, last_id=first_id - 1, end_id=end_id)
        upper = inverted[0]
    return position


def _after_batch(session: Session, position: Position) -> Position:
    """Returns the position after the whole batch."""
    found = _LAST_BEFORE.first(session, {"upper": position.upper})
    seen = position.upper >= position.seen_below
    return Position(
        mark=_mark(found) if found else None,
        lower=position.upper,
        upper=position.upper,
        seen_below=0 if seen else position.seen_below,
        running=() if seen else position.running,
    )


def _bounds(position: Position) -> dict[str, object]:
    return {**vars(position), "running": list(position.running)}


def _mark(row: Row) -> Mark:
    return Mark(transaction_id=row[0], id=row[1], time=row[2])


def _by_last_id(rows: list[Row]) -> list[tuple[int, list[Change]]]:
    """Returns the changes of each transaction, with its greatest id, which its rows begin with."""
    groups: list[tuple[int, list[Change]]] = []
    for last_id, *row in rows:
        if not groups or groups[-1][0] != last_id:
            groups.append((last_id, []))
        groups[-1][1].append(Change(*row))
    return groups
