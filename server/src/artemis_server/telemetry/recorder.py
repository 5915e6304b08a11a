"""Counts calls and the work of the database, and reads the gauges once a second."""

import os
import resource
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path

import grpc

from artemis_server.rpc.incoming import IncomingCall
from artemis_server.telemetry.families import (
    BYTES,
    CPU,
    DATABASE,
    DESCRIPTORS,
    DURATION,
    FAMILIES,
    GROUP,
    IN_FLIGHT,
    LINES_OMITTED,
    LIVE,
    MEMORY,
    OTHER,
    RECEIVED,
    REFUSED,
    REPLICA_READS,
    SECONDS,
    SENT,
    START,
    STARTED,
    WATCHES_ENDED,
    Family,
    Layout,
)
from artemis_server.telemetry.memory import Block

_SUM_OF_SECONDS, _SUM_OF_BYTES = len(SECONDS) + 1, len(BYTES) + 1
"""The place of the sum after the buckets, the last of which has no bound."""
INTERVAL = 1.0
"""Seconds between two reads of the gauges."""

Gauges = Mapping[tuple[Family, tuple[str, ...]], Callable[[], float]]
"""The function that returns the value of each gauge, by its family and the values of its labels."""


class Recorder:
    """Keeps the metrics of one process in a block. Any thread may call it.

    It counts by itself, because the libraries need several times as long for each call (docs/adr/0029).
    """

    def __init__(self, layout: Layout, block: Block) -> None:
        self._layout = layout
        self._block = block
        self._numbers = block.numbers
        self._lock = block.lock
        places = {name: (layout.place(STARTED, name), layout.place(IN_FLIGHT, name)) for name in layout.methods}
        self._other = places.pop(OTHER)
        self._started = {f"/{name}": place for name, place in places.items()}
        """The places of the started calls and of those in flight, by "/" and the name of the method."""
        self._ended: dict[tuple[str, grpc.StatusCode], tuple[int, int, int]] = {}
        self._refused = {reason: layout.place(REFUSED, reason) for (reason,) in layout.series(REFUSED)}
        self._operations = {name: layout.place(DATABASE, name) for (name,) in layout.series(DATABASE)}
        self._routed = {result: layout.place(REPLICA_READS, result) for (result,) in layout.series(REPLICA_READS)}
        self._group = layout.place(GROUP)
        self._omitted = layout.place(LINES_OMITTED)
        self._watches_ended = {
            reason: layout.place(WATCHES_ENDED, reason) for (reason,) in layout.series(WATCHES_ENDED)
        }
        self._cpu = layout.place(CPU)

    def begun(self, call: IncomingCall) -> None:
        """Counts a call that has begun."""
        started, flying = self._started.get(call.method) or self._other
        numbers = self._numbers
        with self._lock:
            numbers[started] += 1
            numbers[flying] += 1

    def ended(self, call: IncomingCall) -> None:
        """Counts a call that is answered, or whose client is gone."""
        code = call.code or grpc.StatusCode.UNKNOWN
        duration, sent, received = self._ended.get((call.method, code)) or self._add(call.method, code)
        _, flying = self._started.get(call.method) or self._other
        seconds, answer, request = time.monotonic() - call.began, call.answer_size, call.request_bytes
        in_seconds, in_sent = bisect_left(SECONDS, seconds), bisect_left(BYTES, answer)
        in_received = bisect_left(BYTES, request)
        refused = None if code is grpc.StatusCode.OK else self._refused.get(call.reason)
        numbers = self._numbers
        with self._lock:
            numbers[flying] -= 1
            numbers[duration + in_seconds] += 1
            numbers[duration + _SUM_OF_SECONDS] += seconds
            numbers[sent + in_sent] += 1
            numbers[sent + _SUM_OF_BYTES] += answer
            numbers[received + in_received] += 1
            numbers[received + _SUM_OF_BYTES] += request
            if refused is not None:
                numbers[refused] += 1

    def unknown(self) -> None:
        """Counts a call to a method that the server does not have."""
        places = self._add(OTHER, grpc.StatusCode.UNIMPLEMENTED)
        with self._lock:
            self._numbers[self._other[0]] += 1
            for place in places:
                self._numbers[place] += 1  # in the bucket of 0

    def database(self, operation: str, seconds: float) -> None:
        """Counts a read or a write."""
        with self._lock:
            self._observe(DATABASE, self._operations[operation], seconds)

    def routed(self, result: str) -> None:
        """Counts a read of a caller, by where it went or why."""
        with self._lock:
            self._numbers[self._routed[result]] += 1

    def group(self, size: int) -> None:
        """Counts a transaction of so many writes."""
        with self._lock:
            self._observe(GROUP, self._group, size)

    def omitted(self, lines: int) -> None:
        """Counts lines that the request log left out."""
        with self._lock:
            self._numbers[self._omitted] += lines

    def watch_ended(self, reason: str) -> None:
        """Counts a watch that has ended."""
        with self._lock:
            self._numbers[self._watches_ended[reason]] += 1

    def set(self, family: Family, value: float, *labels: str) -> None:
        """Sets a gauge."""
        self._numbers[self._layout.place(family, *labels)] = value

    def used_cpu(self, seconds: float) -> None:
        """Counts seconds of CPU time."""
        with self._lock:
            self._numbers[self._cpu] += seconds

    def _observe(self, family: Family, place: int, value: float) -> None:
        self._numbers[place + bisect_left(family.buckets, value)] += 1
        self._numbers[place + len(family.buckets) + 1] += value

    def _add(self, method: str, code: grpc.StatusCode) -> tuple[int, int, int]:
        """Returns the places of the durations, and of the sizes of answers and requests."""
        name = method.removeprefix("/") if method in self._started else OTHER
        duration, sent, received = (
            self._layout.place(family, name, code.name) for family in (DURATION, SENT, RECEIVED)
        )
        if name != OTHER:
            self._ended[method, code] = duration, sent, received
        return duration, sent, received


def gauges_of(layout: Layout) -> list[int]:
    """Returns the places of all gauges."""
    return [
        layout.place(family, *values)
        for family in FAMILIES
        if family.kind == "gauge"
        for values in layout.series(family)
    ]


class Sampler:
    """Reads the gauges every INTERVAL seconds, on a thread of its own, and gives the sign of life of its process."""

    def __init__(self, recorder: Recorder, block: Block, gauges: Gauges) -> None:
        self._recorder = recorder
        self._block = block
        self._gauges = gauges
        self._cpu = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        recorder.set(LIVE, 1)
        recorder.set(START, time.time())

    def start(self) -> None:
        """Reads the gauges once, and starts the thread."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and reads the gauges for the last time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.look()
        self._block.leave()

    def look(self) -> None:
        """Sets the gauges to what they are now."""
        for (family, labels), value in self._gauges.items():
            self._recorder.set(family, value(), *labels)
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime
        self._recorder.used_cpu(cpu - self._cpu)
        self._cpu = cpu
        self._recorder.set(MEMORY, _resident())
        self._recorder.set(DESCRIPTORS, _descriptors())
        self._block.beat()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL):
            self.look()


def _resident() -> float:
    """Returns the bytes of memory that this process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _descriptors() -> int:
    """Returns how many descriptors this process has open; 0 where the system does not say."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
