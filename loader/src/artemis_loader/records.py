"""Records as reading a feed yields them: those that can be stored, rejects that cannot, and warnings beside them."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Value: TypeAlias = str | int


class Record(NamedTuple):
    """A valid record: its external_id, and its values in the order of the entity's fields."""

    external_id: str
    values: tuple[Value, ...]


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
