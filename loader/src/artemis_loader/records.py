"""Records as reading a feed yields them: those that can be stored, rejects that cannot, and warnings beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Value: TypeAlias = str | int

LINES = 1 << 32
"""More than the lines of any file."""


class Record(NamedTuple):
    """A valid record: its external_id, and its values in the order of the entity's fields."""

    external_id: str
    values: tuple[Value, ...]
    place: int = 0
    """The number of the file in `Fetched.files`, from 0, times LINES, plus the line as that of a Reject; or 0."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that cannot be stored: its place, the reason, and its beginning (up to 1000 characters).

    `line` is the line of the file, or the index of the record (from 1) where a format has no lines.
    """

    file: str
    line: int
    reason: str
    record: str
    external_id: str = ""
    """Empty when it could not be read. A refresh leaves the row with this external_id as it is."""


@dataclass(frozen=True, slots=True)
class FeedWarning:
    """A part of a file that was passed over, or read in another way than it is written. It rejects no record.

    `file` and `line` are as those of a Reject. The reason says what is wrong, and what was done about it, such as
    "GEO: is not two numbers; the property is left out".
    """

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A record that a later one with the same external_id replaced: the places of both."""

    external_id: str
    file: str
    line: int
    later_file: str
    later_line: int


@dataclass(frozen=True, slots=True)
class Change:
    """A row that a dry run would change: each of its fields, with its value before and after. Times are ISO 8601."""

    kind: Literal["inserted", "updated", "deleted"]
    external_id: str
    fields: Mapping[str, tuple[str | None, str | None]]
    """Before, which is None for an inserted row, and after, which is None for a deleted one."""
