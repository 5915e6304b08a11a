"""The entities that feeds are loaded into: the one declaration of their fields.

The mapping, the rules and the staging tables derive from it. tests/unit/test_loader_entities.py compares it with the
tables, the contract and docs/feeds.md, and names the field that one of them lacks.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

from artemis_models import Event, User
from sqlalchemy import Table
from sqlalchemy.orm import InstrumentedAttribute


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field that a feed can set: a text with a `max_length`, or a time without one.

    Times are stored as integers, microseconds since the Unix epoch, UTC.
    """

    name: str
    max_length: int = 0
    """Characters; 0 for a time."""
    required: bool = False
    """True if every feed must map the field. A time is always required."""
    rule: Literal["", "not blank", "email", "email or nothing"] = ""
    """The rule that a text must satisfy, besides its length."""
    end_of: str = ""
    """The time that this time ends. It must not be before that time; a date without a time is the last day."""
    calendar_key: str = ""
    """The key of an iCalendar row whose value the field gets, unless the feed maps the field."""
    looked_up: InstrumentedAttribute[Any] | None = None
    """The column of another table that has the text. The id of its row is stored, in `stored_as`."""
    stored_as: str = ""
    """The column of the entity's table, if that has another name."""

    @property
    def column(self) -> str:
        """The name of the column that the field sets."""
        return self.stored_as or self.name


EXTERNAL_ID = Field(name="external_id", max_length=500, required=True, calendar_key="id")
"""Identifies a record within its feed. Its length is limited because PostgreSQL limits the entries of an index."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One entity: its table, and the fields that a feed can set beside EXTERNAL_ID, in the order of `Record.values`."""

    table: Table
    fields: tuple[Field, ...]
    optional: tuple[Field, ...] = ()
    """Fields whose columns a load leaves alone unless the feed maps them."""
    unique_email: bool = False
    """True if only one row may have a value of the field `email`, without regard to case."""
    referred_to_by: InstrumentedAttribute[Any] | None = None
    """The column of another table that refers to rows of this one. Such a row is never deleted."""

    @property
    def name(self) -> str:
        """The name in the configuration, which is that of the table."""
        return self.table.name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of `fields`."""
        return tuple(field.name for field in self.fields)

    def mapped_by(self, fields: Collection[str]) -> "Entity":
        """Returns the entity with those of its optional fields that a feed maps."""
        more = tuple(field for field in self.optional if field.name in fields)
        return replace(self, fields=self.fields + more) if more else self

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """The columns of the table that `fields` set."""
        return tuple(field.column for field in self.fields)


_ALL = (
    Entity(
        table=cast("Table", Event.__table__),
        fields=(
            Field(name="name", max_length=200, required=True, rule="not blank", calendar_key="summary"),
            Field(name="description", max_length=8192, calendar_key="description"),
            Field(name="category", max_length=100, calendar_key="categories"),
            Field(name="location", max_length=300, calendar_key="location"),
            Field(name="publisher", max_length=100, calendar_key="calendar"),
            Field(name="start_time", required=True, calendar_key="start"),
            Field(name="end_time", required=True, calendar_key="end", end_of="start_time"),
        ),
        optional=(
            Field(name="owner", max_length=254, rule="email or nothing", looked_up=User.email, stored_as="owner_id"),
        ),
    ),
    Entity(
        table=cast("Table", User.__table__),
        fields=(
            Field(name="email", max_length=254, required=True, rule="email"),
            Field(name="first_name", max_length=100),
            Field(name="last_name", max_length=100),
        ),
        unique_email=True,
        referred_to_by=Event.owner_id,
    ),
)
ENTITIES: Mapping[str, Entity] = {entity.name: entity for entity in _ALL}
"""All entities by name. An entry here is all that a new one needs in the loader."""
