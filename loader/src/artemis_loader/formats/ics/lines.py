"""Content lines (RFC 5545, 3.1): unfolds them, and splits one into its name, its parameters and its value.

`b'DTSTART;TZID="Hall; Time":20240309T100000'` is Property(name="DTSTART", params={"TZID": "Hall; Time"}, ...).
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

_SIMPLE = re.compile(r"([A-Za-z0-9-]+):(.*)", re.DOTALL)
_LINE = re.compile(r'([A-Za-z0-9-]+)((?:;(?:[^":;]|"[^"]*")*)*):(.*)', re.DOTALL)
_PARAMETER = re.compile(r';\s*([A-Za-z0-9-]+)\s*=((?:[^";]|"[^"]*")*)')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COMMA = re.compile(r"(?<!\\)((?:\\\\)*),")
_SHOWN = 40
_LINE_FEED = ord("\n")
_FOLDS = b" \t"
_TIMES = {"DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE"}
"""Properties with values that have no colon."""
_LINE_BREAKS = {"n": "\n", "N": "\n"}


class Line(NamedTuple):
    """A content line after unfolding, as bytes, because a fold may stand inside a character of UTF-8."""

    number: int
    """Of its first line in the file, from 1."""
    data: bytes


class Property(NamedTuple):
    """A property; its name and the names of its parameters are in capitals."""

    line: int
    name: str
    value: str
    params: Mapping[str, str] = MappingProxyType({})


def boundary(line: Line) -> str:
    """Returns "BEGIN:VEVENT" or the like in capitals; nothing for a line that begins or ends no component."""
    data = line.data
    if not data or data[0] not in b"BbEe \xef":  # nearly all lines, in little time
        return ""
    text = data[:100].removeprefix(b"\xef\xbb\xbf").strip().upper().decode(errors="replace")
    return text if text.startswith(("BEGIN:", "END:")) else ""


class Malformed(ValueError):
    """A line or a value cannot be read; the text tells why."""


def unfold(lines: Iterator[tuple[int, bytes]], max_length: int) -> Iterator[Line]:
    r"""Yields the content lines of physical ones; a longer one is cut off after `max_length` bytes or a little more.

    A line that goes on in the next is joined with it, byte by byte: b"Caf\xc3", b" \xa9" is "Café".
    """
    number, content, ended = 0, b"", True
    folded: list[bytes] = []
    size = 0
    for position, data in lines:
        if ended and data[0] not in _FOLDS:
            if folded:
                content += b"".join(folded)
                folded, size = [], 0
            if number:
                yield Line(number, content)
            number, content = position, data.rstrip(b"\r\n")
        elif size + len(content) <= max_length:
            folded.append((data[1:] if ended else data).rstrip(b"\r\n"))
            size += len(folded[-1])
        ended = data[-1] == _LINE_FEED
    if number:
        yield Line(number, content + b"".join(folded))


def parse(line: Line) -> Property:
    """Returns the property of a line.

    Raises:
        Malformed: it is none.
        UnicodeDecodeError: it is not UTF-8.
    """
    content = line.data.decode()
    if simple := _SIMPLE.fullmatch(content):
        return Property(line.number, simple[1].upper(), simple[2])
    found = _LINE.fullmatch(content)
    if found is None:
        raise Malformed(f"{shown(content)} is no property")
    name, written, value = found[1].upper(), found[2], found[3]
    if name in _TIMES and written and ":" in value:  # of a zone such as (GMT+01:00) Oslo, without its quotes
        beginning, value = value.rsplit(":", 1)
        written = f"{written}:{beginning}"
    params = {key.upper(): text.strip().strip('"') for key, text in _PARAMETER.findall(written)}
    return Property(line.number, name, value, params)


def written_name(line: Line) -> str:
    """Returns what stands where the name of a property is, also of a line that is none: `RRULE FREQ=DAILY`."""
    return re.split(rb"[;:\s]", line.data, maxsplit=1)[0].decode(errors="replace")


def name_of(line: Line) -> str:
    """Returns the same in capitals."""
    return written_name(line).upper()


def unescape(text: str) -> str:
    r"""Returns a text value (3.3.11) without its escapes: "one\\, two" is "one, two"."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: _LINE_BREAKS.get(found[1], found[1]), text)


def texts(value: str) -> list[str]:
    """Returns the texts of a list, which commas separate."""
    return [unescape(part) for part in _COMMA.sub("\\1\0", value).split("\0")]


def shown(text: str) -> str:
    """Returns the beginning of a text from a file, in quotes."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
