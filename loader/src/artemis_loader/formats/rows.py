"""Rows and faults: a reader of any format yields one or the other for each record of a file."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.records import FeedWarning

MAX_RECORD = 32 << 20
"""Bytes or characters of a line, or of a record that may have several lines. A longer one is not kept in memory."""
MAX_SHOWN = 1000
"""Characters of a record that a reject shows."""

Row: TypeAlias = dict[str, Any]
"""A record of a feed as its reader gives it: values by key, as JSON has them, and datetimes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be read."""

    line: int
    reason: str
    record: str
    partial: Any = None
    """The row as far as it could be read, in which the external_id may be found; None if nothing could."""


Rows: TypeAlias = Iterator[tuple[int, Any] | Fault | FeedWarning]
"""Rows with their line, or their index from 1 in a format without lines, and faults and warnings between them.

A row may be any value of JSON."""

Reader: TypeAlias = Callable[[io.BufferedReader, LocalFile, Feed], Rows]
"""Reads the stream that a file was opened as. Raises FeedError when it cannot be read to its end."""


def shown(value: Any) -> str:
    """Returns the beginning of a value as JSON."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "(cannot be shown)"
    return text[:MAX_SHOWN].encode(errors="backslashreplace").decode()


def is_unicode(text: str) -> bool:
    """Tells whether the text can be written as UTF-8, which lone surrogates cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
