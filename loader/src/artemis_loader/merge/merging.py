"""Merging: writes the staged records into the tables that others read, in one transaction. Equal rows stay untouched.

The difference is worked out first, while others may write; the transaction checks again what it relies on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from artemis_models import next_update_time
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Table,
    and_,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from artemis_loader.errors import LoaderError
from artemis_loader.merge.dialects import Dialect
from artemis_loader.merge.email_conflicts import refuse_taken
from artemis_loader.merge.owners import look_up_owners
from artemis_loader.merge.staging import Staging, changed

MANY = 50_000
"""New rows from which it can be faster to index the table anew than to add them to its indexes one by one."""


class Shrunk(LoaderError):
    """A refresh would delete more rows than it may."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The changes that a merge is going to make, in rows."""

    staged: int
    inserted: int
    updated: int
    deleted: int
    kept: int
    """Rows that the feed no longer has and that stay, because other rows refer to them, as events to their owner."""
    stored: int
    """Rows of the feed before the merge."""
    total: int
    """Rows of all feeds and of the API before the merge."""


class Merge:
    """Compares the staged records with the rows of a feed, and applies the difference."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        staging: Staging,
        feed: str,
        *,
        refresh: bool,
        reject_unknown_owners: bool = True,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._staging = staging
        self._refresh = refresh
        self._reject_unknown_owners = reject_unknown_owners
        self._feed = feed
        live = staging.entity.table
        self._live = live
        records = staging.records
        self._ours = live.c.source == feed
        self._same = and_(self._ours, live.c.external_id == records.c.external_id)
        # The concatenations change no value; they tell SQLite from which table to come, which it would guess wrong.
        self._same_by_record = and_(self._ours, live.c.external_id == records.c.external_id.concat(""))
        self._same_by_id = and_(live.c.source.concat("") == feed, live.c.external_id == records.c.external_id)
        self._differs = or_(
            *(
                live.c[name].is_distinct_from(records.c[name])
                if live.c[name].nullable
                else live.c[name] != records.c[name]
                for name in staging.entity.stored
            )
        )

    def compare(self) -> Difference:
        """Returns the difference as of now; others can read and write meanwhile."""
        with self._dialect.reading(self._connection):
            for table in (self._staging.new, self._staging.changed, self._staging.gone):
                self._connection.execute(delete(table))
            look_up_owners(self._connection, self._staging, reject_unknown=self._reject_unknown_owners)
            stored = self._rows(self._live, self._ours)
            if stored or self._staging.entity.unique_email:
                self._staging.analyze()
            kept = self._find_gone() if self._refresh and stored else 0
            if self._staging.entity.unique_email:
                refuse_taken(self._connection, self._staging, self._feed)
            if stored:
                self._find_difference()
            return self._count(kept, stored)

    def guard(self, difference: Difference, max_shrink: float, *, may_be_empty: bool = False) -> None:
        """Raises Shrunk when the feed is empty, or a refresh would delete too large a share of its rows.

        With `may_be_empty` true, the feed has no record, rejects included, and that is no fault.
        """
        if not self._refresh or may_be_empty:
            return
        if not difference.staged:
            raise Shrunk("the feed has no usable record; --force deletes what it had before")
        gone = difference.deleted
        if gone > max_shrink * difference.stored:
            raise Shrunk(
                f"{gone:,} of {difference.stored:,} rows are no longer in the feed, more than the share of "
                f"{max_shrink:g} that max_shrink allows; --force deletes them"
            )

    def apply(self, finish: Callable[[Connection, Difference], None], difference: Difference) -> float:
        """Writes the difference; returns the seconds that others could not write meanwhile on SQLite.

        `finish` is called last within the transaction, with the difference as made. Readers see all of it or nothing.
        """
        with self._dialect.writing(self._connection):
            started = time.monotonic()
            now = time.time_ns() // 1000
            self._dialect.attribute(self._connection, f"feed:{self._feed}")
            deleted = self._delete() if difference.deleted else 0
            updated = self._update(now) if difference.updated else 0
            inserted = self._insert(now, difference) if difference.inserted else 0
            self._dialect.attribute(self._connection, "")
            finish(self._connection, replace(difference, deleted=deleted, updated=updated, inserted=inserted))
        return time.monotonic() - started

    def _find_gone(self) -> int:
        """Finds rows that the feed no longer has; returns how many more must stay, because others refer to them."""
        staging, live = self._staging, self._live
        # Two conditions and not one of both tables, which PostgreSQL would evaluate row by row.
        not_in_feed = (
            ~select(staged.c.seq).where(staged.c.external_id == live.c.external_id).exists()
            for staged in (staging.records, staging.refused)
        )
        gone = select(live.c.id).where(self._ours, *not_in_feed)
        self._connection.execute(insert(staging.gone).from_select(["id"], gone))
        reference = staging.entity.referred_to_by
        if reference is None:
            return 0
        owns = select(reference).where(reference == staging.gone.c.id).exists()
        return changed(self._connection, delete(staging.gone).where(owns))

    def _find_difference(self) -> None:
        staging, records, live = self._staging, self._staging.records, self._live
        self._find_new()
        different = (
            select(live.c.id, records.c.seq)
            .select_from(records.join(live, self._same_by_record))
            .where(self._differs)
            .order_by(records.c.seq)
        )
        self._connection.execute(insert(staging.changed).from_select(["id", "seq"], different))
        for table in (staging.new, staging.changed, staging.gone):
            self._dialect.analyze(self._connection, table)

    def _find_new(self) -> None:
        records, new = self._staging.records, self._staging.new
        not_stored = select(records.c.seq).where(~self._stored()).order_by(records.c.seq)
        self._connection.execute(insert(new).from_select(["seq"], not_stored))

    def _stored(self) -> ColumnElement[bool]:
        """Tells whether there is a row for a record."""
        return select(self._live.c.id).where(self._same).exists()

    def _count(self, kept: int, stored: int) -> Difference:
        staging = self._staging
        staged = self._rows(staging.records)
        return Difference(
            staged=staged,
            inserted=self._rows(staging.new) if stored else staged,
            updated=self._rows(staging.changed),
            deleted=self._rows(staging.gone),
            kept=kept,
            stored=stored,
            total=self._rows(self._live),
        )

    def _rows(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        return self._connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()

    def _delete(self) -> int:
        gone = select(self._staging.gone.c.id)
        return changed(self._connection, delete(self._live).where(self._live.c.id.in_(gone), self._ours))

    def _update(self, now: int) -> int:
        if self._staging.entity.unique_email:
            self._free_addresses()
        live, records, changes = self._live, self._staging.records, self._staging.changed
        values = {name: records.c[name] for name in self._staging.entity.stored}
        update_time = next_update_time(live.c, literal(now, live.c.update_time.type))
        statement = (
            update(live)
            .values(**values, version=live.c.version + 1, update_time=update_time)
            .where(
                live.c.id.in_(select(changes.c.id)),  # so that SQLite does not look at every row
                live.c.id == changes.c.id,
                changes.c.seq == records.c.seq,
                self._same_by_id,
                self._differs,
            )
        )
        return changed(self._connection, statement)

    def _free_addresses(self) -> None:
        """Gives users whose address changes one that nobody can have, so that they can swap addresses."""
        live, records, changes = self._live, self._staging.records, self._staging.changed
        moving = (
            select(changes.c.id)
            .join(records, records.c.seq == changes.c.seq)
            .join(live, and_(live.c.id == changes.c.id, self._same_by_id))
            .where(func.lower(live.c.email) != func.lower(records.c.email))
        )
        self._connection.execute(
            update(live).where(live.c.id.in_(moving)).values(email=literal(" ") + cast(live.c.id, live.c.email.type))
        )

    def _insert(self, now: int, difference: Difference) -> int:
        live, records = self._live, self._staging.records
        names = self._staging.entity.stored
        source, order = self._to_insert(difference)
        rows = (
            select(
                *(records.c[name] for name in names),
                literal(self._feed),
                records.c.external_id,
                literal(now, live.c.create_time.type),
                literal(now, live.c.update_time.type),
                literal(1),
            )
            .select_from(source)
            .order_by(order)
        )
        columns = [*names, "source", "external_id", "create_time", "update_time", "version"]
        statement = insert(live).from_select(columns, rows)
        if difference.inserted < max(MANY, difference.total):
            return changed(self._connection, statement)
        with self._dialect.rebuilding_indexes(self._connection, live):
            return changed(self._connection, statement)

    def _to_insert(self, difference: Difference) -> tuple[FromClause, ColumnElement[int] | None]:
        """Returns the records that are new, and their order, which tells SQLite from which table to come.

        If the feed has no row, all records are new, and are read in the order of the feed. Otherwise a record whose row
        came since the comparison is left out.
        """
        records, new = self._staging.records, self._staging.new
        if not self._rows(self._live, self._ours):
            return records, None
        if difference.stored:
            meanwhile = select(records.c.seq).where(records.c.seq.in_(select(new.c.seq)), self._stored())
            self._connection.execute(delete(new).where(new.c.seq.in_(meanwhile)))
        else:
            self._find_new()
        return new.join(records, records.c.seq == new.c.seq), new.c.seq
