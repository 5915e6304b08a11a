"""The one way to read a feed: from its files to records that can be stored, and rejects that cannot."""

from collections.abc import Callable, Iterator

from artemis_loader.feeds import Feed, Format
from artemis_loader.files import LocalFile, opened
from artemis_loader.formats.csv_table import read_table
from artemis_loader.formats.ics import read_calendar
from artemis_loader.formats.json_array import read_array
from artemis_loader.formats.jsonl import read_lines
from artemis_loader.formats.rows import Fault, Reader, Rows, shown
from artemis_loader.mapping import InvalidRecord, Row, compile_mapping
from artemis_loader.records import Record, Reject
from artemis_loader.sources import Fetched

_READERS: dict[Format, Reader] = {
    "json": read_array,
    "jsonl": read_lines,
    "csv": read_table,
    "ics": read_calendar,
}


def read(feed: Feed, fetched: Fetched, on_bytes: Callable[[int], None] | None = None) -> Iterator[Record | Reject]:
    """Returns every record of the feed, in its order, and a reject for each that cannot be stored.

    `on_bytes` is told how many bytes of the files are read, as they are; they are `fetched.size` in all.

    Raises:
        FeedError: a file cannot be read to its end, so that nothing of the feed may be stored.
    """
    for file in fetched.files:
        with opened(file, feed.limits.max_bytes, on_bytes) as stream:
            rows = _READERS[feed.format](stream, file, feed)
            yield from _records(rows, compile_mapping(feed, file), file)


def _records(rows: Rows, convert: Callable[[Row], Record], file: LocalFile) -> Iterator[Record | Reject]:
    for item in rows:
        if isinstance(item, Fault):
            yield Reject(file.name, item.line, item.reason, item.record, _identity(item, convert))
            continue
        line, row = item
        if not isinstance(row, dict):
            yield Reject(file.name, line, "is not an object", shown(row))
            continue
        try:
            record: Record | Reject = convert(row)
        except InvalidRecord as error:
            record = Reject(file.name, line, str(error), shown(row), error.external_id)
        yield record


def _identity(fault: Fault, convert: Callable[[Row], Record]) -> str:
    """Returns the external_id of a record that was read in part; nothing when it cannot be known."""
    if not isinstance(fault.known, dict):
        return ""
    try:
        return convert(fault.known).external_id
    except InvalidRecord as error:
        return error.external_id
