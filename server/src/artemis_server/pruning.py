"""Deletes what is older than the time that it is kept for: stored responses of requests with an id, and changes."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from artemis_server.db import times
from artemis_server.db.changes import log as change_log
from artemis_server.db.connection.database import Database
from artemis_server.db.idempotency import KEPT, prune
from artemis_server.errors import RequestError

PRUNE_INTERVAL = 600.0
"""Seconds between two rounds, at most."""

log = logging.getLogger(__name__)


class Pruner:
    """Prunes when it is started, and every PRUNE_INTERVAL seconds after that.

    `retention` is for how many seconds changes are kept. Before it prunes them, it repairs their log if it was restored
    into another cluster of PostgreSQL.
    """

    def __init__(self, database: Database, retention: float) -> None:
        self._database = database
        self._retention = retention
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruner")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Ends the thread; waits for its transaction for at most `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.prune()
            self._stopping.wait(min(PRUNE_INTERVAL, self._retention))

    def prune(self) -> None:
        """Prunes once."""
        now = times.now()
        self._repeat("remove expired responses", partial(prune, before=now - KEPT))
        self._repeat("number the changes of a restored database anew", _renumber)
        self._repeat(
            "remove expired changes", partial(change_log.prune, before=now - round(self._retention * times.MICROS))
        )

    def _repeat(self, purpose: str, work: Callable[[Session], Any]) -> None:
        """Does the work in small transactions while it has an effect, so that others can write between them.

        The next round retries a failure.
        """
        try:
            while self._database.write(work) and not self._stopping.is_set():
                pass
        except RequestError as error:
            log.warning("cannot %s: %s", purpose, error.message)
        except Exception:
            log.exception("cannot %s", purpose)


def _renumber(session: Session) -> bool:
    renumbered = change_log.renumber(session)
    if renumbered:
        log.warning("the log of changes came from another cluster: clients that watch list the events again")
    return renumbered
