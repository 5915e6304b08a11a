"""Records as reading a feed yields them: those that can be stored, and rejects that cannot."""

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
