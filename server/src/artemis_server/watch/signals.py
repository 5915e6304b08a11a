"""Signals: what wakes the tail of a process when the log may have something new, and tells other processes.

Signals may be lost, or tell of nothing. The tail reads the log after each, and after POLL_INTERVAL without one.
"""

import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Protocol, cast

from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import InternalCaller
from artemis_server.db.connection.database import Database
from artemis_server.db.statements import driver_connection

POLL_INTERVAL = 1.0
"""Seconds after which the log is read without a signal, while somebody watches."""
FILE_INTERVAL = 0.05
"""Seconds between two looks for commits of other processes to a SQLite file, while somebody watches."""
NOTIFY_INTERVAL = 0.02
"""Seconds between two notifications of a process, at least."""
CHANNEL = "artemis_changes"
"""The channel of PostgreSQL's notifications."""
_BRIEF = InternalCaller(5.0)
_NOTIFY = f"SELECT set_config('synchronous_commit', 'off', true), pg_notify('{CHANNEL}', '')"
"""Notifies at once. The transaction writes nothing that would have to reach the disk."""


class Signals(Protocol):
    """Signals of one process. One thread waits for them, and any thread may call `committed` and `wake`."""

    def committed(self) -> None:
        """Is told of a commit of this process."""

    def wake(self) -> None:
        """Ends the wait."""

    def wait(self, timeout: float, *, watching: bool) -> bool:
        """Waits for a signal, for at most so many seconds. Returns whether there was one.

        While nobody watches, it waits until `wake` is called.
        """

    def close(self) -> None:
        """Lets go of what it has. The thread that waits calls it."""


def signals_of(database: Database) -> Signals:
    """Returns the signals of a database's engine."""
    return FileSignals(database) if database.dialect == "sqlite" else Notifications(database)


class FileSignals:
    """Signals of a SQLite file: other processes' commits change PRAGMA data_version of this one's connections."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._woken = threading.Event()
        self._watching = False
        self._version = 0

    def committed(self) -> None:
        """Is told of a commit of this process. While nobody watches, waking a thread for it would slow writes down."""
        if self._watching:
            self._woken.set()

    def wake(self) -> None:
        """Ends the wait."""
        self._woken.set()

    def wait(self, timeout: float, *, watching: bool) -> bool:
        """Waits as `Signals` has it."""
        if not watching:
            self._watching = False
            self._woken.wait()
        self._watching = True  # before the log is read: what is committed from then on is a signal
        end = time.monotonic() + timeout
        while not self._woken.wait(max(0.0, min(FILE_INTERVAL, end - time.monotonic()))):
            if self._has_changed():
                return True
            if time.monotonic() >= end:
                return False
        self._woken.clear()
        self._has_changed()  # or the commit that woke it would be another signal
        return True

    def close(self) -> None:
        """Does nothing."""

    def _has_changed(self) -> bool:
        version = self._version
        with suppress(Exception):  # the read of the log reports it
            self._version = self._database.poll(_data_version, _BRIEF)
        return version != self._version


class Notifications:
    """Signals of PostgreSQL: LISTEN and NOTIFY.

    The processes notify after their commits, because a transaction that notifies holds a lock of the whole cluster
    while it commits (PostgreSQL, "NOTIFY"). Behind PgBouncer in transaction mode nothing arrives, and the tail polls.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        """A byte sent to the second one ends a wait for the first. The thread that waits makes them."""
        self._committed = False
        self._notified = False
        self._notify_time = 0.0
        self._listening: Any = None
        """The driver's connection that listens."""

    def committed(self) -> None:
        """Is told of a commit of this process."""
        if not self._committed:
            self._committed = True
            self.wake()

    def wake(self) -> None:
        """Ends the wait."""
        if self._sockets is not None:
            with suppress(OSError):  # full, so it is awake anyway; or closed
                self._sockets[1].send(b"\0")

    def wait(self, timeout: float, *, watching: bool) -> bool:
        """Waits as `Signals` has it, and notifies other processes of the commits of this one."""
        if self._sockets is None:
            self._sockets = socket.socketpair()
            for each in self._sockets:
                each.setblocking(False)
            return True  # it may have been woken before
        reader = self._sockets[0]
        if not self._committed:
            self._listen(watching=watching)
            self._select(reader, (0.0 if self._notified else timeout) if watching else None)
        with suppress(BlockingIOError):
            while reader.recv(4096):
                pass
        woken = self._notified or self._committed
        self._notified = False
        if self._committed:
            self._notify()
        return woken

    def close(self) -> None:
        """Closes the sockets."""
        for each in self._sockets or ():
            each.close()

    def _select(self, reader: socket.socket, timeout: float | None) -> None:
        sources: list[Any] = [reader]
        if self._listening is not None:
            sources.append(self._listening)
        try:
            readable, _, _ = select.select(sources, (), (), timeout)
            if self._listening in readable:
                self._receive(self._listening.pgconn)
        except Exception:  # the connection is broken or closed; the next read opens another one
            self._listening = None

    def _receive(self, connection: Any) -> None:
        connection.consume_input()
        while (notification := connection.notifies()) is not None:
            self._notified |= notification.be_pid != connection.backend_pid

    def _listen(self, *, watching: bool) -> None:
        """Listens on the connection of this thread while somebody watches, and not on an idle one: nobody reads it."""

        def work(session: Session) -> None:
            driver = cast("Any", driver_connection(session))
            if watching == (driver is self._listening):
                return
            driver.execute(f"{'LISTEN' if watching else 'UNLISTEN'} {CHANNEL}").close()
            if watching:
                driver.add_notify_handler(self._note)
                self._notified = True  # what was committed before is no signal
            self._listening = driver if watching else None

        if watching or self._listening is not None:
            try:
                self._database.poll(work, _BRIEF)
            except Exception:
                self._listening = None

    def _note(self, notification: Any) -> None:
        """Takes a notification that came with the answer to a statement."""
        if self._listening is not None:
            self._notified |= notification.pid != self._listening.pgconn.backend_pid

    def _notify(self) -> None:
        """Tells other processes of the commits so far, and of those in a moment if the last time is too short ago."""
        time.sleep(max(0.0, self._notify_time + NOTIFY_INTERVAL - time.monotonic()))
        self._committed = False
        with suppress(Exception):  # they poll
            self._database.poll(lambda session: driver_connection(session).execute(_NOTIFY).close(), _BRIEF)
        self._notify_time = time.monotonic()


def _data_version(session: Session) -> int:
    cursor = driver_connection(session).execute("PRAGMA data_version")
    (version,) = cursor.fetchone() or (0,)
    cursor.close()
    return int(version)
