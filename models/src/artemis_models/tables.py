"""The ORM models: the tables, and the constraints that the database enforces for every writer.

Times are integers, microseconds since 1970-01-01T00:00:00Z: exact, ordered and the same on every
engine over the years 0001 to 9999 (docs/adr/0004). Text compares by code point on every engine.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    and_,
    case,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from artemis_models.lengths import LengthClass

BigInt = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit integer; SQLite's STRICT tables know it as INTEGER."""

CodePointText = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that compares and sorts by code point, as SQLite's BINARY collation does."""


class Base(DeclarativeBase):
    """The declarative base: constraint names are fixed, because migrations and error mapping use them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _partial(name: str, predicate: str, *columns: Any) -> Index:
    """Returns an index that has the rows alone for which the predicate holds, so that the others cost nothing."""
    where = text(predicate)
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


class User(Base):
    """A person or a team that can own events."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInt, primary_key=True, autoincrement=True)
    email: Mapped[str] = mapped_column(CodePointText)
    first_name: Mapped[str] = mapped_column(CodePointText, server_default="")
    last_name: Mapped[str] = mapped_column(CodePointText, server_default="")
    source: Mapped[str] = mapped_column(CodePointText, server_default="")
    external_id: Mapped[str] = mapped_column(CodePointText, server_default="")
    create_time: Mapped[int] = mapped_column(BigInt)
    update_time: Mapped[int] = mapped_column(BigInt)
    version: Mapped[int] = mapped_column(BigInt, server_default=text("1"))

    __table_args__ = (
        Index("ux_users_email", func.lower(email), unique=True),
        Index("ix_users_email", "email", "id"),
        Index("ix_users_source_external_id", "source", "external_id", "id"),
        {"sqlite_autoincrement": True, "sqlite_strict": True},
    )


class Event(Base):
    """Something that happens from one time to another."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInt, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(CodePointText)
    description: Mapped[str] = mapped_column(CodePointText, server_default="")
    category: Mapped[str] = mapped_column(CodePointText, server_default="")
    location: Mapped[str] = mapped_column(CodePointText, server_default="")
    publisher: Mapped[str] = mapped_column(CodePointText, server_default="")
    start_time: Mapped[int] = mapped_column(BigInt)
    end_time: Mapped[int] = mapped_column(BigInt)
    owner_id: Mapped[int | None] = mapped_column(BigInt, ForeignKey("users.id"))
    source: Mapped[str] = mapped_column(CodePointText, server_default="")
    external_id: Mapped[str] = mapped_column(CodePointText, server_default="")
    create_time: Mapped[int] = mapped_column(BigInt)
    update_time: Mapped[int] = mapped_column(BigInt)
    version: Mapped[int] = mapped_column(BigInt, server_default=text("1"))

    __table_args__ = (
        CheckConstraint("end_time >= start_time", name="end_time"),
        # Lists come in the order of the id within a category, a publisher or an owner, and within equal times.
        Index("ix_events_category", "category", "id"),
        Index("ix_events_publisher", "publisher", "id"),
        _partial("ix_events_owner_id", "owner_id IS NOT NULL", "owner_id", "id"),
        Index("ix_events_source_external_id", "source", "external_id", "id"),
        Index("ix_events_name", "name", "id"),
        Index("ix_events_update_time", "update_time", "id"),
        _partial("ix_events_external_id", "external_id <> ''", "external_id", "id"),
        # Each class of lengths has its own order of start times; what follows the id is there to be read without a row.
        Index("ix_events_length_start_time", LengthClass(), "start_time", "id", "end_time"),
        Index("ix_events_length_end_time", LengthClass(), "end_time", "id", "start_time"),
        Index("ix_events_category_length", "category", LengthClass(), "start_time", "id", "end_time"),
        Index(
            "ix_events_publisher_length",
            "publisher",
            LengthClass(),
            "start_time",
            "id",
            "end_time",
            "category",
        ),
        _partial(
            "ix_events_owner_id_length",
            "owner_id IS NOT NULL",
            "owner_id",
            LengthClass(),
            "start_time",
            "id",
            "end_time",
        ),
        {"sqlite_autoincrement": True, "sqlite_strict": True},
    )


class Secret(Base):
    """A key that all servers on one database share, such as the one that signs page tokens."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(CodePointText, primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = ({"sqlite_strict": True},)


class IdempotencyKey(Base):
    """The id of a request that was answered, and its response, which a repeat with this id gets again (AIP-155)."""

    __tablename__ = "idempotency_keys"

    request_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    response: Mapped[bytes] = mapped_column(LargeBinary)
    create_time: Mapped[int] = mapped_column(BigInt, index=True)

    __table_args__ = ({"sqlite_strict": True},)


class Load(Base):
    """One load of a feed: its times, its outcome, and the number of rows that it changed."""

    __tablename__ = "loads"

    id: Mapped[int] = mapped_column(BigInt, primary_key=True, autoincrement=True)
    feed: Mapped[str] = mapped_column(CodePointText)
    start_time: Mapped[int] = mapped_column(BigInt)
    end_time: Mapped[int | None] = mapped_column(BigInt)
    status: Mapped[str] = mapped_column(CodePointText)
    read_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    inserted_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    updated_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    unchanged_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    deleted_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    kept_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    rejected_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    duplicate_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    error: Mapped[str] = mapped_column(CodePointText, server_default="")
    warnings_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    first_warnings: Mapped[str] = mapped_column(Text, server_default="[]")
    """A JSON array of objects with the file, the line and the reason of the first warnings."""

    __table_args__ = (
        Index("ix_loads_feed", "feed", "id"),
        {"sqlite_autoincrement": True, "sqlite_strict": True},
    )


class FeedValidators(Base):
    """The HTTP validators of the version of a feed that was loaded last, so that it is not fetched again (RFC 9110)."""

    __tablename__ = "feed_validators"

    feed: Mapped[str] = mapped_column(CodePointText, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(CodePointText)
    etag: Mapped[str] = mapped_column(CodePointText, server_default="")
    last_modified: Mapped[str] = mapped_column(CodePointText, server_default="")

    __table_args__ = ({"sqlite_strict": True},)


class EventChange(Base):
    """One change of one event. Triggers write the rows (`change_log`), and nothing changes them."""

    __tablename__ = "event_changes"

    id: Mapped[int] = mapped_column(BigInt, primary_key=True, autoincrement=True)
    event_id: Mapped[int] = mapped_column(BigInt)
    type: Mapped[int] = mapped_column(Integer)
    """A value of artemis.v1.EventChange.Type."""
    time: Mapped[int] = mapped_column(BigInt)
    principal: Mapped[str] = mapped_column(CodePointText, server_default="")
    transaction_id: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    """PostgreSQL's transaction id (xid8); on SQLite a number that adjacent transactions do not share."""
    state: Mapped[str] = mapped_column(Text)
    """The event after the change, or before a delete: a JSON object with its columns."""
    previous: Mapped[str | None] = mapped_column(Text)
    """The event before an update."""

    __table_args__ = (
        Index("ix_event_changes_event_id", "event_id", "id"),
        Index("ix_event_changes_transaction_id", "transaction_id", "id", info={"only": "postgresql"}).ddl_if(
            dialect="postgresql"  # SQLite has the order of commits in the ids
        ),
        {"sqlite_autoincrement": True, "sqlite_strict": True},
    )


class ChangeContext(Base):
    """The one row from which SQLite's triggers learn who makes a change. PostgreSQL has settings for that.

    A writer sets it within its transaction and clears it before the end, so nobody else ever sees it set.
    """

    __tablename__ = "change_context"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    transaction_id: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    principal: Mapped[str] = mapped_column(CodePointText, server_default="")
    replaced_after: Mapped[int | None] = mapped_column(BigInt)
    """The newest change when the row `replaced` was about to be replaced."""
    replaced_id: Mapped[int | None] = mapped_column(BigInt)
    replaced: Mapped[str | None] = mapped_column(Text)

    __table_args__ = ({"sqlite_strict": True},)


class SchemaCompatibility(Base):
    """The one row that says which programs may serve this schema."""

    __tablename__ = "schema_compatibility"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, server_default=text("1"))
    oldest_revision: Mapped[str] = mapped_column(CodePointText)
    """The oldest revision whose programs may still serve. Migrations raise it, and nothing lowers it."""

    __table_args__ = (CheckConstraint("id = 1", name="one_row"), {"sqlite_strict": True})


def next_update_time(row: Any, now: ColumnElement[int]) -> ColumnElement[int]:
    """Returns the update time of a row that is changed now; `row` has its columns `create_time` and `update_time`.

    It is never before either of them, also after the clock was set back.
    """
    created, updated = row.create_time, row.update_time
    return case((and_(updated > now, updated >= created), updated), (created > now, created), else_=now)
