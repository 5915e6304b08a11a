"""The mixed soak: honest load all the time, the attacks of the table one after another, and readings every half second.

What grows with every round is a leak: the peak of the last third must not exceed that of the first one by much.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc

from tests.robustness import floods, requests, streams, work
from tests.robustness.calls import code_of, event
from tests.robustness.chart import Phase, Series, draw
from tests.robustness.runner import BUSY
from tests.robustness.victim import Probe, Reading, Victim, codes_by_kind, now, p99

INTERVAL = 0.5
"""Seconds between two readings."""
STRETCH = 5.0
"""Seconds of an attack; the pause after it is as long."""
MAX_GROWTH = 64.0
"""MiB by which the last third of the soak may exceed the first one."""
MAX_WAL = 300.0
"""MiB of the write-ahead log."""
ATTACKS = {
    "headers": streams.headers_only(512),
    "watch": streams.watch_and_leave,
    "resets": streams.rapid_resets,
    "in flight": streams.in_flight(2000),
    "names": floods.names(lambda number: f"/x.y/{number}", 5000),
    "search": work.lists(work.SLOW, 200),
    "noise": floods.random_bytes,
    "empty": requests.batch_of_empty("BatchCreateEvents"),
    "unread": streams.unread_streams,
    "pings": floods.PINGS,
}


class Soak:
    """A soak of a server, and what was read meanwhile."""

    def __init__(self, victim: Victim, probe: Probe) -> None:
        self._victim = victim
        self._probe = probe
        self._readings: list[tuple[float, Reading, float]] = []
        self._phases: list[Phase] = []
        self._codes: Counter[str] = Counter()
        self._stopping = threading.Event()

    def run(self, seconds: float) -> list[str]:
        """Soaks the server for so long, and returns what was wrong."""
        begin = now()
        with self._reading(begin), self._loading():
            for name, attack in itertools.cycle(ATTACKS.items()):
                if now() - begin > seconds or self._victim.killed.is_set():
                    break
                start = now()
                attack(self._victim)
                self._phases.append(Phase(name=name, begin=start - begin, end=now() - begin))
                time.sleep(STRETCH)
        return [*self._victim.failures, *self._grown(), *self._innocent(begin)]

    def chart(self) -> str:
        """Returns the readings as an SVG."""
        calls = self._probe.calls
        columns = {
            ("memory", "MiB"): [(at, reading.rss) for at, reading, _ in self._readings],
            ("descriptors", ""): [(at, float(reading.descriptors)) for at, reading, _ in self._readings],
            ("threads", ""): [(at, float(reading.threads)) for at, reading, _ in self._readings],
            ("log (WAL)", "MiB"): [(at, wal) for at, _, wal in self._readings],
        }
        series = [Series(title=title, unit=unit, points=points) for (title, unit), points in columns.items()]
        failed = sum(each.code != "OK" for each in calls)
        title = f"A mixed soak: {len(calls):,} calls of the innocent caller, {failed:,} of them refused or failed"
        return draw(title, series, self._phases)

    def summary(self) -> str:
        """Returns the figures in a line."""
        peak = max(reading.rss for _, reading, _ in self._readings)
        wal = max(wal for _, _, wal in self._readings)
        gets = p99([each.seconds for each in self._probe.calls if each.kind == "get"])
        return f"soak: {peak:.0f} MiB at most, WAL {wal:.0f} MiB, p99 of Get {gets * 1e3:.0f} ms, {dict(self._codes)}"

    def _grown(self) -> list[str]:
        third = len(self._readings) // 3
        first, last = (max(r.rss for _, r, _ in part) for part in (self._readings[:third], self._readings[-third:]))
        wal = max(wal for _, _, wal in self._readings)
        growth = [f"memory grew from {first:.0f} to {last:.0f} MiB"] if last > first + MAX_GROWTH else []
        return growth + ([f"the write-ahead log grew to {wal:.0f} MiB"] if wal > MAX_WAL else [])

    def _innocent(self, begin: float) -> list[str]:
        counts = codes_by_kind(self._probe.since(begin))
        return [f"{kind} saw {dict(codes)}" for kind, codes in counts.items() if not set(codes) <= BUSY]

    @contextmanager
    def _reading(self, begin: float) -> Iterator[None]:
        def read() -> None:
            while not self._stopping.wait(INTERVAL):
                self._readings.append((now() - begin, self._victim.read(), self._victim.wal_size()))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Has four callers of Create, Get and List, which wait a little between two calls."""
        with self._victim.channel() as channel:
            calls = itertools.cycle(_honest(channel))

            def call() -> str:
                time.sleep(0.02)
                return code_of(next(calls))

            with work.calling(4, call) as self._codes:
                yield


def _honest(channel: grpc.Channel) -> list[Callable[[], object]]:
    stub = events_pb2_grpc.EventServiceStub(channel)
    create = events_pb2.CreateEventRequest(event=event("honest"))
    return [
        partial(stub.CreateEvent, create, timeout=10),
        partial(stub.GetEvent, events_pb2.GetEventRequest(id=1), timeout=10),
        partial(stub.ListEvents, events_pb2.ListEventsRequest(page_size=20, order_by="id desc"), timeout=10),
    ]
