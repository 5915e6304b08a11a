"""The open calls of a server, and the limits that keep one caller from taking all of its lanes.

A call waits until its principal is known, for its request, then for a thread and its answer, and then until its client
has read the answer. Each of these waits is bounded in number and in time.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import grpc

from artemis_server.db.connection.database import Submit
from artemis_server.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from artemis_server.rpc.incoming import TOO_MUCH_METADATA, IncomingCall
from artemis_server.rpc.lanes import GroupLane, Lane, grpc_status
from artemis_server.rpc.rates import Rates
from artemis_server.rpc.waiting import SWEEP_INTERVAL, Arrivals, Waiting

MAX_UNVERIFIED = 1024  # calls that wait until their principal is known
MAX_VERIFICATION = 10.0  # seconds of that wait, in which new keys of JWTs may have to be asked for
MIN_ARRIVAL, MAX_ARRIVAL = 0.5, 10.0  # seconds that a request may take to arrive: while too many are late, and else
MAX_INCOMPLETE = 32  # calls whose requests are received; gRPC may have almost all of each
MAX_QUEUED = 256  # calls whose requests are not yet received
MAX_WAITING = 64 * 2**20  # bytes of the requests that have a thread or wait for one
MAX_UNREAD = 64 * 2**20  # bytes of answers that clients have not read
COPIES = 2  # gRPC keeps the bytes of an answer that Python gave it, and a copy
MIN_READING, MAX_READING = 2.0, 30.0  # seconds that a client may take to read: above MAX_UNREAD, and else
MAX_FLUSH = 1.0  # seconds in which clients read the last answers before a server ends
MAX_LAG = 0.02  # seconds until gRPC's thread of events sees that an answer is sent; above, events wait for that thread
MAX_SMALL = 16 * 2**10  # bytes of an answer that needs no reading by its client to be sent
MIN_CROWDED = 1.0  # seconds after a lane was crowded, in which threads let gRPC's thread of events run first
GLANCE = 0.01  # seconds of each SWEEP_INTERVAL in which they do so as well


@dataclass(frozen=True)
class Limits:
    """The limits that an operator sets."""

    calls: int
    """Calls that a thread answers, or that wait for one."""
    seconds: float
    """The longest that a call may take to be answered, whatever deadline its client sets."""
    client_rate: int = 0
    """Calls per second of each client; 0 is any number."""
    metadata: int = 2**14
    """Bytes of the metadata of a call. gRPC refuses more itself, once the client has acknowledged its settings."""


class Observer(Protocol):
    """Is told of each call, also of refused ones. Threads of gRPC call its methods, which must not wait or raise."""

    def begun(self, call: IncomingCall) -> None:
        """Is told of a call whose headers have arrived."""

    def ended(self, call: IncomingCall) -> None:
        """Is told of a call that is answered, or whose client is gone. Its `code` is known."""


class Gate(Protocol):
    """Decides before a request is received whether its call is let in. `rpc/gate.py` implements it."""

    def check(self, call: IncomingCall) -> grpc.Status | None:
        """Returns the error of a call that is not let in, or None.

        With None the call has its principal, or has none yet because the check takes a while: then call `verify`.
        """

    def verify(self, call: IncomingCall, admit: Callable[[], None]) -> None:
        """Sets the principal on another thread, and calls `admit` there, or refuses the call."""


class Calls:
    """The open calls of a server. Its lanes answer them."""

    def __init__(
        self,
        limits: Limits,
        observers: Sequence[Observer] = (),
        *,
        gate: Gate | None = None,
        audit: Callable[[IncomingCall], None] | None = None,
        call_type: Callable[..., IncomingCall] = IncomingCall,
    ) -> None:
        """`audit` is called once for each call: when its method has returned, or it is refused before that.

        `call_type` makes a call of the arguments that grpcio gives to a pool; the test kit's calls fail on demand.
        """
        self.call_type = call_type
        self._limits = limits
        self._observers = observers
        self._gate = gate
        self._audit = audit
        self._rates = Rates(limits.client_rate)
        self._lanes: list[Lane] = []
        self.unverified = Waiting(MAX_UNVERIFIED, self._end_unverified, max_seconds=MAX_VERIFICATION)
        self.incomplete = Waiting(
            MAX_INCOMPLETE, self._end_incomplete, min_seconds=MIN_ARRIVAL, max_seconds=MAX_ARRIVAL
        )
        self.queued = Waiting(MAX_QUEUED, self._end_queued, max_seconds=MAX_ARRIVAL)
        self.arrivals = Arrivals(self.incomplete, self.queued)
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
        """Notified when a call is answered or ends, while the server drains."""
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)

    def lane(
        self, name: str, *, threads: int, share: float = 1.0, large_answers: bool = False, kind: type[Lane] = Lane
    ) -> Lane:
        """Returns a new lane of this kind, in which up to this share of the concurrent calls may be.

        With `large_answers`, its threads wait while clients have more than MAX_UNREAD bytes to read.
        """
        return self._add(kind(self, name, threads, self._count(share), large_answers=large_answers))

    def group_lane(self, submit: Submit, large: Lane, *, share: float) -> Lane:
        """Returns a new lane whose calls the thread of a writer answers, many in one transaction.

        `submit` gives them to the writer. Calls with a large request go to the lane `large` instead, because
        the writer's thread would take long to parse and validate them.
        """
        return self._add(GroupLane(self, submit, large, self._count(share)))

    def _count(self, share: float) -> int:
        return max(1, int(self._limits.calls * share))

    def _add(self, lane: Lane) -> Lane:
        self._lanes.append(lane)
        return lane

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes."""
        return tuple(self._lanes)

    def start(self) -> None:
        """Starts the threads."""
        for lane in self._lanes:
            lane.start()
        self._sweeper.start()

    def stop(self) -> None:
        """Ends the threads. Nobody may call any more."""
        self._stopping.set()
        for lane in self._lanes:
            lane.shutdown()

    def drain(self, grace: float) -> bool:
        """Refuses new calls and those that no thread has begun, and waits until the others are answered.

        Returns True if they were answered within `grace` seconds.
        """
        self._draining = True
        self.unverified.end_all()
        self.arrivals.end_all()
        for lane in self._lanes:
            lane.refuse_queue(_SHUTTING_DOWN)
        end = time.monotonic() + grace
        with self._changed:
            answered = self._changed.wait_for(lambda: not any(lane.calls for lane in self._lanes), grace)
            self._changed.wait_for(lambda: not self.unread, min(MAX_FLUSH, max(0.0, end - time.monotonic())))
        return answered

    def receive(self, call: IncomingCall, lane: Lane) -> None:
        """Receives the request of a call whose headers have arrived, and gives it to the lane, or refuses the call."""
        for observer in self._observers:
            observer.begun(call)
        call.on_code = self._tell_end
        call.on_end(self._forget)
        if call.metadata_bytes > self._limits.metadata:
            self._drop(call)
            return
        refusal = self._refusal(lane) or (self._gate and self._gate.check(call)) or self._over_rate(call)
        if refusal is not None:
            call.refuse(refusal)
        elif self._gate is None or call.principal is not None:
            self._receive(call, lane)
        else:
            self.unverified.add(call, 1)
            self._gate.verify(call, partial(self._receive, call, lane))

    def _drop(self, call: IncomingCall) -> None:
        """Ends a call with too much metadata, of which there may be 16 MiB, also if its client reads no answer."""
        call.refuse(TOO_MUCH_METADATA)
        call.mark_answered()
        call.cancel()

    def _over_rate(self, call: IncomingCall) -> grpc.Status | None:
        """Returns the error of a client that calls too often. A client is a principal, or an address without one."""
        if not self._limits.client_rate:
            return None
        client = call.client if call.principal is None else f"{call.principal.kind} {call.principal.name}"
        return None if self._rates.take(client) else _TOO_FAST

    def _receive(self, call: IncomingCall, lane: Lane) -> None:
        self.unverified.discard(call)
        self.arrivals.add(call, partial(call.receive, partial(self._accept, lane=lane)))

    def mark_answered(self, call: IncomingCall) -> None:
        """Moves a call with an answer to those that wait until their client has read it. A stream does not wait."""
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

    def _accept(self, call: IncomingCall, lane: Lane) -> None:
        self.arrivals.discard(call)
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
            call.mark_answered()  # so that the call releases the request before the client has read the error

    def _forget(self, call: IncomingCall) -> None:
        self.unverified.discard(call)
        self.arrivals.discard(call)
        if self.unread.discard(call) > MAX_LAG and call.answer_size <= MAX_SMALL:
            self._crowded_until = time.monotonic() + MIN_CROWDED
        self._stuck.pop(call, None)
        if any(call in lane.calls for lane in self._lanes):
            self._some_ended = True
        self.notify()

    def notify(self) -> None:
        """Wakes `drain` when a call has been answered or has ended."""
        if self._draining:
            with self._changed:
                self._changed.notify_all()

    def _refusal(self, lane: Lane) -> grpc.Status | None:
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
        """Tells whether a lane was crowded, or gRPC's thread of events late, a moment ago."""
        return time.monotonic() < self._crowded_until

    def _is_full(self, lane: Lane) -> bool:
        return lane.is_full() or sum(len(each.calls) for each in self._lanes) >= self._limits.calls

    def _end_unverified(self, call: IncomingCall) -> None:
        call.refuse(_SHUTTING_DOWN if self._draining else _UNVERIFIED)

    def _end_queued(self, call: IncomingCall) -> None:
        call.refuse(_SHUTTING_DOWN if self._draining else _TOO_MANY)

    def _end_incomplete(self, call: IncomingCall) -> None:
        call.refuse(_SHUTTING_DOWN if self._draining else _LATE)

    def _end_unread(self, call: IncomingCall) -> None:
        """Cancels a call. gRPC keeps its answer until it has written to the connection what it has begun to write."""
        self._stuck[call] = call.connection
        call.cancel()
        if call.ended:  # before it was added
            self._stuck.pop(call, None)

    def is_stuck(self, call: IncomingCall) -> bool:
        """Tells whether the client of a call has left answers on this connection unread."""
        return bool(self._stuck) and call.connection in list(self._stuck.values())

    def _sweep(self) -> None:
        while not self._stopping.wait(SWEEP_INTERVAL):
            # Nothing tells of calls that wait in gRPC, because its thread of events is late, until that thread runs.
            self._crowded_until = max(self._crowded_until, time.monotonic() + GLANCE)
            self.unverified.end_late()
            self.arrivals.sweep()
            self.unread.end_late()
            latest = time.monotonic() - self._limits.seconds
            for lane in self._lanes:
                for call, since in list(lane.calls.items()):
                    if since < latest:
                        call.refuse(_TOO_LONG)


_SHUTTING_DOWN = grpc_status(Unavailable("SHUTTING_DOWN", "the server is shutting down; try another one"))
_TOO_MANY = grpc_status(
    ResourceExhausted("TOO_MANY_CALLS", "the server answers as many calls as it can; try again later")
)
_TOO_FAST = grpc_status(
    ResourceExhausted("RATE_LIMIT_EXCEEDED", "this client calls more often than it may; try again later")
)
_UNVERIFIED = grpc_status(
    DeadlineExceeded("REQUEST_TIMEOUT", f"the credentials could not be checked within {MAX_VERIFICATION:g} s")
)
_LATE = grpc_status(DeadlineExceeded("REQUEST_TIMEOUT", f"the request did not arrive within {MAX_ARRIVAL:g} s"))
_TOO_LONG = grpc_status(DeadlineExceeded("MAX_DEADLINE_EXCEEDED", "the call takes longer than the server allows"))
