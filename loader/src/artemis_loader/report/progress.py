"""The progress of a load: a bar on a terminal, a log line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

log = logging.getLogger(__name__)
INTERVAL = 10.0
"""Seconds between log lines."""


class Reporter:
    """Takes the progress of one load, and shows nothing. Subclasses show it."""

    def start(self, feed: str, size: int) -> None:
        """Begins to read files of `size` bytes together."""

    def bytes_read(self, count: int) -> None:
        """Adds to the bytes that have been read."""

    def records_read(self, count: int) -> None:
        """Tells how many records have been read so far."""

    def step(self, text: str) -> None:
        """Tells what the load does now."""


class LogReporter(Reporter):
    """Writes a log line every `INTERVAL` seconds, and one for each step."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + INTERVAL
        self._feed = ""

    def start(self, feed: str, size: int) -> None:
        """Begins to read."""
        self._feed = feed
        log.info("feed %s: reading %d bytes", feed, size)

    def records_read(self, count: int) -> None:
        """Logs when it is time to."""
        now = self._clock()
        if now >= self._next:
            self._next = now + INTERVAL
            log.info("feed %s: %d records read", self._feed, count)

    def step(self, text: str) -> None:
        """Logs the step."""
        log.info("feed %s: %s", self._feed, text)


class _Bar(Reporter):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, records=0)

    def start(self, feed: str, size: int) -> None:
        self._progress.update(self._task, description=f"{feed}: reading", total=size or None)

    def bytes_read(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def records_read(self, count: int) -> None:
        self._progress.update(self._task, records=count)

    def step(self, text: str) -> None:
        self._progress.update(self._task, description=text)


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Lends the reporter for stderr: a bar on a terminal, log lines elsewhere."""
    if not sys.stderr.isatty():
        yield LogReporter()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[records]:,} records"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)
