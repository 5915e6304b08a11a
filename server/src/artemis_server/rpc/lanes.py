"""Lanes: the threads that answer calls, and the limits that keep one caller from taking all of them.

A call waits for its request, then for a thread and its answer, and then until its client has read the answer. Each of
these waits is bounded in number and in time. A lane has the threads for some methods, so that slow methods do not hold
up quick ones.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import grpc
from grpc_status import rpc_status

from artemis_server.db.connection.database import Submit
from artemis_server.errors import DeadlineExceeded, RequestError, ResourceExhausted, Unavailable
from artemis_server.rpc.incoming import SUBMITTED, IncomingCall, Refused
from artemis_server.rpc.rates import Rates
from artemis_server.rpc.status import status_of

MIN_ARRIVAL, MAX_ARRIVAL = 0.5, 10.0  # seconds that a request has to follow its headers while too many do not, and else
MAX_INCOMPLETE = 32  # calls that wait for their request; gRPC may have received almost all of each
MAX_WAITING = 64 * 2**20  # bytes of the requests that have a thread or wait for one
MAX_GROUPED = 16 * 2**10  # bytes of a request that the writer's thread parses and validates
MAX_UNREAD = 64 * 2**20  # bytes of answers that clients have not read
COPIES = 2  # of such an answer: gRPC keeps the one that it got, and one of its own
MIN_READING, MAX_READING = 2.0, 30.0  # seconds that a client has to read an answer while there are too many, and else
MAX_FLUSH = 1.0  # seconds in which clients read the last answers before a server ends
CROWDED = 2 / 3  # the share of its calls from which a lane is crowded: calls may have to be refused
MIN_CROWDED = 1.0  # seconds for which threads let gRPC's thread of events go first when a lane was crowded
YIELDS_PER_PAUSE, PAUSE = 4, 0.0005  # seconds; threads that only yield may pass the lock around and leave out a writer
SWEEP_INTERVAL = 0.1  # seconds between two looks for calls that have waited for too long


@dataclass(frozen=True)
class Limits:
    """The limits that an operator sets."""

    calls: int
    """Calls that a thread answers, or that wait for one."""
    seconds: float
    """The longest that a call may take to be answered, whatever deadline its client sets."""
    client_rate: int = 0
    """Calls per second of each client; 0 is any number."""


class Observer(Protocol):
    """Sees each call of a server, refused ones too. Threads of gRPC tell it, so it must not wait or raise."""

    def begun(self, call: IncomingCall) -> None:
        """Sees a call whose headers have arrived."""

    def ended(self, call: IncomingCall) -> None:
        """Sees a call whose `code` is known: it is answered, or its client is gone."""


class Gate(Protocol):
    """Decides which calls may come in, before their requests are received. `rpc/gate.py` has the one."""

    def check(self, call: IncomingCall) -> grpc.Status | None:
        """Returns the error of a call that may not come in.

        Otherwise the call has a principal, unless that takes a while to find out: then `verify` does.
        """

    def verify(self, call: IncomingCall, admit: Callable[[], None]) -> None:
        """Finds out the principal on another thread, and calls `admit` there, or refuses the call."""


class Waiting:
    """Calls that wait for their clients, the oldest first.

    `end` ends each that waits for `max_seconds`, and while their sizes together exceed `max_size` the oldest that has
    waited for `min_seconds`.
    """

    def __init__(
        self, max_size: int, end: Callable[[IncomingCall], None], *, min_seconds: float = 0, max_seconds: float
    ) -> None:
        self._max_size = max_size
        self._end = end
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._calls: dict[IncomingCall, tuple[float, int]] = {}
        self._size = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: IncomingCall, size: int) -> None:
        """Adds a call, which may end the oldest."""
        with self._changed:
            self._calls[call] = time.monotonic(), size
            self._size += size
        self._make_room()

    def discard(self, call: IncomingCall) -> None:
        """Removes a call if it is there."""
        with self._changed:
            size = self._calls.pop(call, (0, 0))[1]
            if size:
                self._size -= size
                self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Waits while their sizes exceed `max_size`, which is for `min_seconds` at most when clients do not read."""
        while not self._make_room():
            with self._changed:
                self._changed.wait(SWEEP_INTERVAL)

    def end_late(self) -> None:
        """Ends the calls that have waited for too long."""
        self._make_room()
        while self._end_oldest(self._max_seconds):
            pass

    def end_all(self) -> None:
        """Ends every call."""
        while self._end_oldest(0):
            pass

    def _make_room(self) -> bool:
        while self._size > self._max_size:
            if not self._end_oldest(self._min_seconds):
                return False
        return True

    def _end_oldest(self, seconds: float) -> bool:
        """Ends the oldest call if it has waited for so long."""
        with self._changed:
            call, (since, size) = next(iter(self._calls.items()), (None, (0.0, 0)))
            if call is None or since + seconds > time.monotonic():
                return False
            del self._calls[call]
            self._size -= size
            self._changed.notify_all()
        self._end(call)
        return True


class Calls:
    """The open calls of a server. Its lanes answer them."""

    def __init__(
        self,
        limits: Limits,
        observers: Sequence[Observer] = (),
        *,
        gate: Gate | None = None,
        audit: Callable[[IncomingCall], None] | None = None,
    ) -> None:
        """Calls `audit` once for each call: when its method has returned, or it is refused before it has begun."""
        self._limits = limits
        self._observers = observers
        self._gate = gate
        self._audit = audit
        self._rates = Rates(limits.client_rate)
        self._lanes: list[Lane] = []
        self.incomplete = Waiting(
            MAX_INCOMPLETE, self._end_incomplete, min_seconds=MIN_ARRIVAL, max_seconds=MAX_ARRIVAL
        )
        self.unread = Waiting(MAX_UNREAD, self._end_unread, min_seconds=MIN_READING, max_seconds=MAX_READING)
        self._stuck: dict[IncomingCall, bytes] = {}
        """The connections whose clients do not read, by a call that was cancelled for it and has not ended."""
        self._request_bytes = 0
        self._lock = threading.Lock()
        self._some_ended = False
        """True if a call may have ended while it waited for a thread. To look for it takes as long as a get."""
        self._crowded_until = 0.0
        self._draining = False
        self._changed = threading.Condition()
        """Notified for each answered and each ended call while the server drains."""
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)

    def lane(self, name: str, *, threads: int, share: float = 1.0, large_answers: bool = False) -> "Lane":
        """Returns a new lane, in which up to this share of the concurrent calls may be.

        With `large_answers`, its threads wait while clients have too much to read; other lanes add little to that.
        """
        return self._add(Lane(self, name, threads, self._count(share), large_answers=large_answers))

    def group_lane(self, submit: Submit, large: "Lane", *, share: float) -> "Lane":
        """Returns a new lane whose calls the thread of a writer answers, many in one transaction.

        `submit` gives them to the writer. Those with a large request are in the lane `large`: to parse and validate
        them takes a while.
        """
        return self._add(GroupLane(self, submit, large, self._count(share)))

    def _count(self, share: float) -> int:
        return max(1, int(self._limits.calls * share))

    def _add(self, lane: "Lane") -> "Lane":
        self._lanes.append(lane)
        return lane

    @property
    def lanes(self) -> "tuple[Lane, ...]":
        """The lanes."""
        return tuple(self._lanes)

    def start(self) -> None:
        """Starts the threads."""
        for lane in self._lanes:
            lane.start()
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
        end = time.monotonic() + grace
        with self._changed:
            answered = self._changed.wait_for(lambda: not any(lane.calls for lane in self._lanes), grace)
            self._changed.wait_for(lambda: not self.unread, min(MAX_FLUSH, max(0.0, end - time.monotonic())))
        return answered

    def receive(self, call: IncomingCall, lane: "Lane") -> None:
        """Receives the request of a call whose headers have arrived, and gives it to the lane, or refuses the call."""
        for observer in self._observers:
            observer.begun(call)
        call.on_code = self._tell_end
        call.on_end(self._forget)
        refusal = self._refusal(lane) or (self._gate and self._gate.check(call)) or self._over_rate(call)
        if refusal is not None:
            call.refuse(refusal)
        elif self._gate is None or call.principal is not None:
            self._receive(call, lane)
        else:
            self._gate.verify(call, partial(self._receive, call, lane))

    def _over_rate(self, call: IncomingCall) -> grpc.Status | None:
        """Returns the error of a client that calls too often. Until its principal is known, it is an address."""
        if not self._limits.client_rate:
            return None
        client = call.client if call.principal is None else call.principal.name
        return None if self._rates.take(client) else _TOO_FAST

    def _receive(self, call: IncomingCall, lane: "Lane") -> None:
        self.incomplete.add(call, 1)
        call.receive(partial(self._accept, lane=lane))
        if call.ended:  # before it was added
            self.incomplete.discard(call)

    def mark_answered(self, call: IncomingCall) -> None:
        """Remembers that a call has its answer, until its client has read it. A stream goes on by itself."""
        with self._lock:
            self._request_bytes -= call.request_size
        self._record(call)
        call.mark_answered()
        if not call.streams:
            self.unread.add(call, COPIES * call.answer_size)
            if call.ended:  # before it was added
                self.unread.discard(call)

    def _tell_end(self, call: IncomingCall) -> None:
        for observer in self._observers:
            observer.ended(call)
        if not call.in_lane:
            self._record(call)

    def _record(self, call: IncomingCall) -> None:
        if self._audit is not None and not call.recorded:
            call.recorded = True
            self._audit(call)

    def _accept(self, call: IncomingCall, lane: "Lane") -> None:
        self.incomplete.discard(call)
        lane = lane.lane_of(call)
        refusal = self._refusal(lane)
        if refusal is None and self._request_bytes + call.request_size > MAX_WAITING:
            refusal = _TOO_MANY
        if refusal is None:
            with self._lock:
                self._request_bytes += call.request_size
            call.in_lane = True
            lane.put(call)
        else:
            call.refuse(refusal)
            call.mark_answered()  # which lets go of the request: the client may take a while to read why

    def _forget(self, call: IncomingCall) -> None:
        self.incomplete.discard(call)
        self.unread.discard(call)
        self._stuck.pop(call, None)
        if any(call in lane.calls for lane in self._lanes):
            self._some_ended = True
        self.notify()

    def notify(self) -> None:
        """Wakes `drain`, when a call has been answered or has ended."""
        if self._draining:
            with self._changed:
                self._changed.notify_all()

    def _refusal(self, lane: "Lane") -> grpc.Status | None:
        if self._draining:
            return _SHUTTING_DOWN
        if self._is_full(lane) and self._some_ended:
            self._some_ended = False
            for each in self._lanes:
                each.drop_ended()
        if lane.is_crowded():
            self._crowded_until = time.monotonic() + MIN_CROWDED
        return _TOO_MANY if self._is_full(lane) else None

    @property
    def crowded(self) -> bool:
        """Tells whether a lane was crowded a moment ago."""
        return time.monotonic() < self._crowded_until

    def _is_full(self, lane: "Lane") -> bool:
        return lane.is_full() or sum(len(each.calls) for each in self._lanes) >= self._limits.calls

    def _end_incomplete(self, call: IncomingCall) -> None:
        call.refuse(_SHUTTING_DOWN if self._draining else _LATE)

    def _end_unread(self, call: IncomingCall) -> None:
        """Cancels a call. gRPC keeps its answer until it has written to the connection what it has begun to write."""
        self._stuck[call] = call.connection
        call.cancel()
        if call.ended:  # before it was added
            self._stuck.pop(call, None)

    def is_stuck(self, call: IncomingCall) -> bool:
        """Tells whether the client of a call does not read the answers that it has got on this connection."""
        return bool(self._stuck) and call.connection in list(self._stuck.values())

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

    def __init__(self, calls: Calls, name: str, threads: int, max_calls: int, *, large_answers: bool = False) -> None:
        super().__init__(1)
        self.calls: dict[IncomingCall, float] = {}
        """The calls that a thread answers or that wait for one, and since when, as `time.monotonic` has it."""
        self.name = name
        self.max_calls = max_calls
        """How many calls it may have."""
        self._all = calls
        self._large_answers = large_answers
        self._queue: SimpleQueue[IncomingCall | None] = SimpleQueue()
        self._workers = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]

    def start(self) -> None:
        """Starts the threads."""
        for worker in self._workers:
            worker.start()

    def submit(self, run: Any, /, *arguments: Any, **_: Any) -> "Future[Any]":
        """Takes a call whose headers have arrived. gRPC's thread of events calls this."""
        self._all.receive(IncomingCall(*arguments), self)
        return SUBMITTED

    def lane_of(self, _: IncomingCall) -> "Lane":
        """Returns the lane that answers this call."""
        return self

    def put(self, call: IncomingCall) -> None:
        """Gives a call to the next thread that is free. gRPC's thread of events calls this."""
        self.calls[call] = time.monotonic()
        self._queue.put(call)

    def is_full(self) -> bool:
        """Tells whether the lane has as many calls as it may have."""
        return len(self.calls) >= self.max_calls

    def waiting(self) -> int:
        """Returns how many calls wait for a thread."""
        return self._queue.qsize()

    def is_crowded(self) -> bool:
        """Tells whether the lane has almost as many."""
        return len(self.calls) > self.max_calls * CROWDED

    def drop_ended(self) -> None:
        """Drops the calls that have ended while they waited for a thread."""
        self._drop(lambda call: call.ended)

    def refuse_queue(self, status: grpc.Status) -> None:
        """Refuses the calls that wait for a thread."""

        def refuse(call: IncomingCall) -> bool:
            call.refuse(status)
            return True

        self._drop(refuse)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends each thread after its present call."""
        for _ in self._workers:
            self._queue.put(None)

    def _drop(self, condition: Callable[[IncomingCall], bool]) -> None:
        """Takes the calls that wait for a thread out of the queue, and puts back those that do not meet a condition."""
        with suppress(Empty):
            for _ in range(self._queue.qsize()):
                call = self._queue.get_nowait()
                if call is not None and condition(call):
                    self._end(call)
                else:
                    self._queue.put(call)

    def _work(self) -> None:
        yields = 0
        while (call := self._queue.get()) is not None:
            if self._all.crowded:
                yields += 1
                if yields % YIELDS_PER_PAUSE:
                    yield_core()
                else:
                    time.sleep(PAUSE)
            if self._large_answers:
                self._all.unread.wait_for_room()
            try:
                if self._large_answers and self._all.is_stuck(call):
                    call.refuse(_UNREAD)
                elif call.active:
                    self._answer(call)
            finally:
                self._end(call)

    def _answer(self, call: IncomingCall) -> None:
        try:
            if call.streams:
                call.stream()
            else:
                call.send(call.compute())
        except Exception as error:
            call.refuse(_status(error, call.request_id))

    def _end(self, call: IncomingCall) -> None:
        self._all.mark_answered(call)
        self.calls.pop(call, None)
        self._all.notify()


class GroupLane(Lane):
    """Calls that the thread of a database's writer answers, many in one transaction. `Calls.group_lane` makes it."""

    def __init__(self, calls: Calls, submit: Submit, large: Lane, max_calls: int) -> None:
        super().__init__(calls, "write", 0, max_calls)
        self._submit = submit
        self._large = large

    def lane_of(self, call: IncomingCall) -> Lane:
        """Returns the lane that answers this call."""
        return self._large if call.request_size > MAX_GROUPED else self

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
        call.refuse(_status(error, call.request_id))
        self._end(call)


def yield_core() -> None:
    """Lets other threads run that wait for the interpreter's lock, which this thread would have for 5 ms."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def _status(error: BaseException, request_id: str = "") -> grpc.Status:
    return error.status if isinstance(error, Refused) else rpc_status.to_status(status_of(error, request_id))


_SHUTTING_DOWN = _status(Unavailable("SHUTTING_DOWN", "the server is shutting down; try another one"))
_TOO_MANY = _status(ResourceExhausted("TOO_MANY_CALLS", "the server answers as many calls as it can; try again later"))
_UNREAD = _status(ResourceExhausted("ANSWERS_UNREAD", "read the answers on this connection before you ask for more"))
_TOO_FAST = _status(
    ResourceExhausted("RATE_LIMIT_EXCEEDED", "this client calls more often than it may; try again later")
)
_LATE = _status(DeadlineExceeded("REQUEST_TIMEOUT", f"the request did not arrive within {MAX_ARRIVAL:g} s"))
_TOO_LONG = _status(DeadlineExceeded("MAX_DEADLINE_EXCEEDED", "the call takes longer than the server allows"))
