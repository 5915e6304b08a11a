"""The tail: one thread of a process reads what is new in the log, for all watchers that are at its end."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping

from sqlalchemy.orm import Session

from artemis_server.db.changes.records import Page, Position
from artemis_server.db.connection.database import Database
from artemis_server.db.statements import snapshot
from artemis_server.errors import OutOfRange, RequestError
from artemis_server.watch.entries import entries
from artemis_server.watch.hub import Hub
from artemis_server.watch.log import Log
from artemis_server.watch.readers import MAX_ROWS, PATIENT
from artemis_server.watch.signals import POLL_INTERVAL, Signals
from artemis_server.watch.watcher import Ended

PAUSE = 0.00025
"""Seconds for each watcher between two reads of the log: a message to each of them costs some 0.1 ms of CPU, so that
they leave time for other calls, and what is committed meanwhile shares a message."""
MAX_PAUSE = 0.1
"""Seconds between two reads at most."""
RETRY_INTERVAL = 0.02
"""Seconds after which the tail reads again when it was woken and found nothing: on PostgreSQL a transaction is visible
before all that precede it have ended. It doubles up to the interval of the poll."""

log = logging.getLogger(__name__)


class Tail:
    """Follows the log while somebody watches."""

    def __init__(self, database: Database, changes: Log, hub: Hub, signals: Signals) -> None:
        self._database = database
        self._changes = changes
        self._hub = hub
        self._signals = signals
        self._stopping = threading.Event()
        self._stop_at = 0.0
        self._at_end_time = time.monotonic()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="watch-tail", daemon=True)

    @property
    def lag(self) -> float:
        """Seconds since it was at the end of the log; 0 while nobody watches."""
        return time.monotonic() - self._at_end_time if len(self._hub) else 0.0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Reads the log to its end, or for so many seconds, and ends the thread."""
        self._stop_at = time.monotonic() + seconds
        self._stopping.set()
        self._signals.wake()
        if self._thread.is_alive():
            self._thread.join(seconds + 1.0)

    def _run(self) -> None:
        retry = RETRY_INTERVAL
        while not self._stopping.is_set():
            woken = self._signals.wait(min(retry, POLL_INTERVAL), watching=len(self._hub) > 0)
            if self._stopping.is_set():
                break
            found = self._follow()
            retry = RETRY_INTERVAL if woken or found else 2 * retry
            if found:
                self._stopping.wait(min(MAX_PAUSE, PAUSE * len(self._hub)))
        self._follow()
        self._signals.close()

    def _follow(self) -> bool:
        """Reads up to the end of the log. Returns False if there was nothing new."""
        found = False
        while len(self._hub) and not (self._stopping.is_set() and time.monotonic() > self._stop_at):
            try:
                page, pages = self._database.read(self._read, PATIENT)
            except OutOfRange as error:
                self._fail_all(error)
                return True
            except Exception as error:
                self._report(error)
                return found
            self._failing = False
            found |= self._publish(page, pages)
            if page is None or page.at_end:
                self._at_end_time = time.monotonic()
                return found
            self._hub.wait_for_room(self._stopping.is_set)
        return found

    def _read(self, session: Session) -> tuple[Page | None, Mapping[Position, Page]]:
        """Returns the next page of the log; at its end also what each position needs at which a watcher wants to join.

        All of it is read from one snapshot.
        """
        # Before the snapshot, so that none of them is beyond it.
        joining = {watcher.position for watcher in self._hub.joining() if watcher.position is not None}
        with snapshot(session):
            return self._read_snapshot(session, joining)

    def _read_snapshot(
        self, session: Session, joining: Iterable[Position]
    ) -> tuple[Page | None, Mapping[Position, Page]]:
        position = self._hub.position
        page: Page | None = None
        if position is not None:
            page = self._changes.read(session, position, MAX_ROWS)
        pages: dict[Position, Page] = {}
        if page is None or page.at_end:
            pages = {each: self._changes.read(session, each, MAX_ROWS) for each in joining}
        return page, pages

    def _publish(self, page: Page | None, pages: Mapping[Position, Page]) -> bool:
        found = False
        if page is not None:
            self._hub.publish(entries(page), page.position)
            found = bool(page.transactions)
        for watcher in self._hub.joining():
            own = None if watcher.position is None else pages.get(watcher.position)
            if own is not None:
                found |= bool(own.transactions)
                found |= self._hub.join(watcher, entries(own), own.position, at_end=own.at_end)
        return found

    def _fail_all(self, error: RequestError) -> None:
        """Ends all watchers: the log is not the one that they have followed."""
        log.warning("the log of changes is another one: %s", error.message)
        for watcher in self._hub.all():
            self._hub.fail(watcher, error, Ended.EXPIRED)

    def _report(self, error: Exception) -> None:
        """Logs an error, unless the last attempt had one already. The next poll tries again."""
        if not self._failing:
            self._failing = True
            text = error.message if isinstance(error, RequestError) else repr(error)
            log.warning("watches wait for the database: %s", text)
