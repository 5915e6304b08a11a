"""Staging: the records of a feed wait in temporary tables until all are read, outside the tables that others read.

Temporary tables belong to one connection, so that nothing is left when the process ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Index, MetaData, Table, UpdateBase, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeEngine

from artemis_loader.entities import Entity
from artemis_loader.merge.dialects import Dialect, StagedRow
from artemis_loader.summary import MAX_SHOWN


def _key(name: str, kind: "TypeEngine[Any]") -> "Column[Any]":
    return Column(name, kind, primary_key=True, autoincrement=False)


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Records that a later one with the same external_id replaced."""

    count: int
    examples: tuple[tuple[str, int, int], ...] = ()
    """The external_ids of the first ones, their places, and the places of the records that replaced them."""


class Staging:
    """The temporary tables of one load."""

    def __init__(self, connection: Connection, dialect: Dialect, entity: Entity) -> None:
        self._connection = connection
        self._dialect = dialect
        self.entity = entity
        self._tables = MetaData()
        self._rejected: list[tuple[int, str, int, str, str, bool]] = []
        live = entity.table.c
        number, text = live["id"].type, live["external_id"].type
        self.records = self._table(
            "records",
            _key("seq", number),
            Column("external_id", text, nullable=False),
            Column("place", number, nullable=False),
            *(
                Column(field.name, text if field.looked_up is not None else live[field.name].type, nullable=False)
                for field in entity.fields
            ),
            *(Column(field.column, live[field.column].type) for field in entity.fields if field.looked_up is not None),
        )
        # Records that cannot be stored. Each is in the feed, so that a refresh leaves its row as it is.
        self.refused = self._table(
            "refused",
            _key("seq", number),
            Column("external_id", text, nullable=False, index=True),
            Column("place", number, nullable=False),
            Column("email", text, nullable=False),
            Column("reason", text, nullable=False),
            Column("reported", Boolean, nullable=False),
        )
        self.new = self._table("new", _key("seq", number))
        self.changed = self._table("changed", _key("id", number), Column("seq", number, nullable=False))
        self.gone = self._table("gone", _key("id", number))

    def _table(self, name: str, *columns: "Column[Any]") -> Table:
        return Table(f"staged_{name}", self._tables, *columns, prefixes=["TEMPORARY"])

    def create(self) -> None:
        """Makes the tables."""
        with self._dialect.reading(self._connection):
            self._tables.create_all(self._connection, checkfirst=False)

    def append(self, rows: Iterable[StagedRow]) -> None:
        """Adds rows to `records` in one transaction, each as it comes, and so without holding many of them."""
        with self._dialect.reading(self._connection):
            read = ("seq", "external_id", "place", *self.entity.columns)
            self._dialect.append(self._connection, self.records, read, rows)
            if self._rejected:
                self._dialect.append(self._connection, self.refused, self.refused.columns.keys(), self._rejected)
                self._rejected.clear()

    def add_rejected(self, seq: int, external_id: str) -> None:
        """Adds a record that was rejected, by its number in the feed: a refresh leaves its row as it is."""
        self._rejected.append((seq, external_id, 0, "", "", True))

    def finish(self) -> Duplicates:
        """Indexes the records, and keeps the last of those with the same external_id."""
        with self._dialect.reading(self._connection):
            if self.entity.unique_email:
                Index("staged_records_email", func.lower(self.records.c.email)).create(self._connection)
            return self._index_and_drop_duplicates()

    def analyze(self) -> None:
        """Gives the engine statistics of the staged rows, before statements that join them with other tables."""
        self._dialect.analyze(self._connection, self.records)
        self._dialect.analyze(self._connection, self.refused)

    def _index_and_drop_duplicates(self) -> Duplicates:
        """Makes a unique index, which is the fastest way to see that nothing is there twice, or else another one."""
        external_id = self.records.c.external_id
        try:
            with self._connection.begin_nested():
                Index("staged_records_external_id", external_id, unique=True).create(self._connection)
        except IntegrityError:
            Index("staged_records_duplicate_id", external_id).create(self._connection)
            return self._drop_duplicates()
        return Duplicates(count=0)

    def _drop_duplicates(self) -> Duplicates:
        records = self.records
        last = (
            select(records.c.external_id, func.max(records.c.seq).label("seq"))
            .group_by(records.c.external_id)
            .having(func.count() > 1)
            .subquery()
        )
        other = records.alias()
        earlier = select(other.c.seq).join(
            last, (other.c.external_id == last.c.external_id) & (other.c.seq < last.c.seq)
        )
        kept = records.alias()
        places = (
            select(other.c.external_id, other.c.place, kept.c.place)
            .join(last, (other.c.external_id == last.c.external_id) & (other.c.seq < last.c.seq))
            .join(kept, kept.c.seq == last.c.seq)
        )
        examples = self._connection.execute(places.order_by(other.c.seq).limit(MAX_SHOWN)).all()
        count = changed(self._connection, delete(records).where(records.c.seq.in_(earlier)))
        return Duplicates(count=count, examples=tuple((found[0], found[1], found[2]) for found in examples))


def changed(connection: Connection, statement: UpdateBase) -> int:
    """Executes the statement and returns how many rows it changed."""
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
