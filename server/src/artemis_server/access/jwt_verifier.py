"""Checks JWTs. One that was checked before is found at once; any other is checked on a thread, which takes a while."""

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue

from artemis_server.access import key_sets
from artemis_server.access.files import INTERVAL, Watched
from artemis_server.access.key_sets import InvalidJwtError, Rules, UnknownKeyError
from artemis_server.access.principal import Principal

REFRESH_INTERVAL = 30.0
"""Seconds between two reads of a URL; for a file it is INTERVAL. A key that is gone is of no use from then on."""
MIN_INTERVAL = 5.0
"""Seconds between two reads that callers cause, because their JWTs name unknown keys."""
MAX_QUEUE = 256
"""JWTs that may wait for their check. As many more may wait for new keys."""
MAX_WAITS = 2
"""Times that a JWT waits for keys. The first read may have begun before the JWT came, so it may miss a new key."""

OnResult = Callable[[Principal | None], None]
"""Gets the principal, or None if the JWT is not valid."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    token: str
    digest: bytes
    on_result: OnResult
    waits: int = 0
    """Times that it has waited for keys."""


class JwtVerifier:
    """Checks JWTs by the keys of the issuer, with two threads: one checks JWTs, and one loads the keys."""

    def __init__(self, source: str, rules: Rules) -> None:
        """Raises: SettingsError, if the keys cannot be loaded."""
        self._rules = rules
        self._keys = Watched(
            "the keys of JWTs", lambda: (key_sets.load(source),), lambda all_: key_sets.parse(all_[0], source)
        )
        self._interval = REFRESH_INTERVAL if key_sets.is_remote(source) else INTERVAL
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._parked: list[_Job] = []
        """Jobs whose key is unknown, and which wait for new keys."""
        self._lock = threading.Lock()
        self._looked = -math.inf
        self._refresh = threading.Event()
        self._stopping = False
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("jwt", self._check_all), ("jwt-keys", self._refresh_keys))
        ]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads."""
        self._stopping = True
        self._queue.put(None)
        self._refresh.set()

    def find(self, token: str) -> Principal | None:
        """Returns the principal of a JWT that was checked before; None for any other."""
        return self._keys.value.find(_digest(token))

    def verify(self, token: str, on_result: OnResult) -> bool:
        """Checks a JWT on another thread, which calls `on_result`. Returns False if too many wait for that."""
        if self._queue.qsize() >= MAX_QUEUE:
            return False
        self._queue.put(_Job(token, _digest(token), on_result))
        return True

    def refresh(self) -> None:
        """Loads the keys, and puts the parked jobs back into the queue."""
        with self._lock:
            asked = bool(self._parked)
        self._keys.refresh()
        with self._lock:
            parked, self._parked = self._parked, []
            if asked:
                self._looked = time.monotonic()
        for job in parked:
            self._queue.put(replace(job, waits=job.waits + 1))

    def _refresh_keys(self) -> None:
        due = -math.inf
        while not self._stopping:
            if self._parked or time.monotonic() >= due:
                try:
                    self.refresh()
                except Exception:
                    log.exception("the keys of JWTs cannot be refreshed")
                due = time.monotonic() + self._interval
            self._refresh.wait(max(0.0, due - time.monotonic()))
            self._refresh.clear()

    def _check_all(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._check(job)
            except Exception:
                log.exception("a JWT cannot be checked")

    def _check(self, job: _Job) -> None:
        keys = self._keys.value
        principal = None
        try:
            principal = keys.find(job.digest) or keys.verify(job.token, job.digest, self._rules)
        except UnknownKeyError:
            if self._park(job):
                return
            log.debug("refused a JWT: its key is unknown")
        except InvalidJwtError as error:
            log.debug("refused a JWT: %s", error)
        job.on_result(principal)

    def _park(self, job: _Job) -> bool:
        """Lets a job wait for new keys. Returns False if it has waited enough, or the keys were just loaded."""
        with self._lock:
            recent = time.monotonic() - self._looked < MIN_INTERVAL
            if job.waits == MAX_WAITS or recent or len(self._parked) >= MAX_QUEUE:
                return False
            self._parked.append(job)
        self._refresh.set()
        return True


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
