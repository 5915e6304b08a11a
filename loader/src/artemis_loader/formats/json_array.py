"""An array of objects in a JSON file, read as a stream. A file that ends early or is no JSON is a failure."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats.json_text import JsonText, NotJson, Unusable
from artemis_loader.formats.rows import Fault, Rows, shown


def read_array(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows of the array at the feed's `records`, with their index.

    Raises:
        FeedError: the file is no JSON, ends early, or has no such array.
    """
    text = JsonText(stream)
    path = feed.records.split(".") if feed.records else []
    arrays = index = 0
    try:
        for arrays, _ in enumerate(_arrays(text, path), 1):  # noqa: B007, used when there are no more
            for _ in text.elements("[]"):
                row = _row(text, index + 1)
                index += 1
                yield row
        text.end()
    except NotJson as error:
        after = f" after record {index}" if index else ""
        raise FeedError(f"{file.name}: is not valid JSON{after}: {error}") from None
    if not arrays:
        raise FeedError(f"{file.name}: has no array at {feed.records or 'its top'} (records)")


def _row(text: JsonText, index: int) -> tuple[int, Any] | Fault:
    try:
        return index, text.value()
    except Unusable as error:
        return Fault(index, str(error), shown(error.beginning), error.known)


def _arrays(text: JsonText, path: Sequence[str]) -> Iterator[None]:
    """Goes to the array at the end of the path; to several when a key stands there more than once."""
    first = text.peek()
    if first == "[" and not path:
        yield
    elif first == "{" and path:
        for key in text.members():
            if key == path[0]:
                yield from _arrays(text, path[1:])
            else:
                text.skip()
    else:
        text.skip()
