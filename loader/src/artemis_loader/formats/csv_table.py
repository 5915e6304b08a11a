"""CSV: a row whose cells do not fit the columns is a fault; a file without the mapped columns is a failure."""

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import MAX_RECORD, Fault, Rows, is_unicode, shown

if TYPE_CHECKING:
    from _csv import Reader

_UNCLOSED = "unexpected end of data"


def read_table(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows as objects whose keys are the names of the columns; empty lines are skipped.

    Raises:
        FeedError: a mapped column is missing or ambiguous, a quote is never closed, a line is too long, or the text
            is in another encoding.
    """
    csv.field_size_limit(MAX_RECORD)
    text = io.TextIOWrapper(stream, feed.csv.encoding, errors="surrogateescape", newline="")
    delimiter, quote = feed.csv.delimiter, feed.csv.quote or None
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    table = csv.reader(_lines(text, file), delimiter=delimiter, quotechar=quote, quoting=quoting, strict=True)
    try:
        header = feed.csv.header or _first_row(table, feed, file)
        _check_header(header, feed, file)
        yield from _rows(table, header, file)
    except csv.Error as error:
        raise FeedError(f"{file.name}: line {table.line_num}: {error}") from None
    except UnicodeError:
        raise FeedError(f"{file.name}: is not {feed.csv.encoding} after line {table.line_num}") from None
    finally:
        text.detach()


def _lines(text: io.TextIOWrapper, file: LocalFile) -> Iterator[str]:
    while line := text.readline(MAX_RECORD):
        if len(line) == MAX_RECORD and not line.endswith(("\n", "\r")):
            raise FeedError(f"{file.name}: a line is longer than {MAX_RECORD} characters")
        yield line


def _first_row(table: "Reader", feed: Feed, file: LocalFile) -> tuple[str, ...]:
    header = next((row for row in table if row), None)
    if header is None:
        raise FeedError(f"{file.name}: is empty, without even a header")
    if not is_unicode("".join(header)):
        raise FeedError(f"{file.name}: line {table.line_num} is not {feed.csv.encoding}")
    return tuple(name.strip() for name in header)


def _check_header(header: tuple[str, ...], feed: Feed, file: LocalFile) -> None:
    for source in feed.fields.values():
        for name in _columns(source):
            if name not in header:
                raise FeedError(f"{file.name}: has no column {name!r}; its columns are {', '.join(header)[:300]}")
            if header.count(name) > 1:
                raise FeedError(f"{file.name}: has more than one column {name!r}")


def _columns(source: Source) -> Iterator[str]:
    """Returns the columns that a file must have: not those with a default or an alternative."""
    if source.key and not source.default:
        yield source.key[0]
    for part in source.join:
        yield from _columns(part)


def _rows(table: "Reader", header: tuple[str, ...], file: LocalFile) -> Rows:
    width = len(header)
    while True:
        line = table.line_num + 1
        try:
            row = next(table, None)
        except csv.Error as error:
            yield _fault(error, line, file)
            continue
        if row is None:
            return
        if not row:
            continue
        cells = dict(zip(header, row, strict=False))
        if len(row) != width:
            yield Fault(line, f"has {len(row)} cells where there are {width} columns", shown(row), cells)
        elif is_unicode("".join(row)):  # other bytes became lone surrogates
            yield line, cells
        else:
            yield Fault(line, "is not in the encoding of the feed", shown(row), cells)


def _fault(error: csv.Error, line: int, file: LocalFile) -> Fault:
    """Returns the fault of a row that is not CSV. An open quote takes in all rows after it, and so fails the file."""
    if str(error) == _UNCLOSED:
        raise FeedError(f"{file.name}: line {line}: a quote is opened and never closed")
    return Fault(line, f"not CSV: {error}", "")
