"""New ids, known before their rows are inserted, so that the database need not be asked row by row.

On PostgreSQL a server takes blocks of each table's sequence. A block that is not used up leaves a gap, and servers that
share a database interleave their blocks, so ids tell the order of creation only within one server; and there only
while the database answers within MAX_WAIT.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Integer, Table, Text, bindparam, func, select, text
from sqlalchemy.orm import Session

from artemis_server.db.statements import Statement

BLOCK = 100
"""The number of ids that one round trip takes from a sequence."""
MAX_WAIT = 0.1
"""Seconds that a thread waits for another one that takes a block; after that it takes a block of its own."""
SPARE_IDS = "artemis_spare_ids"
"""The key in `Session.info` of the `SpareIds` that a session shares with others."""
_LAST = text("SELECT max(seq) FROM sqlite_sequence WHERE name = :name")
_NEXT = Statement(
    select(func.nextval(func.pg_get_serial_sequence(bindparam("name", type_=Text), "id"))).select_from(
        func.generate_series(1, bindparam("count", type_=Integer))
    )
)


class SpareIds:
    """The ids that were taken from PostgreSQL's sequences and are not used yet. Threads share them."""

    def __init__(self) -> None:
        self._spare: dict[str, list[int]] = defaultdict(list)  # by table, ascending
        self._lock = threading.Lock()
        """Held also while a block is taken, so that ids are handed out in ascending order."""

    def take(self, session: Session, table: Table, count: int) -> list[int]:
        """Returns so many ids, ascending, none of which was ever given out."""
        shared = self._lock.acquire(timeout=MAX_WAIT)
        try:
            spare = self._spare[table.name] if shared else []
            if len(spare) < count:
                more = _NEXT.chunks(session, {"name": table.name, "count": max(BLOCK, count)})
                spare.extend(row_id for chunk in more for (row_id,) in chunk)
            taken = spare[:count]
            del spare[:count]
        finally:
            if shared:
                self._lock.release()
        return taken

    def clear(self) -> None:
        """Forgets the spare ids, which are never used then."""
        self._spare = defaultdict(list)


def next_id(session: Session, table: Table) -> int | None:
    """Returns the id of a new row; None on SQLite, which assigns it when the row is inserted."""
    return allocate(session, table, 1)[0] if session.get_bind().dialect.name == "postgresql" else None


def allocate(session: Session, table: Table, count: int) -> Sequence[int]:
    """Returns ids for new rows, ascending, none of which was ever given out.

    On SQLite the session has the write lock: nobody else can take them, and inserting them moves the
    sequence on.
    """
    if session.get_bind().dialect.name == "postgresql":
        spare: SpareIds = session.info.setdefault(SPARE_IDS, SpareIds())
        return spare.take(session, table, count)
    sequence = session.scalar(_LAST, {"name": table.name}) or 0
    in_table = session.scalar(select(func.max(table.c.id))) or 0  # larger after a restore that lost the sequence
    last = max(sequence, in_table)
    return range(last + 1, last + 1 + count)
