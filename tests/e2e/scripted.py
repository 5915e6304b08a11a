"""A server of events that plays what a test has written: streams of changes, their failures, and pages of a list."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import NoReturn, TypeAlias

import grpc
from artemis.v1 import events_pb2_grpc
from artemis.v1.events_pb2 import (
    Event,
    EventChange,
    ListEventsRequest,
    ListEventsResponse,
    WatchEventsRequest,
    WatchEventsResponse,
)
from artemis_client import Watch
from artemis_client._sync.calls import Caller
from artemis_client._sync.source import EventSource
from artemis_client.calls import CallSettings
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from tests.e2e.servers import PATIENCE

CREATED, UPDATED, DELETED = EventChange.TYPE_CREATED, EventChange.TYPE_UPDATED, EventChange.TYPE_DELETED


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The end of a call: a status, with its reason, and the seconds after which to come back, if it has them."""

    code: grpc.StatusCode
    reason: str = ""
    retry: float | None = None

    def abort(self, context: grpc.ServicerContext) -> NoReturn:
        """Ends the call."""
        details: list[Message] = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain="artemis"))
        if self.retry is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromNanoseconds(round(1e9 * self.retry))
            details.append(info)
        status = Status(code=self.code.value[0], message="as it is written", details=map(_packed, details))
        if details:
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(self.code, "as it is written")
        raise AssertionError


def _packed(message: Message) -> Any:
    made = Any()
    made.Pack(message)
    return made


LOST = Failure(code=grpc.StatusCode.UNAVAILABLE)
EXPIRED = Failure(code=grpc.StatusCode.OUT_OF_RANGE, reason="RESUME_TOKEN_EXPIRED")
Step: TypeAlias = WatchEventsResponse | Failure | None
"""A part of a stream; None ends it as if all were well. After its last part it is silent until the client ends it."""


def change(kind: "EventChange.Type", event_id: int, name: str = "") -> EventChange:
    return EventChange(type=kind, event=Event(id=event_id, name=name))


def response(token: str, *changes: EventChange, caught_up: bool = False) -> WatchEventsResponse:
    """Returns a response; with the token "", its last transaction continues."""
    return WatchEventsResponse(changes=changes, resume_token=token, caught_up=caught_up)


@dataclass
class Script(events_pb2_grpc.EventServiceServicer):
    """Plays one stream after the other, and then silent ones. Every list has the same pages."""

    streams: list[Sequence[Step]] = field(default_factory=list)
    after: dict[str, Sequence[Step]] = field(default_factory=dict)
    """Streams that it plays to whoever comes with the token, however often. gRPC in Python may lose the responses that
    it has received and not handed on when an error follows."""
    pages: Sequence[Sequence[Event]] = ((),)
    tokens: Sequence[str] = ("listed",)
    """The resume tokens of the pages of each list. Their last one is also that of all further pages."""
    held_page: int | None = None
    """The number of a page that does not come."""
    refusal: Failure | None = None
    """The end of every list."""
    requests: list[WatchEventsRequest] = field(default_factory=list)
    """Those of the streams so far."""
    credentials: list[str] = field(default_factory=list)
    """Those that the streams came with."""
    lists: int = 0
    """Lists that were begun."""
    target: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _failure: Failure | None = None
    _open: int = 0
    _holding: bool = False

    def ListEvents(self, request: ListEventsRequest, context: grpc.ServicerContext) -> ListEventsResponse:
        number = int(request.page_token or 0)
        if not number:
            with self._changed:
                self.lists += 1
                self._changed.notify_all()
        if self.refusal is not None:
            self.refusal.abort(context)
        if number == self.held_page:
            self._hold(context)
        last = number == len(self.pages) - 1
        return ListEventsResponse(
            events=self.pages[number],
            next_page_token="" if last else str(number + 1),
            resume_token=self.tokens[min(number, len(self.tokens) - 1)],
        )

    def WatchEvents(self, request: WatchEventsRequest, context: grpc.ServicerContext) -> Iterator[WatchEventsResponse]:
        with self._changed:
            self.requests.append(request)
            self.credentials.append(str(dict(context.invocation_metadata()).get("authorization")))
            number = len(self.requests) - 1
            self._open += 1
            self._changed.notify_all()
        context.add_callback(self._ended)
        written = self.streams[number] if number < len(self.streams) else ()
        for step in self.after.get(request.resume_token, written):
            if step is None:
                return
            if isinstance(step, Failure):
                step.abort(context)
            yield step
        self._hold(context)

    @property
    def starts(self) -> list[str]:
        """The tokens that the streams began with, one after the other."""
        return [token for token, _ in groupby(request.resume_token for request in self.requests)]

    def end_stream(self, failure: Failure) -> None:
        """Ends the stream that is silent, once there is one."""
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def wait_for_streams(self, number: int) -> None:
        """Waits until so many streams have begun in all."""
        self._wait(lambda: len(self.requests) >= number)

    def wait_for_lists(self, number: int = 1) -> None:
        """Waits until so many lists have begun in all."""
        self._wait(lambda: self.lists >= number)

    def wait_until_failed(self) -> None:
        """Waits until the first stream has ended."""
        self._wait(lambda: bool(self.requests) and self._open == 0)

    def wait_until_held(self) -> None:
        """Waits until a call is held that the client has to end."""
        self._wait(lambda: self._holding)

    def wait_until_left(self) -> None:
        """Waits until no stream is open."""
        self._wait(lambda: self._open == 0)

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE)

    def _hold(self, context: grpc.ServicerContext) -> None:
        """Waits until the client ends the call, or the test does."""
        with self._changed:
            self._holding = True
            self._changed.notify_all()
        context.add_callback(self._notify)
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not context.is_active(), PATIENCE)
            failure, self._failure, self._holding = self._failure, None, False
        if failure is not None:
            failure.abort(context)

    def _ended(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


@contextmanager
def playing(*streams: Sequence[Step]) -> Iterator[Script]:
    """Runs a server that plays these streams, on loopback."""
    script = Script([*streams])  # type: ignore[abstract]  # what it lacks answers UNIMPLEMENTED
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        events_pb2_grpc.add_EventServiceServicer_to_server(script, server)
        script.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield script
        finally:
            server.stop(None).wait(PATIENCE)


@contextmanager
def impatient_watch(target: str, silence: float) -> Iterator[Watch]:
    """Watches with a client that bears so many seconds of silence."""
    with grpc.insecure_channel(target) as channel:
        caller = Caller(CallSettings(timeout=PATIENCE, silence=silence), cancellable=True)
        with Watch(EventSource(events_pb2_grpc.EventServiceStub(channel), caller), "start", "") as watch:
            yield watch
