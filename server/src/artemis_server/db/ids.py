"""New ids, many at once: what the database would have assigned, so that it need not be asked row by row."""

from collections.abc import Sequence

from sqlalchemy import Table, text
from sqlalchemy.orm import Session

_LAST = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
_NEXT = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count)")


def allocate(session: Session, table: Table, count: int) -> Sequence[int]:
    """Returns ids for new rows, ascending, none of which was ever given out.

    On SQLite the session has the write lock: nobody else can take them, and inserting them moves the
    sequence on.
    """
    if session.get_bind().dialect.name == "postgresql":
        return sorted(session.scalars(_NEXT, {"name": table.name, "count": count}))
    last: int = session.scalar(_LAST, {"name": table.name}) or 0
    return range(last + 1, last + 1 + count)
