"""Cuts an iCalendar file into its components as they are written, so that a broken one cannot hurt its neighbours."""

import codecs
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from artemis_loader.errors import FeedError
from artemis_loader.files import LocalFile
from artemis_loader.formats.ics.lines import (
    Line,
    Malformed,
    Property,
    boundary,
    name_of,
    parse,
    unescape,
    unfold,
    written_name,
)
from artemis_loader.formats.ics.lines import shown as quoted
from artemis_loader.formats.rows import MAX_RECORD, MAX_SHOWN, Fault, shown

PARTS = ("VEVENT", "VTIMEZONE")
MAX_BLOCK = 4 << 20
"""Bytes that one component may have."""
MAX_BLOCKS = 1_000_000
"""Components that a file may have, because it is read whole."""
_CALENDAR = ("X-WR-CALNAME", "NAME", "X-WR-TIMEZONE", "METHOD", "VERSION")
Warn = Callable[[int, str], None]
"""Takes the line and the reason of a warning."""


@dataclass(slots=True)
class Block:
    """The lines of one component."""

    kind: str
    line: int
    calendar: "CalendarText"
    lines: list[Line] = field(default_factory=list)
    fault: str = ""
    """The reason for which it cannot be read, if that is known already."""
    nested: bool = False
    """True if there are components inside it."""

    def rejected(self, reason: str, uid: str = "") -> Fault:
        """Returns the fault that stands for it."""
        data = b"\n".join(line.data for line in self.lines[:MAX_SHOWN])[: 4 * MAX_SHOWN]
        return Fault(self.line, reason, shown(data.decode(errors="backslashreplace")), _partial(uid))

    def properties(self, warn: Warn, inner: tuple[str, ...] = ()) -> Iterator[Property]:
        """Returns its properties; those of components inside only if their BEGIN line is in `inner`.

        Raises:
            Malformed: a component inside does not end, or the line of one of `_TIMES` is malformed.
            UnicodeDecodeError: a property is not UTF-8, and it matters; see `_MATTERS`.
        """
        if self.nested:
            return self._with_parts(warn, inner)
        return filter(None, (_property(line, warn) for line in self.lines[1:-1] if line.data))

    def _with_parts(self, warn: Warn, inner: tuple[str, ...]) -> Iterator[Property]:
        open_parts: list[str] = []
        for line in self.lines[1:-1]:
            text = boundary(line)
            if text.startswith("BEGIN:") and text not in inner:
                open_parts.append(text[6:])
            elif text.startswith("END:"):
                if open_parts and text[4:] == open_parts[-1]:
                    open_parts.pop()
                elif f"BEGIN:{text[4:]}" in inner:
                    yield parse(line)
            elif not open_parts and line.data and (prop := _property(line, warn)):
                yield prop
        if open_parts:
            raise Malformed(f"{open_parts[-1][:40]} inside it has no END")


def _partial(uid: str) -> dict[str, str] | None:
    return {"uid": uid, "id": uid} if uid else None


_TIMES = {
    "DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "RRULE", "EXRULE", "RDATE", "EXDATE", "STATUS",
    "TZID", "TZOFFSETFROM", "TZOFFSETTO",
}  # fmt: skip
"""The properties without which times would be wrong, or an event that is cancelled would be there."""
_MATTERS = {"UID", "SUMMARY", "DESCRIPTION", "LOCATION", "CATEGORIES", *_TIMES}
"""The properties that must be UTF-8, because a field is made of them."""
_OTHERS = {
    "ACTION", "ATTACH", "ATTENDEE", "CALENDAR-ADDRESS", "CLASS", "COLOR", "COMMENT", "COMPLETED", "CONCEPT",
    "CONFERENCE", "CONTACT", "CREATED", "DTSTAMP", "DUE", "GEO", "IMAGE", "LAST-MODIFIED", "LINK", "LOCATION-TYPE",
    "ORGANIZER", "PARTICIPANT-TYPE", "PERCENT-COMPLETE", "PRIORITY", "REFID", "RELATED-TO", "REQUEST-STATUS",
    "RESOURCE-TYPE", "RESOURCES", "SEQUENCE", "SOURCE", "STRUCTURED-DATA", "STYLED-DESCRIPTION", "TRANSP", "TZNAME",
    "TZUNTIL", "TZURL", "URL", "BEGIN", "END",
}  # fmt: skip
_KNOWN = _MATTERS | _OTHERS
"""The properties of events and zones in RFC 5545, 7808, 7986, 9073 and 9253."""


def _property(line: Line, warn: Warn) -> Property | None:
    """Returns the property of a line; None if it is malformed or blank."""
    try:
        prop = parse(line)
    except Malformed as error:
        if written_name(line) in _TIMES:
            raise
        if line.data.strip():
            warn(line.number, f"{error}; the line is left out")
        return None
    except UnicodeDecodeError:
        if name_of(line) in _MATTERS:
            raise
        warn(line.number, f"{name_of(line)[:40]}: is not UTF-8; the property is left out")
        return None
    if prop.name not in _KNOWN and not prop.name.startswith("X-") and not written_name(line).isupper():
        reason = f"{quoted(written_name(line))} is no known property; the text before it may have a raw line break"
        warn(line.number, reason)
    return prop


@dataclass(slots=True)
class CalendarText:
    """A VCALENDAR of the file: its own properties, and its time zones and events."""

    name: str = ""
    time_zone: str = ""
    """Its X-WR-TIMEZONE."""
    method: str = ""
    version: str = ""
    lines: dict[str, int] = field(default_factory=dict)
    """The lines of its properties, by their names."""
    blocks: list[Block] = field(default_factory=list)
    complete: bool = False

    def take(self, line: Line) -> None:
        """Takes one of its own properties."""
        try:
            prop = parse(Line(line.number, line.data.decode(errors="replace").encode()))
        except Malformed:
            return
        value = unescape(prop.value).strip()
        if prop.name not in _CALENDAR or not value:
            return
        self.lines[prop.name] = prop.line
        if prop.name == "METHOD":
            self.method = value.upper()
        elif prop.name == "VERSION":
            self.version = value
        elif prop.name == "X-WR-TIMEZONE":
            self.time_zone = value
        else:
            self.name = value


def split(stream: io.BufferedReader, file: LocalFile) -> list[CalendarText]:
    """Returns the calendars of a file.

    Raises:
        FeedError: there is none, the last one ends early, or there are too many components.
    """
    splitter = _Splitter()
    for line in unfold(_physical(stream, file), MAX_BLOCK):
        splitter.add(line)
        if splitter.count > MAX_BLOCKS:
            raise FeedError(f"{file.name}: has more than {MAX_BLOCKS} components")
    if not splitter.calendars:
        raise FeedError(f"{file.name}: is no calendar, because it has no BEGIN:VCALENDAR")
    if not splitter.calendars[-1].complete:
        raise FeedError(f"{file.name}: ends early, without END:VCALENDAR")
    return splitter.calendars


def _physical(stream: io.BufferedReader, file: LocalFile) -> Iterator[tuple[int, bytes]]:
    """Returns the lines of a file with their numbers, also of one in UTF-16 that says so, or with CR as line ends.

    Raises:
        FeedError: it begins as UTF-16 does, and is none.
    """
    beginning, lines = stream.peek(2), cast("io.BufferedIOBase", stream)
    if beginning[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        try:
            lines = io.BytesIO(stream.read().decode("utf-16").encode())
        except ValueError:
            raise FeedError(f"{file.name}: begins as UTF-16, and is none") from None
        beginning = lines.getbuffer()[: io.DEFAULT_BUFFER_SIZE].tobytes()
    if b"\r" in beginning and b"\n" not in beginning:
        lines = io.BytesIO(lines.read().replace(b"\r", b"\n"))
    return enumerate(iter(partial(lines.readline, MAX_RECORD), b""), 1)


class _Splitter:
    """Takes a file line by line."""

    def __init__(self) -> None:
        self.calendars: list[CalendarText] = []
        self.count = 0
        """Calendars and their components."""
        self._size = 0
        self._block: Block | None = None
        self._others: list[str] = []
        """The components that are open and not read, such as VTODO: their properties are not the calendar's."""

    def add(self, line: Line) -> None:
        """Takes one line."""
        text = boundary(line)
        if not text and self._block is not None:
            self._keep(self._block, line)
        elif text == "BEGIN:VCALENDAR":
            self._end(complete=False)
            self.calendars.append(CalendarText())
            self._others = []
            self.count += 1
        elif text == "END:VCALENDAR":
            self._end(complete=False)
            if self.calendars:
                self.calendars[-1].complete = True
        elif self.calendars:
            self._add_inner(line, text)

    def _add_inner(self, line: Line, text: str) -> None:
        if text[:6] == "BEGIN:" and text[6:] in PARTS:
            self._end(complete=False)
            self._block = Block(text[6:], line.number, self.calendars[-1])
            self.count += 1
        if self._block is None:
            self._add_other(line, text)
            return
        self._keep(self._block, line)
        self._block.nested |= text not in (f"BEGIN:{self._block.kind}", f"END:{self._block.kind}")
        if text == f"END:{self._block.kind}":
            self._end(complete=True)

    def _add_other(self, line: Line, text: str) -> None:
        if text.startswith("BEGIN:"):
            self._others.append(text[6:])
        elif text.startswith("END:") and text[4:] in self._others:
            while self._others.pop() != text[4:]:
                pass
        elif not self._others:
            self.calendars[-1].take(line)

    def _keep(self, block: Block, line: Line) -> None:
        """Adds a line to the block; of one that is too long, only the beginning stays."""
        self._size += len(line.data) + 1
        if self._size <= MAX_BLOCK:
            block.lines.append(line)
        elif not block.fault:
            block.fault = f"is longer than {MAX_BLOCK} bytes"
            kept = [*block.lines, line][:MAX_SHOWN]
            block.lines = [Line(each.number, each.data[: 4 * MAX_SHOWN]) for each in kept]

    def _end(self, *, complete: bool) -> None:
        if self._block is not None:
            if not complete:
                self._block.fault = f"has no END:{self._block.kind}"
            self.calendars[-1].blocks.append(self._block)
        self._block = None
        self._size = 0
