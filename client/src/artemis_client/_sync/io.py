"""Threads, locks, pauses and calls without asyncio. `_async/io.py` has the same names."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis.v1.users_pb2_grpc import UserServiceStub

from artemis_client import forks
from artemis_client.calls import closed
from artemis_client.errors import Trailers, Unavailable
from artemis_client.tracing import Metadata

T = TypeVar("T")
C = TypeVar("C", bound="Cancellable")
Request = TypeVar("Request")
Request_contra = TypeVar("Request_contra", contravariant=True)
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
Channel: TypeAlias = grpc.Channel
Home: TypeAlias = forks.Home
Interceptor: TypeAlias = grpc.UnaryUnaryClientInterceptor | grpc.UnaryStreamClientInterceptor
Failure = BaseException
"""Exceptions a background thread can fail with."""


class Cancellable(Protocol):
    """A call that is under way."""

    def cancel(self) -> object:
        """Ends it."""


class PendingCall(Cancellable, Protocol[Response_co]):
    """A unary call that is under way."""

    def result(self) -> Response_co:
        """Waits for the response."""

    def trailing_metadata(self) -> Trailers:
        """Waits for the trailers."""


class Responses(Cancellable, Protocol[Response_co]):
    """A stream that is under way."""

    def __next__(self) -> Response_co:
        """Waits for the next response."""


class Method(Protocol[Request_contra, Response_co]):
    """A unary method of a generated stub; `timeout` is in seconds."""

    def with_call(
        self, request: Request_contra, timeout: float | None = None, metadata: Metadata | None = None
    ) -> tuple[Response_co, grpc.Call]:
        """Calls it, and returns the call as well, which has the trailers."""

    def future(
        self, request: Request_contra, timeout: float | None = None, metadata: Metadata | None = None
    ) -> PendingCall[Response_co]:
        """Starts a call that another thread may cancel."""


class StreamMethod(Protocol[Request_contra, Response_co]):
    """A method of a generated stub that answers with a stream."""

    def __call__(self, request: Request_contra, *, metadata: Metadata | None = None) -> Responses[Response_co]:
        """Starts a stream."""


def connect(
    target: str,
    credentials: grpc.ChannelCredentials | None,
    options: Sequence[tuple[str, Any]],
    interceptors: Sequence[Interceptor],
) -> Channel:
    """Returns a channel. Without credentials it is not encrypted."""
    forks.connecting()
    if credentials is None:
        channel = grpc.insecure_channel(target, options)
    else:
        channel = grpc.secure_channel(target, credentials, options)
    return grpc.intercept_channel(channel, *interceptors) if interceptors else channel


def event_service(channel: Channel) -> EventServiceStub:
    """Returns the stub of EventService."""
    return EventServiceStub(channel)


def user_service(channel: Channel) -> UserServiceStub:
    """Returns the stub of UserService."""
    return UserServiceStub(channel)


def settled(value: T) -> T:
    """Returns the result of a function. It waits for nothing: a function has no result before it returns."""
    return value


@contextmanager
def limited(seconds: float) -> Iterator[None]:  # noqa: ARG001 - a function cannot be ended from outside
    """Limits nothing."""
    yield


class Calls:
    """The calls that a client, a watch or a mirror makes."""

    def __init__(self, *, cancellable: bool) -> None:
        """With `cancellable`, closing ends the calls that are under way. Each call takes more CPU then."""
        self._cancellable = cancellable
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._under_way: weakref.WeakSet[Cancellable] = weakref.WeakSet()

    @property
    def is_closed(self) -> bool:
        """Tells whether no more calls are made."""
        return self._closed.is_set()

    def close(self) -> None:
        """Ends what is under way; it fails with Cancelled."""
        with self._lock:
            self._closed.set()
            calls = [*self._under_way]
        for call in calls:
            call.cancel()

    def closed_within(self, seconds: float) -> bool:
        """Waits, and tells whether it was closed meanwhile."""
        return self._closed.wait(seconds)

    def unary(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> tuple[Response, Trailers]:
        """Returns the response and the trailers of a call."""
        if self._cancellable:
            return self._cancellable_unary(method, request, timeout, metadata)
        if self.is_closed:
            raise closed()
        response, call = method.with_call(request, timeout=timeout, metadata=metadata)
        return response, call.trailing_metadata()

    def stream(
        self, method: StreamMethod[Request, Response], request: Request, metadata: Metadata, silence: float
    ) -> "AttentiveResponses[Response]":
        """Returns the responses of a stream, which fails when none came for so many seconds."""
        return AttentiveResponses(self._start(lambda: method(request, metadata=metadata)), silence)

    def _cancellable_unary(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> tuple[Response, Trailers]:
        call = self._start(lambda: method.future(request, timeout=timeout, metadata=metadata))
        try:
            return call.result(), call.trailing_metadata()
        except grpc.FutureCancelledError:
            raise closed() from None

    def _start(self, start: Callable[[], C]) -> C:
        """Starts a call. Raises Cancelled if this is closed."""
        with self._lock:
            if self.is_closed:
                raise closed()
            call = start()
            self._under_way.add(call)
            return call


class AttentiveResponses(Iterator[Response]):
    """Responses of a stream, which fails with Unavailable when its reader has waited too long for one.

    gRPC cannot wait for a response for a time only, so that a thread looks after it. The thread ends when this is
    closed, and soon after a reader has let go of it.
    """

    def __init__(self, call: Responses[Response], limit: float) -> None:
        self._call = call
        self._waiting_since: float | None = None
        self._was_silent = False
        self._ended = threading.Event()
        arguments = (weakref.ref(self), self._ended, limit)
        threading.Thread(target=_look_after, args=arguments, name="artemis-watch", daemon=True).start()

    def __next__(self) -> Response:
        self._waiting_since = time.monotonic()
        try:
            return next(self._call)
        except BaseException:
            if self._was_silent:
                raise Unavailable(grpc.StatusCode.UNAVAILABLE, "the server is silent") from None
            raise
        finally:
            self._waiting_since = None

    def close(self) -> None:
        """Ends the stream and the thread."""
        self._ended.set()
        self._call.cancel()

    def cancel_if_silent(self, limit: float) -> None:
        """Cancels the stream if its reader has waited for so many seconds."""
        since = self._waiting_since
        if since is not None and time.monotonic() - since >= limit:
            self._was_silent = True
            self._call.cancel()


def _look_after(stream: "weakref.ref[AttentiveResponses[Response]]", ended: threading.Event, limit: float) -> None:
    while not ended.wait(limit / 4):
        watched = stream()
        if watched is None:
            return
        watched.cancel_if_silent(limit)
        del watched


class Notice:
    """Wakes those who wait for something to become true."""

    def __init__(self) -> None:
        self._condition = threading.Condition()

    def wait_for(self, is_true: Callable[[], bool], timeout: float | None) -> None:
        """Waits until it is true, for so many seconds at most."""
        with self._condition:
            self._condition.wait_for(is_true, timeout)

    def notify(self) -> None:
        """Lets everybody who waits look again."""
        with self._condition:
            self._condition.notify_all()


class Background:
    """A thread that runs beside the program."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits until it has ended. Within itself, it returns at once."""
        if threading.current_thread() is not self._thread:
            self._thread.join()
