"""Lanes: the threads that answer calls.

A lane has the threads for some methods, so that slow methods do not hold up quick ones.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import grpc
from grpc_status import rpc_status

from artemis_server.db.connection.database import Submit
from artemis_server.errors import RequestError, ResourceExhausted
from artemis_server.rpc.incoming import SUBMITTED, IncomingCall, Refused
from artemis_server.rpc.status import status_of
from artemis_server.rpc.waiting import Waiting

MAX_GROUPED = 16 * 2**10  # bytes of a request that the writer's thread parses and validates
CROWDED = 0.7  # the share of its calls from which on a lane is crowded: it may have to refuse calls soon
MAX_OVERLOAD = 5.0  # seconds after a lane was full, in which it takes no more calls than make it crowded


class Owner(Protocol):
    """The parts of `Calls` that a lane needs."""

    @property
    def unread(self) -> Waiting:
        """The calls whose clients have not read their answers."""

    @property
    def call_type(self) -> Callable[..., IncomingCall]:
        """Makes a call of the arguments that grpcio gives to a pool."""

    @property
    def crowded(self) -> bool:
        """Tells whether a lane was crowded, or gRPC's thread of events late, a moment ago."""

    def receive(self, call: IncomingCall, lane: "Lane") -> None:
        """Receives the request of a call whose headers have arrived, and gives it to the lane, or refuses the call."""

    def is_stuck(self, call: IncomingCall) -> bool:
        """Tells whether the client of a call has left answers on this connection unread."""

    def mark_answered(self, call: IncomingCall) -> None:
        """Moves a call that has its answer to those that wait until their client has read it."""

    def notify(self) -> None:
        """Is told that a lane has one call less."""


class Lane(ThreadPoolExecutor):
    """Threads that answer the calls of some methods. `Calls.lane` makes it.

    grpcio demands a ThreadPoolExecutor, whose threads begin before a request has arrived; a lane has its own.
    """

    def __init__(self, owner: Owner, name: str, threads: int, max_calls: int, *, large_answers: bool = False) -> None:
        super().__init__(1)
        self.calls: dict[IncomingCall, float] = {}
        """The calls that a thread answers or that wait for one, and since when, as `time.monotonic` has it."""
        self.name = name
        self.max_calls = max_calls
        """The number of calls that it may have."""
        self._owner = owner
        self._large_answers = large_answers
        self._overloaded_until = 0.0
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
        self._owner.receive(self._owner.call_type(*arguments), self)
        return SUBMITTED

    def lane_of(self, _: IncomingCall) -> "Lane":
        """Returns the lane that answers this call."""
        return self

    def put(self, call: IncomingCall) -> None:
        """Gives a call to the next thread that is free. gRPC's thread of events calls this."""
        self.calls[call] = time.monotonic()
        self._queue.put(call)

    def is_full(self) -> bool:
        """Tells whether the lane has as many calls as it may have. gRPC's thread of events calls this.

        A queue takes up a burst. When calls go on to arrive faster than they are answered, a long queue answers no more
        of them than a short one, and each later. So a lane that was full has a shorter queue for a while.
        """
        if time.monotonic() < self._overloaded_until:
            return self.is_crowded()
        full = len(self.calls) >= self.max_calls
        if full:
            self._overloaded_until = time.monotonic() + MAX_OVERLOAD
        return full

    def waiting(self) -> int:
        """Returns how many calls wait for a thread."""
        return self._queue.qsize()

    def is_crowded(self) -> bool:
        """Tells whether the lane has the share CROWDED of the calls that it may have."""
        return len(self.calls) >= self.max_calls * CROWDED

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
        let_others_finish()
        while (call := self._queue.get()) is not None:
            if self._owner.crowded:
                yield_core()
            if self._large_answers:
                self._owner.unread.wait_for_room()
            try:
                if self._large_answers and self._owner.is_stuck(call):
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
            call.refuse(grpc_status(error, call.request_id))

    def _end(self, call: IncomingCall) -> None:
        self._owner.mark_answered(call)
        self.calls.pop(call, None)
        self._owner.notify()


class GroupLane(Lane):
    """Calls that the thread of a database's writer answers, many in one transaction. `Calls.group_lane` makes it."""

    def __init__(self, owner: Owner, submit: Submit, large: Lane, max_calls: int) -> None:
        super().__init__(owner, "write", 0, max_calls)
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
        call.refuse(grpc_status(error, call.request_id))
        self._end(call)


def let_others_finish() -> None:
    """Keeps this thread from taking the core from another one, such as gRPC's, at the moment that it wakes (Linux).

    It gets as much of the core as before. See SCHED_BATCH in sched(7).
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox forbids it
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))


def yield_core() -> None:
    """Lets other threads run that wait for the interpreter's lock. Otherwise this thread could keep it for 5 ms."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def grpc_status(error: BaseException, request_id: str = "") -> grpc.Status:
    """Returns the status of an error, in the call with this id."""
    return error.status if isinstance(error, Refused) else rpc_status.to_status(status_of(error, request_id))


_UNREAD = grpc_status(
    ResourceExhausted("ANSWERS_UNREAD", "read the answers on this connection before you ask for more")
)
