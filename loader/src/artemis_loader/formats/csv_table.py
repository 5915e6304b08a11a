"""CSV: a row whose cells do not fit the columns is a fault; a file without the mapped columns is a failure."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Literal

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import MAX_RECORD, Fault, Rows, is_unicode, shown

if TYPE_CHECKING:
    from _csv import Reader

_UNCLOSED = "unexpected end of data"


def read_table(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows as objects whose keys are the names of the columns.

    Lines before the header are skipped as declared; empty lines, and rows whose cells are all blank, as spreadsheets
    leave them at the end, are skipped everywhere. A file without even a header has no rows if the feed may be empty.

    Raises:
        FeedError: a mapped column is missing or ambiguous, a quote is never closed, a line is too long, or the text
            is in another encoding.
    """
    csv.field_size_limit(MAX_RECORD)
    encoding = encoding_of(feed)
    text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")
    delimiter, quote = feed.csv.delimiter, feed.csv.quote or None
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    lines = _lines(text, file)
    if feed.csv.skip_lines:
        lines = islice(lines, feed.csv.skip_lines, None)
    table = csv.reader(lines, delimiter=delimiter, quotechar=quote, quoting=quoting, strict=True)
    try:
        header = feed.csv.header or _first_row(table, feed, file)
        if header:
            check_header(header, feed, file)
            yield from _rows(table, header, file, feed.csv.skip_lines)
    except csv.Error as error:
        raise FeedError(f"{file.name}: line {table.line_num + feed.csv.skip_lines}: {_reason(error)}") from None
    except UnicodeError:
        line = table.line_num + feed.csv.skip_lines
        raise FeedError(f"{file.name}: is not {encoding} after line {line}") from None
    finally:
        text.detach()


def encoding_of(feed: Feed) -> str:
    """Returns the encoding of the text. A file of another charset, as its server says, is opened as UTF-8."""
    return feed.csv.encoding or "utf-8"


def _lines(text: io.TextIOWrapper, file: LocalFile) -> Iterator[str]:
    while line := text.readline(MAX_RECORD):
        if len(line) == MAX_RECORD and not line.endswith(("\n", "\r")):
            raise FeedError(f"{file.name}: a line is longer than {MAX_RECORD} characters")
        yield line


def _first_row(table: "Reader", feed: Feed, file: LocalFile) -> tuple[str, ...]:
    header = next((row for row in table if not _blank("".join(row))), None)
    if header is None:
        if feed.allow_empty:
            return ()
        raise FeedError(f"{file.name}: is empty, without even a header")
    if not is_unicode("".join(header)):
        raise FeedError(f"{file.name}: line {table.line_num + feed.csv.skip_lines} is not {encoding_of(feed)}")
    return tuple(name.strip() for name in header)


def _blank(text: str) -> bool:
    return not text or text.isspace()


def check_header(header: tuple[str, ...], feed: Feed, file: LocalFile) -> None:
    """Raises FeedError if a mapped column, or one of a condition, is missing or stands there more than once."""
    for source in (*feed.fields.values(), *(condition.source for condition in feed.where)):
        for name in _columns(source):
            if name not in header:
                raise FeedError(f"{file.name}: has no column {name!r}; its columns are {', '.join(header)[:300]}")
            if header.count(name) > 1:
                raise FeedError(f"{file.name}: has more than one column {name!r}")


def _columns(source: Source) -> Iterator[str]:
    """Returns the columns that a file must have: not those with a default or an alternative."""
    if source.key and not source.default:
        yield source.key[0]
    for part in (*source.join, *((source.zone,) if source.zone else ())):
        yield from _columns(part)


def _rows(table: "Reader", header: tuple[str, ...], file: LocalFile, skipped: int) -> Rows:
    width, after = len(header), skipped + 1
    while True:
        line = table.line_num + after
        try:
            row = next(table, None)
        except csv.Error as error:
            yield _fault(error, line, file)
            continue
        if row is None:
            return
        text = "".join(row)
        if not text or text.isspace():
            continue
        cells = dict(zip(header, row, strict=False))
        if len(row) != width:
            yield Fault(line, f"has {len(row)} cells where there are {width} columns", shown(row), cells)
        elif is_unicode(text):  # other bytes became lone surrogates
            yield line, cells
        else:
            yield Fault(line, "is not in the encoding of the feed", shown(row), cells)


def _fault(error: csv.Error, line: int, file: LocalFile) -> Fault:
    """Returns the fault of a row that is not CSV. An open quote takes in all rows after it, and so fails the file."""
    if str(error) == _UNCLOSED:
        raise FeedError(f"{file.name}: line {line}: a quote is opened and never closed")
    return Fault(line, f"not CSV: {_reason(error)}", "")


def _reason(error: csv.Error) -> str:
    """Returns what is wrong, without the advice to programmers that the library gives."""
    return str(error).partition(" - ")[0]
