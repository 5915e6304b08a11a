"""Readers: a thread that reads the log for the watchers that are behind, a page at a time for each in turn."""

import logging
import threading
from queue import SimpleQueue

from sqlalchemy.orm import Session

from artemis_server.db.changes.records import Page
from artemis_server.db.connection.cancellation import InternalCaller
from artemis_server.db.connection.database import Database
from artemis_server.errors import OutOfRange, RequestError, Unavailable
from artemis_server.watch.entries import entries
from artemis_server.watch.hub import Hub
from artemis_server.watch.log import Log
from artemis_server.watch.watcher import Ended, Watcher

THREADS = 1
"""Threads, each with a connection. Two would share the interpreter's lock."""
MAX_ROWS = 500
"""Changes of a page, about."""
PATIENT = InternalCaller(30.0)
"""The caller who reads a page."""

log = logging.getLogger(__name__)


class Readers:
    """Reads pages for watchers."""

    def __init__(self, database: Database, changes: Log) -> None:
        self._database = database
        self._changes = changes
        self._queue: SimpleQueue[Watcher | None] = SimpleQueue()
        self._hub: Hub
        self._threads = [
            threading.Thread(target=self._run, name=f"watch-reader-{number}", daemon=True) for number in range(THREADS)
        ]

    def start(self, hub: Hub) -> None:
        """Starts the threads, which give the pages to a hub."""
        self._hub = hub
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends each thread after its present page."""
        for _ in self._threads:
            self._queue.put(None)

    def put(self, watcher: Watcher) -> None:
        """Reads the next page for a watcher, once a thread is free."""
        self._queue.put(watcher)

    def _run(self) -> None:
        while (watcher := self._queue.get()) is not None:
            if not watcher.ended:
                self._read(watcher)

    def _read(self, watcher: Watcher) -> None:
        try:
            page = self._database.read(lambda session: self._page(session, watcher), PATIENT)
            self._changes.token(page.position)  # whose key may have to be read, which only these threads may wait for
            self._hub.deliver(watcher, entries(page), page.position, at_end=page.at_end)
        except OutOfRange as error:
            self._hub.fail(watcher, error, Ended.EXPIRED)
        except RequestError as error:
            self._hub.fail(watcher, error, Ended.FAILED)
        except Exception:
            log.exception("a watch cannot go on")
            self._hub.fail(watcher, _FAILED, Ended.FAILED)

    def _page(self, session: Session, watcher: Watcher) -> Page:
        if watcher.position is None:
            return Page(transactions=[], position=self._changes.end(session), at_end=True)
        return self._changes.read(session, watcher.position, MAX_ROWS)


_FAILED = Unavailable("WATCH_FAILED", "the changes cannot be read; resume the watch")
