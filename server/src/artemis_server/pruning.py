"""Removes what is kept for a time only: the responses to requests that had an id."""

import logging
import threading
from functools import partial

from artemis_server.db import times
from artemis_server.db.connection.database import Database
from artemis_server.db.idempotency import KEPT, prune
from artemis_server.errors import RequestError

PERIOD = 600.0  # seconds
PATIENCE = 5.0  # seconds

log = logging.getLogger(__name__)


class Pruner:
    """Prunes when it is started, and from then on every PERIOD seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruner")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after the transaction that it is in, if that ends soon."""
        self._stopping.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._prune()
            self._stopping.wait(PERIOD)

    def _prune(self) -> None:
        """Prunes in small transactions, between which others write. What fails is tried again next time."""
        work = partial(prune, before=times.now() - KEPT)
        try:
            while self._database.write(work) and not self._stopping.is_set():
                pass
        except RequestError as error:
            log.warning("cannot remove expired responses: %s", error.message)
        except Exception:
            log.exception("cannot remove expired responses")
