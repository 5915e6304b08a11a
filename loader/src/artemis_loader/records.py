"""What reading a feed gives: records that can be stored, and rejects that cannot."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

COLUMNS: dict[str, tuple[str, ...]] = {
    "events": ("name", "description", "category", "location", "publisher", "start_time", "end_time"),
    "users": ("email", "first_name", "last_name"),
}
"""The columns that a feed fills, for each entity; times are microseconds since the Unix epoch, UTC."""

Value: TypeAlias = str | int


class Record(NamedTuple):
    """A valid record: what identifies it within its feed, and its values in the order of COLUMNS."""

    external_id: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that cannot be stored: where it is, why, and what it looks like (cut to 1000 characters).

    `line` is the line of the file, or the index of the record (from 1) where a format has no lines.
    """

    file: str
    line: int
    reason: str
    record: str
    external_id: str = ""
    """What identifies it within its feed, if that much is known: its row is then left as it is."""
