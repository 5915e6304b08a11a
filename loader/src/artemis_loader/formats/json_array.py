"""An array of objects in a JSON file, read as a stream. A file that ends early or is no JSON is a failure."""

import io
import re

import ijson  # type: ignore[import-untyped]  # it ships no types

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile, opened
from artemis_loader.formats.rows import Rows

_BUFFER = 1 << 16
_DEEPEST = 100
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


class _Shallow:
    """Passes JSON on to the parser, unless it is nested so deeply that the parser would take all memory.

    The parser keeps the path to each level, so that its memory grows with the square of the depth.
    """

    def __init__(self, stream: io.BufferedReader, name: str) -> None:
        self._stream = stream
        self._name = name
        self._string = b""
        """The beginning of a string that goes on in the next piece, or what stands for it."""
        self._open = b""
        """The brackets that are open."""

    def read(self, size: int) -> bytes:
        """Returns the next piece."""
        data = self._stream.read(size)
        brackets = self._open + self._bare(self._string + data).translate(_BRACKETS, _OTHERS)
        for _ in range(_DEEPEST):
            length = len(brackets)
            brackets = brackets.replace(b"[]", b"")
            if len(brackets) == length:
                break
        if len(brackets) > _DEEPEST:
            raise FeedError(f"{self._name}: is nested too deeply")
        self._open = brackets
        return data

    def _bare(self, data: bytes) -> bytes:
        """Returns the piece without strings, and keeps whether one goes on.

        A quote is added at the end: it closes such a string, and is left over otherwise.
        """
        escapes = (len(data) - len(data.rstrip(b"\\"))) % 2 == 1
        bare = _STRING.sub(b"", (data[:-1] if escapes else data) + b'"')
        if bare.endswith(b'"'):
            self._string = b""
            return bare[:-1]
        self._string = b'"\\' if escapes else b'"'
        return bare


def read_array(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows of the array at the feed's `records`, with their index.

    Raises:
        FeedError: the file is no JSON, ends early, or has no such array.
    """
    index = 0
    prefix = f"{feed.records}.item" if feed.records else "item"
    try:
        # Without use_float, the parser ends the process at an integer of more digits than Python reads.
        for row in ijson.items(_Shallow(stream, file.name), prefix, buf_size=_BUFFER, use_float=True):
            index += 1
            yield index, row
        if not index and not _has_array(file, feed):
            raise FeedError(f"{file.name}: has no array at {feed.records or 'its top'} (records)")
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        after = f" after record {index}" if index else ""
        raise FeedError(f"{file.name}: is not valid JSON{after}: {_reason(error)}") from None


def _has_array(file: LocalFile, feed: Feed) -> bool:
    """Tells whether the array is there, although it is empty."""
    with opened(file, feed.limits.max_bytes) as stream:
        events = ijson.parse(_Shallow(stream, file.name), buf_size=_BUFFER)
        return any(prefix == feed.records and event == "start_array" for prefix, event, _ in events)


def _reason(error: Exception) -> str:
    """Returns the first line; the others show where in the file, over several lines."""
    return str(error).strip().partition("\n")[0].removeprefix("parse error: ")
