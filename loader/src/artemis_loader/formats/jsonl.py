"""JSON lines: one object a line. A bad line is a fault, and the next one is read."""

import io
from typing import Any

from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats import json_values
from artemis_loader.formats.rows import LONGEST_LINE, SHOWN, Fault, Rows


def read_lines(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows; empty lines are skipped."""
    del file, feed
    line = 0
    while data := stream.readline(LONGEST_LINE):
        line += 1
        if len(data) == LONGEST_LINE and not data.endswith(b"\n"):
            _skip_line(stream)
            yield Fault(line, f"line is longer than {LONGEST_LINE} bytes", _decoded(data))
            continue
        try:
            row = json_values.decode_line(data)
        except (ValueError, RecursionError) as error:
            if data.strip():
                yield Fault(line, _reason(error), _decoded(data), _known(data))
            continue
        yield line, row


def _skip_line(stream: io.BufferedReader) -> None:
    while (data := stream.readline(1 << 16)) and not data.endswith(b"\n"):
        pass


def _decoded(data: bytes) -> str:
    return data[: 4 * SHOWN].decode(errors="backslashreplace").rstrip("\r\n")[:SHOWN]


def _known(data: bytes) -> Any:
    return json_values.known(data.decode(errors="surrogateescape").strip())


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"invalid UTF-8 at byte {error.start + 1}"
    return json_values.reason(error)
