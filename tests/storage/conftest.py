"""Fixtures that make pieces of work meet in one group of the writer, without waiting for time to pass."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

import pytest
from artemis_server.db.connection import sqlite_writer
from artemis_server.db.connection.database import Database
from sqlalchemy import Engine
from sqlalchemy.orm import Session

PATIENCE = 60.0  # seconds after which a test is stuck
T = TypeVar("T")


class CountingQueue(SimpleQueue[Any]):
    """The writer's queue, which tells when something was put into it."""

    arrivals: threading.Semaphore

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self.arrivals.release()


class Queueing:
    """Queues work up behind a piece that blocks the writer, so that it is committed as one group."""

    def __init__(self, database: Database, arrivals: threading.Semaphore) -> None:
        self._database = database
        self._arrivals = arrivals

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Keeps the writer busy; the queue is empty to begin with."""
        started, finish = threading.Event(), threading.Event()

        def block(_: Session) -> bool:
            started.set()
            return finish.wait(PATIENCE)

        with ThreadPoolExecutor(1) as blocker:
            blocking = blocker.submit(self._database.write, block)
            assert started.wait(PATIENCE)
            try:
                yield
            finally:
                finish.set()
            assert blocking.result(PATIENCE)

    def submit(self, executor: ThreadPoolExecutor, call: Callable[[], T]) -> "Future[T]":
        """Makes the call in another thread, and returns when it has put something into the queue."""
        while self._arrivals.acquire(blocking=False):
            pass
        future = executor.submit(call)
        assert self._arrivals.acquire(timeout=PATIENCE)
        return future

    def write(self, executor: ThreadPoolExecutor, work: Callable[[Session], T]) -> "Future[T]":
        """Writes in another thread, and returns when the work is in the queue."""
        return self.submit(executor, lambda: self._database.write(work))

    def group(self, *pieces: Callable[[Session], Any]) -> "Sequence[Future[Any]]":
        """Returns what became of the pieces, which the writer ran in this order and in one transaction."""
        with ThreadPoolExecutor(len(pieces)) as executor, self.blocked():
            return [self.write(executor, work) for work in pieces]


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Is released whenever something is put into a writer's queue."""
    semaphore = threading.Semaphore(0)

    def make() -> CountingQueue:
        queue = CountingQueue()
        queue.arrivals = semaphore
        return queue

    monkeypatch.setattr(sqlite_writer, "SimpleQueue", make)
    return semaphore


@pytest.fixture
def database(arrivals: threading.Semaphore, engine: Engine) -> Iterator[Database]:  # noqa: ARG001, it must come first
    """An open database, whose writer's queue counts."""
    database = Database(engine)
    yield database
    database.close()


GROUPS = {"sqlite"}
"""The engines with the capability to commit work in groups; others have many writers, and need none."""


@pytest.fixture
def queueing(arrivals: threading.Semaphore, engine: Engine, database: Database) -> Queueing:
    """Groups for the writer of `database`."""
    if engine.dialect.name not in GROUPS:
        pytest.skip("this engine does not commit in groups: each thread has a transaction of its own")
    return Queueing(database, arrivals)
