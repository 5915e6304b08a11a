"""Cuts an iCalendar file into its components as they are written, so that a broken one cannot hurt its neighbours."""

import io
from dataclasses import dataclass, field

from artemis_loader.errors import FeedError
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import MAX_RECORD, MAX_SHOWN, Fault, shown

PARTS = ("VEVENT", "VTIMEZONE")
MAX_BLOCK = 4 << 20
"""Bytes that one component may have: its parser takes a hundred times as much memory."""
MAX_BLOCKS = 1_000_000
"""Components that a file may have, because it is read whole."""
_NAMES = ("X-WR-CALNAME", "NAME")


@dataclass(slots=True)
class Block:
    """The lines of one component."""

    kind: str
    line: int
    calendar: "CalendarText"
    data: bytes = b""
    fault: str = ""
    """Why it cannot be read, if that is known already."""

    def rejected(self, reason: str, uid: str = "") -> Fault:
        """Returns the fault that stands for it."""
        text = shown(self.data[: 4 * MAX_SHOWN].decode(errors="backslashreplace"))
        return Fault(self.line, reason, text, {"uid": uid, "id": uid} if uid else None)


@dataclass(slots=True)
class CalendarText:
    """A VCALENDAR of the file: its name, and its time zones and events."""

    name: str = ""
    blocks: list[Block] = field(default_factory=list)
    complete: bool = False


def split(stream: io.BufferedReader, file: LocalFile) -> list[CalendarText]:
    """Returns the calendars of a file.

    Raises:
        FeedError: there is none, the last one ends early, or there are too many components.
    """
    splitter = _Splitter()
    for number, data in enumerate(iter(lambda: stream.readline(MAX_RECORD), b""), 1):
        splitter.add(number, data)
        if splitter.count > MAX_BLOCKS:
            raise FeedError(f"{file.name}: has more than {MAX_BLOCKS} components")
    if not splitter.calendars:
        raise FeedError(f"{file.name}: is no calendar, because it has no BEGIN:VCALENDAR")
    if not splitter.calendars[-1].complete:
        raise FeedError(f"{file.name}: ends early, without END:VCALENDAR")
    return splitter.calendars


class _Splitter:
    """Takes a file line by line."""

    def __init__(self) -> None:
        self.calendars: list[CalendarText] = []
        self.count = 0
        """Calendars and their components."""
        self._lines: list[bytes] = []
        self._size = 0
        self._block: Block | None = None

    def add(self, number: int, data: bytes) -> None:
        """Takes one line."""
        line = data[: 2 * MAX_SHOWN].rstrip(b"\r\n ").upper()
        if line == b"BEGIN:VCALENDAR":
            self.calendars.append(CalendarText())
            self.count += 1
        elif line == b"END:VCALENDAR":
            self._end(complete=False)
            if self.calendars:
                self.calendars[-1].complete = True
        elif self.calendars:
            self._add_inner(number, data, line)

    def _add_inner(self, number: int, data: bytes, line: bytes) -> None:
        if line[:6] == b"BEGIN:" and line[6:].decode(errors="replace") in PARTS:
            self._end(complete=False)
            self._block = Block(line[6:].decode(), number, self.calendars[-1])
            self.count += 1
        if self._block is None:
            self._name(data)
            return
        self._keep(data)
        if line == f"END:{self._block.kind}".encode():
            self._end(complete=True)

    def _keep(self, data: bytes) -> None:
        """Adds a line to the block; of one that is too long, only the beginning stays."""
        self._size += len(data)
        if self._size <= MAX_BLOCK:
            self._lines.append(data)
        elif self._block is not None and not self._block.fault:
            self._block.fault = f"is longer than {MAX_BLOCK} bytes"
            self._lines = [b"".join([*self._lines, data])[: 4 * MAX_SHOWN]]

    def _end(self, *, complete: bool) -> None:
        if self._block is not None:
            self._block.data = b"".join(self._lines)
            if not complete:
                self._block.fault = f"has no END:{self._block.kind}"
            self.calendars[-1].blocks.append(self._block)
        self._block = None
        self._lines = []
        self._size = 0

    def _name(self, data: bytes) -> None:
        name, _, value = data.partition(b":")
        if name.split(b";")[0].upper().decode(errors="replace") in _NAMES:
            self.calendars[-1].name = value.decode(errors="replace").strip().replace("\\,", ",").replace("\\;", ";")
