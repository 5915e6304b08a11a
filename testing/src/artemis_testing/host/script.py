"""The script of the calls to come: which of them fail, and how. It also records every call that arrives."""

import enum
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from artemis_server.rpc.incoming import IncomingCall

UNSCRIPTED = "x-artemis-testing"
"""The metadata of calls that the kit makes itself: they are not recorded, and no fault meets them."""
MAX_RECORDED = 10_000
"""Calls that are kept."""
MAX_END = 2.0
"""Seconds in which gRPC has sent the statuses of calls that were ended."""


class Kind(enum.Enum):
    """The kind of a fault."""

    FAIL = "the call ends with a status, and has no effect"
    DROP = "the connection ends when the call arrives, which has no effect"
    LOSE = "the connection ends when the call has its answer, which is not sent"
    DELAY = "the answer is sent later"


@dataclass(kw_only=True)
class Fault:
    """A fault of the next calls."""

    kind: Kind
    calls: int
    """The number of calls that it still meets."""
    method: str
    """The name of the method, such as "CreateEvent"; empty for all."""
    status: grpc.Status | None = None
    seconds: float = 0.0

    def meets(self, method: str, *, streams: bool) -> bool:
        """Tells whether the fault meets a call of this method. A stream has no single answer to lose or to delay."""
        if streams and self.kind in (Kind.LOSE, Kind.DELAY):
            return False
        return self.method in ("", method)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A call that has arrived."""

    method: str
    """The full name, such as "/artemis.v1.EventService/GetEvent"."""
    request: bytes
    metadata: tuple[tuple[str, str | bytes], ...]


class Script:
    """The faults to come, the earliest first, the calls that have arrived, and those that are open.

    Threads may share it.
    """

    def __init__(self, cut: Callable[[int], None]) -> None:
        """`cut` ends the connection of the client with this port."""
        self.cut = cut
        self._lock = threading.Condition()
        self._open: set[ScriptedCall] = set()
        self._faults: list[Fault] = []
        self._calls: deque[Recorded] = deque(maxlen=MAX_RECORDED)

    def add(self, fault: Fault) -> None:
        """Adds a fault after the others."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forgets all faults."""
        with self._lock:
            self._faults.clear()

    def forget_calls(self) -> None:
        """Forgets all calls."""
        with self._lock:
            self._calls.clear()

    def calls(self) -> list[Recorded]:
        """Returns the calls, in the order of their arrival."""
        with self._lock:
            return list(self._calls)

    def opened(self, call: "ScriptedCall") -> None:
        """Is told of a call whose headers have arrived."""
        with self._lock:
            self._open.add(call)

    def ended(self, call: "ScriptedCall") -> None:
        """Is told of a call that has ended."""
        with self._lock:
            self._open.discard(call)
            self._lock.notify_all()

    def end_calls(self, status: grpc.Status) -> bool:
        """Ends all open calls with this status; returns whether they have ended within MAX_END seconds."""
        with self._lock:
            calls = list(self._open)
        for call in calls:
            call.end(status)
        with self._lock:
            return self._lock.wait_for(lambda: not self._open.intersection(calls), MAX_END)

    def arrive(self, call: Recorded, *, streams: bool) -> Fault | None:
        """Records a call, and returns the fault that it meets."""
        name = call.method.rpartition("/")[2]
        with self._lock:
            self._calls.append(call)
            fault = next((each for each in self._faults if each.meets(name, streams=streams)), None)
            if fault is not None:
                fault.calls -= 1
                if fault.calls == 0:
                    self._faults.remove(fault)
            return fault


class ScriptedCall(IncomingCall):
    """A call that follows a script. A fault meets it when access control has let it in and its request is there."""

    def __init__(self, script: Script, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._script = script
        self._fault: Fault | None = None
        self._held = False
        """True if the answer waits for its time."""
        self._left = threading.Event()
        """Set once the method is done with a call whose answer waits."""
        script.opened(self)

    def receive(self, arrived: Callable[[IncomingCall], None]) -> None:
        """Receives the request, and then meets the fault that is due."""
        super().receive(lambda _: self._meet(arrived))

    def _meet(self, arrived: Callable[[IncomingCall], None]) -> None:
        metadata = tuple((name, value) for name, value in self.metadata)
        fault = None
        if all(name != UNSCRIPTED for name, _ in metadata):
            recorded = Recorded(method=self.method, request=self._request, metadata=metadata)
            fault = self._script.arrive(recorded, streams=self.streams)
        if fault is None or fault.kind in (Kind.LOSE, Kind.DELAY):
            self._fault = fault
            arrived(self)
            return
        if fault.status is not None:
            super().refuse(fault.status)
        else:
            self._cut()
        self.mark_answered()

    def send(self, answer: bytes) -> None:
        """Answers the call, unless the answer is lost; perhaps later."""
        self._deliver(partial(super().send, answer))

    def refuse(self, status: grpc.Status) -> None:
        """Ends the call with an error, unless that is lost; perhaps later."""
        self._deliver(partial(super().refuse, status))

    def end(self, status: grpc.Status) -> None:
        """Ends the call with this status at once, unless it has its answer."""
        self._fault = None
        super().refuse(status)

    def _end(self, ended: Callable[[IncomingCall], None]) -> None:
        super()._end(ended)
        self._script.ended(self)

    def mark_answered(self) -> None:
        """Tells that the method is done with the call, once its answer is sent."""
        if self._held:
            self._left.set()
        else:
            super().mark_answered()

    def _deliver(self, deliver: Callable[[], None]) -> None:
        fault, self._fault = self._fault, None
        if fault is None:
            deliver()
        elif fault.kind is Kind.LOSE:
            self.done = True
            self._cut()
        else:
            self._held = True
            timer = threading.Timer(fault.seconds, self._deliver_late, [deliver])
            timer.daemon = True
            timer.start()

    def _deliver_late(self, deliver: Callable[[], None]) -> None:
        deliver()
        self._left.wait()
        super().mark_answered()

    def _cut(self) -> None:
        self._script.cut(int(self.connection.rpartition(b":")[2]))
