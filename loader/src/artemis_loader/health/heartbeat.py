"""The heartbeat: a file that the scheduler's own thread touches, so that another process sees that it still runs.

The last beat is the time of the last change of the file. The text of the file is the time of the first beat.
"""

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MAX_SILENCE = 60.0
"""Seconds without a beat after which the scheduler counts as stopped. `schedule` beats six times in that time."""

log = logging.getLogger(__name__)


def path_of(config: Path) -> Path:
    """Returns the file of the loader that runs with a configuration, in the folder for temporary files (TMPDIR)."""
    key = hashlib.sha256(os.fsencode(config.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"artemis-loader-{key}.heartbeat"


@dataclass(frozen=True, kw_only=True)
class Beats:
    """The first and the last beat of a loader that runs, or was killed."""

    first: datetime
    last: datetime


def read(path: Path) -> Beats | None:
    """Returns the beats; None if there is no file, so no loader runs."""
    try:
        last = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        text = path.read_text(encoding="ascii")
    except OSError:
        return None
    try:
        return Beats(first=datetime.fromisoformat(text), last=last)
    except ValueError:
        return Beats(first=last, last=last)


class Heartbeat:
    """Writes the file. A failure is logged once: the feeds are loaded all the same."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first = datetime.now(UTC)
        self._failed = False

    def beat(self) -> None:
        """Sets the time of the last beat to now."""
        try:
            try:
                os.utime(self._path)
            except FileNotFoundError:  # the first beat, or somebody has cleaned up
                self._write()
        except OSError as error:
            if not self._failed:
                log.warning("cannot write %s, so health will find no loader: %s", self._path, error.strerror)
            self._failed = True

    def start(self) -> None:
        """Beats for the first time; a file that a killed loader left is replaced."""
        self.end()
        self.beat()

    def end(self) -> None:
        """Removes the file."""
        with suppress(OSError):
            self._path.unlink()

    def _write(self) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(self._first.isoformat())
