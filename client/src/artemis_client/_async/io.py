"""Tasks, locks, pauses and calls on asyncio and grpc.aio. `_sync/io.py` has the same names."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

import grpc
import grpc.aio
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis.v1.users_pb2_grpc import UserServiceStub

from artemis_client import forks
from artemis_client.calls import closed
from artemis_client.errors import DeadlineExceeded, Trailers, Unavailable
from artemis_client.tracing import Metadata

if TYPE_CHECKING:  # these types are in the stubs' .pyi alone
    from artemis.v1.events_pb2_grpc import EventServiceAsyncStub
    from artemis.v1.users_pb2_grpc import UserServiceAsyncStub

T = TypeVar("T")
C = TypeVar("C", bound="Cancellable")
Request = TypeVar("Request")
Request_contra = TypeVar("Request_contra", contravariant=True)
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
Channel: TypeAlias = grpc.aio.Channel
Interceptor: TypeAlias = grpc.aio.ClientInterceptor
Failure = Exception
"""Exceptions a background task can fail with. Its cancellation is no failure."""


class Cancellable(Protocol):
    """A call that is under way."""

    def cancel(self) -> object:
        """Ends it."""


class PendingCall(Cancellable, Protocol[Response_co]):
    """A unary call that is under way."""

    def __await__(self) -> Generator[Any, None, Response_co]:
        """Waits for the response."""

    async def trailing_metadata(self) -> Any:
        """Waits for the trailers."""


class Responses(Cancellable, Protocol[Response_co]):
    """A stream that is under way."""

    def __aiter__(self) -> AsyncIterator[Response_co]:
        """Returns the responses. Nothing here calls it; it tells a type checker of which type they are."""

    async def read(self) -> Any:
        """Waits for the next response. Returns EOF at the end, whose type gRPC keeps to itself."""


class Method(Protocol[Request_contra, Response_co]):
    """A unary method of a generated stub."""

    def __call__(
        self, request: Request_contra, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> PendingCall[Response_co]:
        """Starts a call; `timeout` is in seconds."""


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
        return grpc.aio.insecure_channel(target, options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, credentials, options, interceptors=interceptors)


def event_service(channel: Channel) -> "EventServiceAsyncStub":
    """Returns the stub of EventService."""
    return EventServiceStub(channel)


def user_service(channel: Channel) -> "UserServiceAsyncStub":
    """Returns the stub of UserService."""
    return UserServiceStub(channel)


async def settled(value: T | Awaitable[T]) -> T:
    """Returns the result of what may be a function or a coroutine function."""
    return await value if isinstance(value, Awaitable) else value


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[None]:
    """Raises DeadlineExceeded when what is inside of it waits for longer."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        message = "the token provider did not return before the deadline"
        raise DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, message) from None


class Home(forks.Home):
    """The event loop and the process in which a client was made: it cannot be used elsewhere.

    Raises:
        RuntimeError: no event loop is running.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("make the client in a coroutine: it belongs to the event loop that runs then") from None

    def check(self) -> None:
        """Raises RuntimeError if this is another process or another event loop."""
        super().check()
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this client belongs to another event loop; make one in each event loop")


class Calls:
    """The calls that a client, a watch or a mirror makes."""

    def __init__(self, *, cancellable: bool) -> None:
        """With `cancellable`, closing ends the calls that are under way."""
        self._cancellable = cancellable
        self._closed = asyncio.Event()
        self._under_way: weakref.WeakSet[Cancellable] = weakref.WeakSet()

    @property
    def is_closed(self) -> bool:
        """Tells whether no more calls are made."""
        return self._closed.is_set()

    def close(self) -> None:
        """Ends what is under way; it fails with Cancelled."""
        self._closed.set()
        for call in [*self._under_way]:
            call.cancel()

    async def closed_within(self, seconds: float) -> bool:
        """Waits, and tells whether it was closed meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                return await self._closed.wait()
        except TimeoutError:
            return False

    async def unary(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> tuple[Response, Trailers]:
        """Returns the response and the trailers of a call."""
        call = self._start(lambda: method(request, timeout=timeout, metadata=metadata))
        with cancellation():
            return await call, await call.trailing_metadata()

    def stream(
        self, method: StreamMethod[Request, Response], request: Request, metadata: Metadata, silence: float
    ) -> "AttentiveResponses[Response]":
        """Returns the responses of a stream, which fails when none came for so many seconds."""
        return AttentiveResponses(self._start(lambda: method(request, metadata=metadata)), silence)

    def _start(self, start: Callable[[], C]) -> C:
        """Starts a call. Raises Cancelled if this is closed."""
        if self.is_closed:
            raise closed()
        call = start()
        if self._cancellable:
            self._under_way.add(call)
        return call


class AttentiveResponses(AsyncIterator[Response]):
    """Responses of a stream, which fails with Unavailable when its reader has waited too long for one."""

    def __init__(self, call: Responses[Response], limit: float) -> None:
        self._call = call
        self._limit = limit
        self._loop = asyncio.get_running_loop()

    async def __anext__(self) -> Response:
        try:
            async with asyncio.timeout(self._limit):
                with cancellation():
                    response = await self._call.read()
        except TimeoutError:
            raise Unavailable(grpc.StatusCode.UNAVAILABLE, "the server is silent") from None
        if response is grpc.aio.EOF:
            raise StopAsyncIteration
        return cast("Response", response)

    def close(self) -> None:
        """Ends the stream."""
        self._call.cancel()

    def __del__(self) -> None:
        """Ends the stream of a reader that forgot it, on any thread: gRPC itself keeps the call."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._call.cancel)


@contextmanager
def cancellation() -> Iterator[None]:
    """Raises Cancelled if a call inside of it was cancelled, and not the task that waits for it.

    gRPC tells of both in the same way.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise closed() from None


class Notice:
    """Wakes those who wait for something to become true."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait_for(self, is_true: Callable[[], bool], timeout: float | None) -> None:
        """Waits until it is true, for so many seconds at most."""
        try:
            async with asyncio.timeout(timeout):
                while not is_true():
                    await self._event.wait()
        except TimeoutError:
            return

    def notify(self) -> None:
        """Lets everybody who waits look again."""
        self._event.set()
        self._event = asyncio.Event()


class Background:
    """A task that runs beside the program."""

    _running: "set[asyncio.Task[None]]" = set()  # noqa: RUF012 - the event loop itself keeps no task alive

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._task = asyncio.create_task(run(), name=name)
        self._running.add(self._task)
        self._task.add_done_callback(self._running.discard)

    async def join(self) -> None:
        """Waits until it has ended. Within itself, it returns at once."""
        if asyncio.current_task() is not self._task:
            await asyncio.wait([self._task])
