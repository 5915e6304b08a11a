"""JSON lines: one object a line. A bad line is a fault, and the next one is read."""

import io

from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats import json_values
from artemis_loader.formats.rows import MAX_RECORD, MAX_SHOWN, Fault, Rows


def read_lines(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows; empty lines are skipped."""
    del file, feed
    line = 0
    while data := stream.readline(MAX_RECORD):
        line += 1
        if len(data) == MAX_RECORD and not data.endswith(b"\n"):
            while (rest := stream.readline(1 << 16)) and not rest.endswith(b"\n"):
                pass
            yield Fault(line, f"line is longer than {MAX_RECORD} bytes", _beginning(data))
            continue
        row, reason = json_values.decode_line(data)
        if not reason:
            yield line, row
        elif data.strip():
            yield Fault(line, reason, _beginning(data), row)


def _beginning(data: bytes) -> str:
    return data[: 4 * MAX_SHOWN].decode(errors="backslashreplace").rstrip("\r\n")[:MAX_SHOWN]
