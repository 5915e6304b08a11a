"""Writers on both clients, whose server is killed and started again: no write may be lost or made twice."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from artemis_client import ArtemisClient, AsyncArtemisClient

from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, serving

WRITERS = 4
"""Writers on each client."""
WRITES = 20
"""Writes between two kills, at least."""


@dataclass
class Written:
    """The names of the events whose creation was answered."""

    names: list[str] = field(default_factory=list)
    writers: "list[Future[None]]" = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _done: bool = False

    def add(self, name: str) -> bool:
        """Notes a write, and tells whether another one is to follow."""
        with self._changed:
            self.names.append(name)
            self._changed.notify_all()
            return not self._done

    def wait_for_more(self) -> None:
        """Waits until so many more writes are answered."""
        with self._changed:
            goal = len(self.names) + WRITES
            assert self._changed.wait_for(lambda: len(self.names) >= goal, PATIENCE)

    def end(self) -> None:
        """Lets the writers end after the write that they are at."""
        self._done = True

    def all(self) -> list[str]:
        """Waits for the writers, none of which may have failed, and returns the names in order."""
        for writer in self.writers:
            writer.result(PATIENCE)
        return sorted(self.names)


def killed(database: Path, kills: int) -> tuple[list[str], list[str]]:
    """Kills a server so many times while writers write.

    Returns:
        The names of the events whose creation was answered, and those of the events that are there, in order.
    """
    with serving(database) as server, ExitStack() as restarted, writing(server.target) as written:
        running, target = server, server.target
        for _ in range(kills):
            written.wait_for_more()
            running.kill()
            running = restarted.enter_context(serving(database, listen=target))
        written.wait_for_more()
        written.end()
        answered = written.all()
        with ArtemisClient(target) as client:
            return answered, sorted(each.name for each in client.events.list(page_size=1000))


@contextmanager
def writing(target: str) -> Iterator[Written]:
    """Writes on both clients."""
    written = Written()
    with ArtemisClient(target) as client, ThreadPoolExecutor(WRITERS + 1) as pool:
        written.writers = [pool.submit(_write, client, written, f"thread {each}") for each in range(WRITERS)]
        written.writers.append(pool.submit(asyncio.run, _write_in_tasks(target, written)))
        try:
            yield written
        finally:
            written.end()


def _write(client: ArtemisClient, written: Written, writer: str) -> None:
    for number in count():
        name = f"{writer}, event {number}"
        client.events.create(event(name=name))
        if not written.add(name):
            return


async def _write_in_tasks(target: str, written: Written) -> None:
    async with AsyncArtemisClient(target) as client, asyncio.TaskGroup() as tasks:
        for each in range(WRITERS):
            tasks.create_task(_write_async(client, written, f"task {each}"))


async def _write_async(client: AsyncArtemisClient, written: Written, writer: str) -> None:
    for number in count():
        name = f"{writer}, event {number}"
        await client.events.create(event(name=name))
        if not written.add(name):
            return
