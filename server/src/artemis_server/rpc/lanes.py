"""Lanes: the threads that answer calls, and the limits that keep one caller from taking all of them.

A call waits for its request, then for a thread and its answer, and then until its client has read the answer. Each of
these waits is bounded in number and in time. A lane has the threads for some methods, so that slow methods do not hold
up quick ones.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import grpc
from grpc_status import rpc_status

from artemis_server.db.connection.database import Submit
from artemis_server.errors import DeadlineExceeded, RequestError, ResourceExhausted, Unavailable
from artemis_server.rpc.incoming import SUBMITTED, IncomingCall, Refused
from artemis_server.rpc.rates import Rates
from artemis_server.rpc.status import status_of

MAX_ARRIVAL = 10.0  # seconds from the headers of a call to its request
MAX_INCOMPLETE = 64  # calls that wait for their request; gRPC may have received almost all of each
MAX_READING = 30.0  # seconds in which a client reads an answer
MAX_UNREAD = 64 * 2**20  # bytes of answers that clients have not read
MAX_FLUSH = 1.0  # seconds in which clients read the last answers before a server ends
SWEEP_INTERVAL = 0.5  # seconds between two looks for calls that have waited for too long


@dataclass(frozen=True)
class Limits:
    """The limits that an operator sets."""

    calls: int
    """Calls that a thread answers, or that wait for one."""
    seconds: float
    """The longest that a call may take to be answered, whatever deadline its client sets."""
    client_rate: int = 0
    """Calls per second of each client; 0 is any number."""


class Waiting:
    """Calls that wait for their clients, the oldest first.

    `end` ends the oldest call when their sizes together exceed `max_size`, and each that waits for `seconds`.
    """

    def __init__(self, max_size: int, seconds: float, end: Callable[[IncomingCall], None]) -> None:
        self._max_size = max_size
        self._seconds = seconds
        self._end = end
        self._calls: dict[IncomingCall, tuple[float, int]] = {}
        self._size = 0
        self._lock = threading.Lock()

    def add(self, call: IncomingCall, size: int) -> None:
        """Adds a call, which may end others, or itself if it is larger than all may be together."""
        with self._lock:
            self._calls[call] = time.monotonic(), size
            self._size += size
        while self._size > self._max_size:
            self._end_oldest(time.monotonic())

    def __len__(self) -> int:
        return len(self._calls)

    def discard(self, call: IncomingCall) -> None:
        """Removes a call if it is there."""
        with self._lock:
            self._size -= self._calls.pop(call, (0, 0))[1]

    def end_late(self) -> None:
        """Ends the calls that have waited for too long."""
        while self._end_oldest(time.monotonic() - self._seconds):
            pass

    def end_all(self) -> None:
        """Ends every call."""
        while self._end_oldest(time.monotonic()):
            pass

    def _end_oldest(self, before: float) -> bool:
        with self._lock:
            call, (since, size) = next(iter(self._calls.items()), (None, (0.0, 0)))
            if call is None or since > before:
                return False
            del self._calls[call]
            self._size -= size
        self._end(call)
        return True


class Calls:
    """The open calls of a server. Its lanes answer them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rates = Rates(limits.client_rate)
        self._lanes: list[Lane] = []
        self.incomplete = Waiting(MAX_INCOMPLETE, MAX_ARRIVAL, self._end_incomplete)
        self.unread = Waiting(MAX_UNREAD, MAX_READING, IncomingCall.cancel)
        self._draining = False
        self._changed = threading.Condition()
        """Notified for each answered and each ended call while the server drains."""
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)

    def lane(
        self, name: str, *, threads: int, share: float = 1.0, nice: int = 0, submit: Submit | None = None
    ) -> "Lane":
        """Returns a new lane, in which up to this share of the concurrent calls may be.

        `nice` is the priority of its threads as nice(1) has it: 10 lets others go first. With `submit`, another thread
        answers the calls: that of a database with a single writer.
        """
        max_calls = max(1, int(self._limits.calls * share))
        self._lanes.append(
            Lane(self, name, threads, max_calls, nice) if submit is None else GroupLane(self, name, max_calls, submit)
        )
        return self._lanes[-1]

    def start(self) -> None:
        """Starts to end calls that take too long."""
        self._sweeper.start()

    def stop(self) -> None:
        """Ends the threads, once nobody calls any more."""
        self._stopping.set()
        for lane in self._lanes:
            lane.shutdown()

    def drain(self, grace: float) -> bool:
        """Refuses all calls from now on but those that a thread has begun, and waits until these are answered.

        Returns whether they were answered within `grace` seconds.
        """
        self._draining = True
        self.incomplete.end_all()
        for lane in self._lanes:
            lane.refuse_queue(_SHUTTING_DOWN)
        with self._changed:
            answered = self._changed.wait_for(lambda: not any(lane.calls for lane in self._lanes), grace)
            self._changed.wait_for(lambda: not self.unread, MAX_FLUSH)
        return answered

    def receive(self, call: IncomingCall, lane: "Lane") -> None:
        """Receives the request of a call whose headers have arrived, and gives it to the lane, or refuses the call."""
        refusal = self._refusal(lane)
        if refusal is None and self._limits.client_rate and not self._rates.take(call.client):
            refusal = _TOO_FAST
        if refusal is not None:
            call.refuse(refusal)
            return
        self.incomplete.add(call, 1)
        call.receive(partial(self._accept, lane=lane), self._forget)

    def mark_answered(self, call: IncomingCall) -> None:
        """Remembers that a call has its answer, until its client has read it. A stream goes on by itself."""
        call.mark_answered()
        if not call.streams:
            self.unread.add(call, call.answer_size)
        if call.ended:  # before it was added
            self.unread.discard(call)
        self._notify()

    def _accept(self, call: IncomingCall, lane: "Lane") -> None:
        self.incomplete.discard(call)
        refusal = self._refusal(lane)
        if refusal is None:
            lane.put(call)
        else:
            call.refuse(refusal)

    def _forget(self, call: IncomingCall) -> None:
        self.incomplete.discard(call)
        self.unread.discard(call)
        self._notify()

    def _notify(self) -> None:
        if self._draining:
            with self._changed:
                self._changed.notify_all()

    def _refusal(self, lane: "Lane") -> grpc.Status | None:
        if self._draining:
            return _SHUTTING_DOWN
        total = sum(len(each.calls) for each in self._lanes)
        return _TOO_MANY if total >= self._limits.calls or len(lane.calls) >= lane.max_calls else None

    def _end_incomplete(self, call: IncomingCall) -> None:
        call.refuse(_SHUTTING_DOWN if self._draining else _LATE)

    def _sweep(self) -> None:
        while not self._stopping.wait(SWEEP_INTERVAL):
            self.incomplete.end_late()
            self.unread.end_late()
            latest = time.monotonic() - self._limits.seconds
            for lane in self._lanes:
                for call, since in list(lane.calls.items()):
                    if since < latest:
                        call.refuse(_TOO_LONG)


class Lane(ThreadPoolExecutor):
    """Threads that answer the calls of some methods. `Calls.lane` makes it.

    It is the pool that grpcio wants, and has threads of its own: those of a ThreadPoolExecutor begin too early.
    """

    def __init__(self, calls: Calls, name: str, threads: int, max_calls: int, nice: int) -> None:
        super().__init__(1)
        self.max_calls = max_calls
        self.calls: dict[IncomingCall, float] = {}
        """The calls that a thread answers or that wait for one, and since when, as `time.monotonic` has it."""
        self._all = calls
        self._name = name
        self._max_threads = threads
        self._nice = nice
        self._threads_made = 0
        self._queue: SimpleQueue[IncomingCall | None] = SimpleQueue()

    def submit(self, run: Any, /, *arguments: Any, **_: Any) -> "Future[Any]":
        """Takes a call whose headers have arrived. gRPC's thread of events calls this."""
        self._all.receive(IncomingCall(*arguments), self)
        return SUBMITTED

    def put(self, call: IncomingCall) -> None:
        """Gives a call to the next thread that is free. gRPC's thread of events calls this."""
        self.calls[call] = time.monotonic()
        if self._threads_made < min(len(self.calls), self._max_threads):
            self._threads_made += 1
            name = f"{self._name}-{self._threads_made}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._queue.put(call)

    def refuse_queue(self, status: grpc.Status) -> None:
        """Refuses the calls that wait for a thread."""
        with suppress(Empty):
            while call := self._queue.get_nowait():
                call.refuse(status)
                self.calls.pop(call, None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends each thread after its present call."""
        for _ in range(self._threads_made):
            self._queue.put(None)

    def _work(self) -> None:
        if self._nice:
            with suppress(OSError):  # a system may have priorities of processes alone
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        while (call := self._queue.get()) is not None:
            if call.active:
                self._answer(call)
            self._end(call)

    def _answer(self, call: IncomingCall) -> None:
        try:
            if call.streams:
                call.stream()
            else:
                call.send(call.compute())
        except Exception as error:
            call.refuse(_status(error))

    def _end(self, call: IncomingCall) -> None:
        self.calls.pop(call, None)
        self._all.mark_answered(call)


class GroupLane(Lane):
    """Calls that the thread of a database's writer answers, many in one transaction. `Calls.lane` makes it."""

    def __init__(self, calls: Calls, name: str, max_calls: int, submit: Submit) -> None:
        super().__init__(calls, name, 0, max_calls, 0)
        self._submit = submit

    def put(self, call: IncomingCall) -> None:
        """Gives a call to the writer."""
        self.calls[call] = time.monotonic()
        try:
            self._submit(call.compute, call.context, partial(self._send, call), partial(self._refuse, call))
        except RequestError as error:
            self._refuse(call, error)

    def _send(self, call: IncomingCall, answer: bytes) -> None:
        call.send(answer)
        self._end(call)

    def _refuse(self, call: IncomingCall, error: BaseException) -> None:
        call.refuse(_status(error))
        self._end(call)


def _status(error: BaseException) -> grpc.Status:
    return error.status if isinstance(error, Refused) else rpc_status.to_status(status_of(error))


_SHUTTING_DOWN = _status(Unavailable("SHUTTING_DOWN", "the server is shutting down; try another one"))
_TOO_MANY = _status(ResourceExhausted("TOO_MANY_CALLS", "the server answers as many calls as it can; try again later"))
_TOO_FAST = _status(
    ResourceExhausted("RATE_LIMIT_EXCEEDED", "this client calls more often than it may; try again later")
)
_LATE = _status(DeadlineExceeded("REQUEST_TIMEOUT", f"the request did not arrive within {MAX_ARRIVAL:g} s"))
_TOO_LONG = _status(DeadlineExceeded("MAX_DEADLINE_EXCEEDED", "the call takes longer than the server allows"))
