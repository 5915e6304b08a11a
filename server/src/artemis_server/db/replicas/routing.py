"""Routing: a read goes to a replica that is known to have what its caller has seen, and else to the primary."""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeVar

from artemis_models import DatabaseError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import Caller, InternalCaller, StatementEnded
from artemis_server.db.connection.observer import Observer
from artemis_server.db.replicas.positions import LogPosition, ask_inserted, position_of, tell
from artemis_server.db.replicas.replica import PrimaryError, Replica, Standing
from artemis_server.errors import RequestError

T = TypeVar("T")
Run = Callable[[Callable[[Session], T], Caller], T]
"""Runs work for a caller on the primary."""

log = logging.getLogger(__name__)


class Replicas:
    """The replicas of one database. Make it after the process was forked.

    A read without a position, and one in doubt, goes to the primary. So does one that failed on a replica, whatever the
    error: an answer of a replica counts only if it is one.
    """

    def __init__(self, engines: Sequence[Engine], observer: Observer | None = None) -> None:
        """Takes an engine for each replica. It disposes of them when it is closed."""
        self._observer = observer or Observer()
        self._primary: LogPosition | None = None
        self._replicas = [Replica(engine, lambda: self._primary) for engine in engines]
        self._turns = count()

    def start(self) -> None:
        """Asks the replicas again and again from now on. Before, none is used."""
        for replica in self._replicas:
            replica.start()

    def run(self, work: Callable[[Session], T], caller: Caller, on_primary: "Run[T]") -> T:
        """Returns what `work` returns, on a replica or else on the primary.

        Raises:
            StatementEnded: on a replica, the caller's time was up, or the server stops.
            Exception: what `on_primary` raises.
        """
        if isinstance(caller, InternalCaller):
            return on_primary(work, caller)
        seen, primary = position_of(caller), self._primary
        if seen is None:
            return self._leave("no_position", work, caller, on_primary)
        if primary is not None and not seen.is_on_branch_of(primary):
            result = self._leave("outdated", work, caller, on_primary)
            tell(caller, primary)  # after whatever is left of an older timeline
            return result
        found = self._choose(seen)
        if found is None:
            follows = primary is not None and any(replica.standing for replica in self._replicas)
            return self._leave("behind" if follows else "unavailable", work, caller, on_primary)
        replica, standing = found
        try:
            result = replica.run(work, caller, standing)
        except StatementEnded:
            raise
        except Exception as error:
            log.debug("a read is repeated on the primary: %s", error)
            if not isinstance(error, RequestError):
                replica.doubt()
            return self._leave("failed", work, caller, on_primary)
        self._observer.routed("replica")
        return result

    def note_write(self, session: Session, caller: Caller) -> None:
        """Tells the caller the position of all that was committed until now. Call it after the commit, on its session.

        Raises:
            Exception: the error of the driver. The write is committed, and its position is not known.
        """
        tell(caller, self.note_primary(session))

    def note_primary(self, session: Session) -> LogPosition:
        """Takes note of the position of the primary, which the session leads to, and returns it."""
        found, known = ask_inserted(session), self._primary
        if known is None or known.system != found.system or known < found:
            self._primary = found
        return found

    def check(self) -> None:
        """Raises DatabaseError, in one line, if a replica cannot be used.

        One of several may be the primary: the URLs may name every node, any of which may be promoted.
        """
        failures: list[tuple[Replica, Exception]] = []
        for replica in self._replicas:
            try:
                replica.check()
            except Exception as error:
                failures.append((replica, error))
        grave = [failure for failure in failures if not isinstance(failure[1], PrimaryError)]
        if grave or len(failures) == len(self._replicas):
            failed, cause = (grave or failures)[0]
            raise DatabaseError(failed.explain(cause)) from cause

    def usable(self) -> int:
        """Returns how many replicas may be used."""
        return sum(replica.standing is not None for replica in self._replicas)

    def lag(self) -> int:
        """Returns by how many bytes of the log the slowest replica that may be used is behind what is known here."""
        primary = self._primary
        standings = [replica.standing for replica in self._replicas]
        behind = [primary.lsn - each.position.lsn for each in standings if each is not None and primary is not None]
        return max(0, *behind, 0)

    def interrupt(self) -> None:
        """Ends the statements of every caller, and refuses further callers."""
        for replica in self._replicas:
            replica.interrupt()

    def close(self, timeout: float) -> None:
        """Closes every connection, within so many seconds."""
        end = time.monotonic() + timeout
        self.interrupt()
        for replica in self._replicas:
            replica.close(max(0.0, end - time.monotonic()))

    def _leave(self, why: str, work: Callable[[Session], T], caller: Caller, on_primary: "Run[T]") -> T:
        self._observer.routed(why)
        return on_primary(work, caller)

    def _choose(self, required: LogPosition) -> tuple[Replica, Standing] | None:
        """Returns a replica that has reached a position, one after the other if there are several."""
        first = next(self._turns)
        for number in range(len(self._replicas)):
            replica = self._replicas[(first + number) % len(self._replicas)]
            standing = replica.standing
            if standing is not None and standing.position.is_on_branch_of(required):
                if standing.position.lsn >= required.lsn:
                    return replica, standing
                replica.hurry()
        return None
