"""What every reader gives: rows, and faults where there should have been one."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile

LONGEST_LINE = 32 << 20
"""Bytes or characters that one line may have. A longer one is not kept in memory."""
SHOWN = 1000
"""Characters of a record that a reject shows."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What stands where a row should be, and cannot be read."""

    line: int
    reason: str
    record: str
    known: Any = None
    """What could be read all the same, as a row, so that it may be known which record it is."""


Rows: TypeAlias = Iterator[tuple[int, Any] | Fault]
"""Rows with their line, or their index from 1 in a format without lines. A row may be any value of JSON."""

Reader: TypeAlias = Callable[[io.BufferedReader, LocalFile, Feed], Rows]
"""Reads the stream that a file was opened as. Raises FeedError when it cannot be read to its end."""


def shown(value: Any) -> str:
    """Returns the beginning of a value as JSON."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "(cannot be shown)"
    return text[:SHOWN].encode(errors="backslashreplace").decode()
