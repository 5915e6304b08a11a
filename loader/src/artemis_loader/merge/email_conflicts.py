"""E-mail addresses of staged users: each belongs to one user only, without regard to case (DESIGN, section 2).

Records that would break this are refused before the merge, so that the rest of the feed can be loaded.
"""

import json
from collections.abc import Callable, Iterator

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from artemis_loader.merge.staging import Staging, changed
from artemis_loader.records import Reject

TWICE = "another record of the feed has the same e-mail address"
TAKEN = "another user has the same e-mail address"


def refuse_taken(connection: Connection, staging: Staging, feed: str) -> None:
    """Moves staged users whose address is taken to `staging.refused`. `staging.gone` tells which rows leave.

    Of several records with one address, the one that has it already is kept, or else the first.
    """
    refuse(connection, staging, _twice(staging, feed), TWICE)
    # A refused record leaves its row as it is, with an address that others may have waited for.
    while refuse(connection, staging, _taken(staging, feed), TAKEN):
        pass


def report_refused(
    connection: Connection, staging: Staging, locate: Callable[[int], tuple[str, int]]
) -> Iterator[Reject]:
    """Yields the refused records that were not reported before; `locate` gives the file and line of a place."""
    refused = staging.refused
    new = select(refused.c.place, refused.c.external_id, refused.c.email, refused.c.reason).where(~refused.c.reported)
    key = address_of(staging)
    for place, external_id, email, reason in connection.execute(new.order_by(refused.c.seq)):
        record = json.dumps({"external_id": external_id, key: email}, ensure_ascii=False)
        file, line = locate(place)
        yield Reject(file=file, line=line, reason=reason, record=record)
    connection.execute(update(refused).values(reported=True))


def address_of(staging: Staging) -> str:
    """Returns the field of a record that has the e-mail address which it is refused for."""
    return "email" if staging.entity.unique_email else "owner"


def refuse(connection: Connection, staging: Staging, found: Select[tuple[int]], reason: str) -> int:
    """Refuses the records of these numbers, and returns how many there were."""
    records, refused = staging.records, staging.refused
    address = records.c[address_of(staging)]
    rows = select(
        records.c.seq, records.c.external_id, records.c.place, address, literal(reason), literal(False)
    ).where(records.c.seq.in_(found))
    columns = ["seq", "external_id", "place", "email", "reason", "reported"]
    count = changed(connection, insert(refused).from_select(columns, rows))
    if count:
        connection.execute(delete(records).where(records.c.seq.in_(select(refused.c.seq))))
    return count


def _twice(staging: Staging, feed: str) -> Select[tuple[int]]:
    records, live = staging.records, staging.entity.table
    address = func.lower(records.c.email)
    several = select(address).group_by(address).having(func.count() > 1)
    has_it = and_(
        live.c.source == feed, live.c.external_id == records.c.external_id, func.lower(live.c.email) == address
    )
    place = func.row_number().over(
        partition_by=address, order_by=(case((live.c.id.is_(None), 1), else_=0), records.c.seq)
    )
    ranked = (
        select(records.c.seq, place.label("place"))
        .select_from(records.outerjoin(live, has_it))
        .where(address.in_(several))
        .subquery()
    )
    return select(ranked.c.seq).where(ranked.c.place > 1)


def _taken(staging: Staging, feed: str) -> Select[tuple[int]]:
    records, live = staging.records, staging.entity.table
    theirs = live.c.source != feed
    other = live.c.external_id != records.c.external_id
    return (
        select(records.c.seq)
        .join(live, func.lower(live.c.email) == func.lower(records.c.email))
        .where(or_(theirs, and_(other, ~_leaves(staging))))
    )


def _leaves(staging: Staging) -> ColumnElement[bool]:
    """Tells whether a row of the feed gives up its address: it is deleted, or a record of the feed updates it."""
    live, staged = staging.entity.table, staging.records.alias()
    return or_(
        select(staging.gone.c.id).where(staging.gone.c.id == live.c.id).exists(),
        select(staged.c.seq).where(staged.c.external_id == live.c.external_id).exists(),
    )
