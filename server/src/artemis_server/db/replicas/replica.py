"""One replica: its connections, and a thread that asks how much of the log the node has replayed."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from artemis_models import describe, hosts_of
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import Caller, InternalCaller, StatementEnded, statement_timeout
from artemis_server.db.connection.sessions import ThreadSessions
from artemis_server.db.connection.turn import Turn
from artemis_server.db.replicas.positions import SYSTEM, LogPosition, unsigned
from artemis_server.db.statements import Row, driver_connection

T = TypeVar("T")
FAST, SLOW = 0.01, 0.5
"""Seconds between two questions: while reads ask for more than the replica had, and else."""
FAST_TIME = 0.1
"""Seconds for which such a read makes the questions fast."""
_PATIENT = InternalCaller(1.0)
"""The caller of the questions, which waits for a second: a node that works answers within it."""
_NODE = "artemis_node"
"""The key in `Session.info` of the time when a session's node was started."""
_ASK_NODE = "SELECT pg_postmaster_start_time()"
_ASK_STANDING = f"""\
SELECT pg_postmaster_start_time(), pg_is_in_recovery(),
    {SYSTEM},
    GREATEST((SELECT timeline_id FROM pg_control_checkpoint()), (SELECT received_tli FROM pg_stat_wal_receiver)),
    (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint"""  # noqa: S608, a constant
"""Everybody may see the timeline of the last checkpoint. That of the receiver is newer after a failover, and only roles
with pg_read_all_stats see it. An old one is safe, since a replica is used only on the timeline of the primary."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The position that a node has reached. It never goes back while the node runs, so an old standing is cautious."""

    node: datetime
    """The time when the node was started. After a crash a node may have replayed less than before."""
    position: LogPosition


class UnusableError(Exception):
    """The node is not a standby that can answer reads; the text says why."""


class PrimaryError(UnusableError):
    """The node is a primary."""


class _OtherNodeError(Exception):
    """The connection does not lead to the node whose standing is known."""


class Replica:
    """Answers reads on one standby. Make it after the process was forked, and `start` it once.

    `primary` returns the position of the primary, None while it is not known.
    """

    def __init__(self, engine: Engine, primary: Callable[[], LogPosition | None]) -> None:
        self._engine = engine
        self._primary = primary
        self._sessions = ThreadSessions(engine, Turn())
        ((host, port),) = hosts_of(engine)
        self._name = f"{host}:{port}"
        self._problem: str | None = ""
        self._fast_until = 0.0
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="replica", daemon=True)
        self.standing: Standing | None = None
        """None while the replica must not be used."""

    def start(self) -> None:
        """Asks the node again and again from now on."""
        self._thread.start()

    def run(self, work: Callable[[Session], T], caller: Caller, standing: Standing) -> T:
        """Returns what `work` returns on the node that has this standing.

        Raises:
            StatementEnded: the caller's time is up, or the server stops.
            Exception: anything else; the replica is not used until it has answered a question again.
        """

        def on_node(session: Session) -> T:
            if _node_of(session) != standing.node:
                raise _OtherNodeError
            return work(session)

        return self._sessions.run(on_node, caller)

    def doubt(self) -> None:
        """Uses the replica no more until it has answered a question."""
        self.standing = None
        self.hurry()

    def hurry(self) -> None:
        """Asks fast for a while, because a read asks for more than the replica had."""
        self._fast_until = time.monotonic() + FAST_TIME
        self._asked.set()

    def check(self) -> Standing:
        """Returns the standing of the node. Raises an exception, which `explain` explains, if it cannot be used."""
        return self._judge(*self._sessions.run(_ask, _PATIENT))

    def explain(self, error: Exception) -> str:
        """Returns the reason of an error in one line, which names the replica."""
        if isinstance(error, StatementEnded):
            error = UnusableError(f"it does not answer within {statement_timeout(_PATIENT):g} s")
        return describe(error, self._engine).replace("cannot use", "cannot use the replica", 1)

    def interrupt(self) -> None:
        """Ends the questions and the statements of every caller, and refuses further callers."""
        self._stopping.set()
        self._asked.set()
        self._sessions.interrupt()

    def close(self, timeout: float) -> None:
        """Ends the thread and closes every connection, within so many seconds."""
        self.interrupt()
        self._sessions.close(timeout)
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._engine.dispose()

    def look(self) -> None:
        """Asks the node. One that does not answer loses the callers that wait for it; they go to the primary."""
        try:
            self.standing = self.check()
            self._sessions.mark_responsive()
            problem = None
        except Exception as error:
            self.standing = None
            if not isinstance(error, UnusableError):
                self._sessions.disconnect()
            problem = self.explain(error)
        if problem != self._problem and not self._stopping.is_set():
            self._problem = problem
            if problem is None:
                log.info("reads may go to the replica %s", self._name)
            else:
                log.warning("%s; reads go to the primary", problem)

    def _watch(self) -> None:
        while not self._stopping.wait(FAST):
            if time.monotonic() >= self._fast_until:
                self._asked.wait(SLOW)
            self._asked.clear()
            if not self._stopping.is_set():
                self.look()

    def _judge(self, node: datetime, in_recovery: bool, system: int, timeline: int, lsn: int) -> Standing:
        """Returns the standing of a node that answered this. Raises UnusableError if it must not be used."""
        if not in_recovery:
            raise PrimaryError("it is a primary")
        before, primary = self.standing, self._primary()
        if before is not None and before.node == node:
            timeline = max(timeline, before.position.timeline)  # the receiver may be gone, and its timeline with it
        position = LogPosition(unsigned(system), timeline, lsn)
        if primary is not None and primary.system != position.system:
            raise UnusableError("it belongs to another cluster than the primary, or is another database")
        if primary is not None and not position.is_on_branch_of(primary):
            raise UnusableError(f"it is on timeline {timeline}, and the primary is on {primary.timeline}")
        return Standing(node=node, position=position)


def _ask(session: Session) -> Row:
    row: Row | None = driver_connection(session).execute(_ASK_STANDING).fetchone()
    assert row is not None  # noqa: S101, for the type checker
    session.info[_NODE] = row[0]
    return row


def _node_of(session: Session) -> datetime:
    """Returns the start of the node that a session leads to."""
    node: datetime | None = session.info.get(_NODE)
    if node is None:
        row = driver_connection(session).execute(_ASK_NODE).fetchone()
        assert row is not None  # noqa: S101, for the type checker
        node = session.info[_NODE] = row[0]
    return node
