"""Deletes the stored responses of requests with an id, once they are older than the time they are kept for."""

import logging
import threading
from functools import partial

from artemis_server.db import times
from artemis_server.db.connection.database import Database
from artemis_server.db.idempotency import KEPT, prune
from artemis_server.errors import RequestError

PRUNE_INTERVAL = 600.0
"""Seconds between two rounds."""

log = logging.getLogger(__name__)


class Pruner:
    """Prunes when it is started, and every PRUNE_INTERVAL seconds after that."""

    def __init__(self, database: Database) -> None:
        self._database = database
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
            self._prune()
            self._stopping.wait(PRUNE_INTERVAL)

    def _prune(self) -> None:
        """Prunes in small transactions, so that others can write between them. The next round retries a failure."""
        work = partial(prune, before=times.now() - KEPT)
        try:
            while self._database.write(work) and not self._stopping.is_set():
                pass
        except RequestError as error:
            log.warning("cannot remove expired responses: %s", error.message)
        except Exception:
            log.exception("cannot remove expired responses")
