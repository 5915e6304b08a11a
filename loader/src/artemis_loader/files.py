"""Opens the files of a feed: decompressed, within the size limit, and not an error page in disguise."""

import codecs
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from artemis_loader.errors import FeedError
from artemis_loader.feeds import FORMATS, Feed

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_PAGE = re.compile(rb"\s*<(!doctype|!--|\?xml|html|head|body|error)", re.IGNORECASE)
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<(!doctype\s+html|html|head|body)", re.IGNORECASE)
_BUFFER = 1 << 18
_PIECE = 1 << 16
_MAX_LAYERS = 2
"""A .gz file may be sent with Content-Encoding: gzip."""


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file of a feed that is on this machine."""

    path: Path
    name: str
    """The path, or the URL without its secrets, for messages."""
    base: str
    """The last part of the name."""
    folder: str
    """The part before it."""
    charset: str = ""
    """The encoding of the text, if a server named one; empty for that of the format."""

    @property
    def stem(self) -> str:
        """Returns the last part of the name without its endings .gz and .json, .csv or the like."""
        return Path(self.base.removesuffix(".gz")).stem


class _CountingReader(io.RawIOBase):
    """Counts the bytes that are read from a stream, and turns its errors into FeedError."""

    def __init__(
        self, stream: BinaryIO, name: str, max_bytes: int, on_bytes: Callable[[int], None] | None = None
    ) -> None:
        self._stream = stream
        self._name = name
        self.count = 0
        self._max_bytes = max_bytes
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        """Returns true, as a reader does."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads into the buffer and returns how many bytes there were."""
        try:
            data = self._stream.read(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise FeedError(f"{self._name}: is not valid gzip, or ends too early") from None
        except OSError as error:
            raise FeedError(f"{self._name}: {os.strerror(error.errno or 0)}") from None
        self.count += len(data)
        if self.count > self._max_bytes:
            raise FeedError(f"{self._name}: is larger than {self._max_bytes} bytes (max_bytes)")
        if self._on_bytes:
            self._on_bytes(len(data))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Closes the stream as well, and what a decompressor reads from, which it leaves open."""
        compressed = getattr(self._stream, "fileobj", None)
        self._stream.close()
        if compressed is not None:
            compressed.close()
        super().close()


class _Transcoder(io.RawIOBase):
    """Gives a stream of another encoding as UTF-8; bytes that the encoding does not have stay as they are."""

    def __init__(self, stream: io.BufferedReader, file: LocalFile) -> None:
        self._stream = stream
        self._file = file
        self._decoder = codecs.getincrementaldecoder(file.charset)("surrogateescape")
        self._data = b""
        self._ended = False

    @property
    def count(self) -> int:
        """The bytes that were read."""
        return cast("_CountingReader", self._stream.raw).count

    def readable(self) -> bool:
        """Returns true, as a reader does."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads into the buffer and returns how many bytes there were."""
        while not self._data and not self._ended:
            self._read_on()
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def close(self) -> None:
        """Closes the stream as well."""
        self._stream.close()
        super().close()

    def _read_on(self) -> None:
        data = self._stream.read1(_PIECE)
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
            self._data = text.encode(errors="surrogateescape")
        except ValueError:
            raise FeedError(f"{self._file.name}: is not {self._file.charset}, as the server says") from None


def open_file(file: LocalFile, feed: Feed, on_bytes: Callable[[int], None] | None = None) -> io.BufferedReader:
    """Returns the file's content as a stream, decompressed, and in UTF-8 without a byte order mark if it is text.

    `on_bytes` is called with the bytes that are read of the file itself, compressed or not.

    Raises:
        FeedError: the file cannot be opened, or is a page of HTML or XML. The stream raises it, too, when the
            content is larger than the feed's `max_bytes`, or is not valid gzip.
    """
    try:
        raw: BinaryIO = file.path.open("rb", buffering=0)
    except OSError as error:
        raise FeedError(f"{file.name}: {os.strerror(error.errno or 0)}") from None
    max_bytes = feed.limits.max_bytes
    stream = _buffered(raw, file.name, max_bytes, on_bytes)
    try:
        for _ in range(_MAX_LAYERS):
            if stream.peek(2)[:2] == _GZIP:
                stream = _buffered(gzip.GzipFile(fileobj=stream), file.name, max_bytes)  # type: ignore[arg-type]
        if file.charset:
            stream = io.BufferedReader(_Transcoder(stream, file), _BUFFER)
        _refuse_page(stream, file.name, xml=FORMATS[feed.format].markup)
    except FeedError:
        stream.close()
        raise
    return stream


def bytes_read(stream: io.BufferedReader) -> Callable[[], int]:
    """Returns the function that tells how many bytes of an opened file's content have been read, or read ahead."""
    reader = cast("_CountingReader | _Transcoder", stream.raw)
    return lambda: reader.count


def _buffered(
    stream: BinaryIO, name: str, max_bytes: int, on_bytes: Callable[[int], None] | None = None
) -> io.BufferedReader:
    return io.BufferedReader(_CountingReader(stream, name, max_bytes, on_bytes), _BUFFER)


def _refuse_page(stream: io.BufferedReader, name: str, *, xml: bool) -> None:
    """Skips a byte order mark, and refuses a page: no format that is read here begins with such a tag, but for XML."""
    if stream.peek(len(_BOM))[: len(_BOM)] == _BOM:
        stream.read(len(_BOM))
    if (_HTML if xml else _PAGE).match(stream.peek(1)[:1024]):
        raise FeedError(f"{name}: is a page of HTML{'' if xml else ' or XML'}, not a feed")


@dataclass(frozen=True, kw_only=True)
class Validators:
    """The HTTP validators (RFC 9110, section 8.8) of the version of a feed that was loaded last."""

    etag: str = ""
    last_modified: str = ""
    fingerprint: str = ""
    """Of the declaration that the feed was loaded with: another one may give other records of the same file."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The files of a feed, all of them on this machine."""

    files: tuple[LocalFile, ...] = ()
    validators: Validators = Validators()
    unchanged: bool = False
    """True if the feed is the version that the validators were stored for: nothing is to be loaded."""

    @property
    def size(self) -> int:
        """Returns the bytes of all files as they are, compressed or not."""
        return sum(file.path.stat().st_size for file in self.files)


def check_files(files: tuple[LocalFile, ...], feed: Feed) -> tuple[LocalFile, ...]:
    """Returns the files. Raises FeedError when one of them cannot be opened, or is a page instead of a feed."""
    for file in files:
        open_file(file, feed).close()
    return files
