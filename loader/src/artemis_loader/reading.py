"""Reads a feed: from its files to records that can be stored, and rejects that cannot."""

import logging
from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from typing import Any, TypeAlias

from artemis_loader.convert.by_column import ConvertAll, compile_columns
from artemis_loader.convert.conditions import LeftOut, compile_conditions
from artemis_loader.convert.row_by_row import InvalidRecord, compile_mapping
from artemis_loader.errors import FeedError
from artemis_loader.feeds import FORMATS, Feed
from artemis_loader.files import Fetched, LocalFile, bytes_read, open_file
from artemis_loader.formats.rows import Fault, Reader, Row, Rows, shown
from artemis_loader.records import LINES, FeedWarning, Record, Reject

log = logging.getLogger(__name__)
BATCH = 100
"""Rows that are converted together."""
BATCH_BYTES = 1 << 20
"""Bytes of a file after which fewer rows are converted, so that large ones are not in memory together."""
Batch: TypeAlias = list[tuple[int, Any] | Fault | FeedWarning]
Item: TypeAlias = Record | Reject | FeedWarning


def read(feed: Feed, fetched: Fetched, on_bytes: Callable[[int], None] | None = None) -> Iterator[Item]:
    """Returns every record of the feed, in its order, a reject for each that cannot be stored, and warnings.

    `on_bytes` is called with the bytes that are read of the files, compressed or not; `fetched.size` in all.

    Raises:
        FeedError: a file cannot be read to its end, so that nothing of the feed may be stored.
    """
    reader: Reader = resolve_name(FORMATS[feed.format].reader)
    left_out = LeftOut()
    for number, file in enumerate(fetched.files):
        with open_file(file, feed, on_bytes) as stream:
            convert, convert_all = compile_mapping(feed, file), compile_columns(feed, file)
            keep, start = compile_conditions(feed, file), number * LINES
            count_bytes = (lambda: 0) if FORMATS[feed.format].calendar else bytes_read(stream)  # it is read whole
            # No name for the rows: their generator must end before the stream is closed.
            for batch in _batches(left_out.filter(reader(stream, file, feed), keep), count_bytes):
                yield from _together(batch, convert_all, start) or _one_by_one(batch, convert, file, start)
    if left_out.count:
        log.info("feed %s: %d records were left out by where", feed.name, left_out.count)


def _batches(rows: Rows, count_bytes: Callable[[], int]) -> Iterator[Batch]:
    """Yields rows, faults and warnings in lists; the last one may be empty, and comes before an error of the reader.

    After a large row there are as many bytes read ahead, of rows that may be large as well.
    """
    batch: Batch = []
    start, size = count_bytes(), BATCH
    try:
        for item in rows:
            batch.append(item)
            if more := count_bytes() - start:
                size = BATCH if more <= BATCH_BYTES else 1
            if len(batch) >= size:
                yield batch
                batch, start = [], count_bytes()
    except FeedError:
        yield batch
        raise
    yield batch


def _together(batch: Batch, convert_all: ConvertAll, start: int) -> list[Record]:
    """Returns the records of a batch; none if it has anything but valid records."""
    if set(map(type, batch)) != {tuple}:
        return []
    lines, rows = zip(*batch, strict=True)
    if set(map(type, rows)) != {dict}:
        return []
    return convert_all(rows, [start + line for line in lines] if start else lines)


def _one_by_one(batch: Batch, convert: Callable[[Row], Record], file: LocalFile, start: int) -> Iterator[Item]:
    """Yields the records, the rejects and the warnings of a batch, one by one."""
    for item in batch:
        if isinstance(item, FeedWarning):
            yield item
            continue
        if isinstance(item, Fault):
            yield Reject(file.name, item.line, item.reason, item.record, _external_id(item, convert))
            continue
        line, row = item
        if not isinstance(row, dict):
            yield Reject(file.name, line, "is not an object", shown(row))
            continue
        try:
            record: Record | Reject = convert(row)._replace(place=start + line)
        except InvalidRecord as error:
            record = Reject(file.name, line, str(error), shown(row), error.external_id)
        yield record


def _external_id(fault: Fault, convert: Callable[[Row], Record]) -> str:
    """Returns the external_id of a record that was read in part; empty if it could not be read."""
    if not isinstance(fault.partial, dict):
        return ""
    try:
        return convert(fault.partial).external_id
    except InvalidRecord as error:
        return error.external_id
