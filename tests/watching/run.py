"""A run: writers change events, and watchers that disconnect at random follow them on two servers."""

import random
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import Event, WatchEventsRequest

from tests.e2e.servers import PATIENCE, serving
from tests.watching.history import Committed, Received, Transaction, Write, broken_promises, write_of
from tests.watching.writers import TIMEOUT, Writer, event, writers

WATCHERS = 8
MIN_STREAM, MAX_STREAM = 0.1, 1.0
"""Seconds that a stream lasts before its client leaves."""
_LAST = "the last write"


@dataclass(frozen=True, kw_only=True)
class Run:
    """The outcome of a run."""

    committed: Sequence[Transaction]
    watchers: Sequence[Received]
    table: Sequence[Event]

    def problems(self) -> list[str]:
        """Returns what is wrong with what the watchers received."""
        return [problem for each in self.watchers for problem in broken_promises(each, self.committed, self.table)]

    def line(self) -> str:
        """Returns a line about the size of the run."""
        changes = sum(len(each.writes) for each in self.committed)
        return f"{len(self.committed)} transactions, {changes} changes, {len(self.watchers)} watchers"


class Watcher(threading.Thread):
    """A client that watches from a token on, and leaves and resumes at random, on one of the servers each time."""

    def __init__(self, seed: int, targets: Sequence[str], token: str) -> None:
        super().__init__(name=f"watcher-{seed}")
        self._random = random.Random(seed)  # noqa: S311, no secret
        self._channels = [grpc.insecure_channel(target, options=_RECONNECT) for target in targets]
        self.received = Received(token=token)
        self.error: grpc.RpcError | None = None

    def run(self) -> None:
        """Watches until the last write has arrived."""
        while not self._has_all() and self.error is None:
            stub = events_pb2_grpc.EventServiceStub(self._random.choice(self._channels))
            request = WatchEventsRequest(resume_token=self.received.resume())
            call = stub.WatchEvents(request, timeout=self._random.uniform(MIN_STREAM, MAX_STREAM), wait_for_ready=True)
            try:
                for response in call:
                    self.received.add(response)
                    if self._has_all():
                        call.cancel()
            except grpc.RpcError as error:
                if error.code() not in _EXPECTED:
                    self.error = error
        for channel in self._channels:
            channel.close()

    def _has_all(self) -> bool:
        return bool(self.received.groups) and any(write_of(change).mark == _LAST for change in self.received.groups[-1])


_EXPECTED = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


def run(url: str, folder: Path, seconds: float, *, kills: int = 0) -> Run:
    """Writes for so many seconds and returns what came of it. One of the two servers is killed `kills` times."""
    committed, stop = Committed(), threading.Event()
    with ExitStack() as stack:
        port = stack.enter_context(serving(url)).port
        first = ExitStack()
        stack.callback(first.close)
        victim = first.enter_context(serving(url))
        address = victim.target
        channel = stack.enter_context(grpc.insecure_channel(address, options=_RECONNECT))
        stub = events_pb2_grpc.EventServiceStub(channel)
        token = next(stub.WatchEvents(WatchEventsRequest(), timeout=PATIENCE, wait_for_ready=True)).resume_token
        readers = [Watcher(seed, (f"127.0.0.1:{port}", address), token) for seed in range(WATCHERS)]
        changers: list[Writer] = writers(url, stub, folder, committed, stop, stack)
        for thread in (*readers, *changers):
            thread.start()
        for _ in range(kills):
            stop.wait(seconds / (kills + 1))
            victim.kill()
            first.close()
            victim = first.enter_context(serving(url, listen=address))
        stop.wait(seconds / (kills + 1))
        stop.set()
        for changer in changers:
            changer.join(PATIENCE)
            if changer.error is not None:
                raise changer.error
        _write_last(stub, committed)
        for reader in readers:
            reader.join(PATIENCE)
            if reader.error is not None:
                raise reader.error
            assert not reader.is_alive(), "a watcher did not receive the last write"
        return Run(committed=committed.transactions, watchers=[each.received for each in readers], table=_table(stub))


def _write_last(stub: events_pb2_grpc.EventServiceStub, committed: Committed) -> None:
    begin = time.monotonic()
    request = events_pb2.CreateEventRequest(event=event(_LAST))
    stub.CreateEvent(request, timeout=TIMEOUT, wait_for_ready=True)
    committed.add([Write(_LAST)], begin)


def _table(stub: events_pb2_grpc.EventServiceStub) -> list[Event]:
    found: list[Event] = []
    token = ""
    while True:
        page = stub.ListEvents(events_pb2.ListEventsRequest(page_size=1000, page_token=token), timeout=TIMEOUT)
        found += page.events
        token = page.next_page_token
        if not token:
            return found
