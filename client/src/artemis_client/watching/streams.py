"""Calls that another thread may end: the streams of watches, and the pages that a mirror lists."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import grpc

from artemis_client.calls import Caller, Method, closed, grpc_errors, metadata_with
from artemis_client.errors import Unavailable
from artemis_client.positions import Trailers
from artemis_client.tracing import Metadata

Request = TypeVar("Request")
Request_contra = TypeVar("Request_contra", contravariant=True)
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
C = TypeVar("C", bound="Cancellable")
SILENCE = 40.0
"""Seconds without a response after which a stream counts as dead. A server sends a checkpoint every 10 seconds."""


class Cancellable(Protocol):
    """A call that is under way."""

    def cancel(self) -> object:
        """Ends it."""


class Responses(Cancellable, Protocol[Response_co]):
    """A stream that is under way."""

    def __next__(self) -> Response_co:
        """Waits for the next response."""


class StreamMethod(Protocol[Request_contra, Response_co]):
    """A method of a generated stub that answers with a stream."""

    def __call__(self, request: Request_contra, *, metadata: Metadata | None = None) -> Responses[Response_co]:
        """Starts a stream."""


class ClosableCaller(Caller):
    """Makes the calls of one watch or mirror. Closing it ends those that are under way at once, and no others."""

    def __init__(self, parent: Caller, silence: float = SILENCE) -> None:
        """Takes the caller of the client, with which it is closed, and the seconds that a stream may be silent."""
        super().__init__(parent._timeout, parent._token)
        self._silence = silence
        self._lock = threading.Lock()
        self._calls: set[Cancellable] = set()
        parent.adopt(self)

    @property
    def is_closed(self) -> bool:
        """Tells whether it makes no more calls."""
        return self._closed.is_set()

    def close(self) -> None:
        """Ends what is under way; it fails with Cancelled."""
        with self._lock:
            super().close()
            calls = [*self._calls]
        for call in calls:
            call.cancel()

    def responses(self, method: StreamMethod[Request, Response], request: Request) -> Iterator[Response]:
        """Yields the responses of one stream. Raises ArtemisError when the stream fails."""
        token = self._provide()
        with grpc_errors(), self._started(lambda: method(request, metadata=metadata_with(token))) as call:
            responses = AttentiveResponses(call, self._silence)
            try:
                yield from responses
            finally:
                responses.close()

    def _send(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> tuple[Response, Trailers]:
        with self._started(lambda: method.future(request, timeout=timeout, metadata=metadata)) as call:
            try:
                return call.result(), call.trailing_metadata()
            except grpc.FutureCancelledError:
                raise closed() from None

    @contextmanager
    def _started(self, start: Callable[[], C]) -> Iterator[C]:
        """Starts a call, which ends with the block at the latest. Raises Cancelled if the caller is closed."""
        with self._lock:
            if self.is_closed:
                raise closed()
            call = start()
            self._calls.add(call)
        try:
            yield call
        finally:
            call.cancel()
            with self._lock:
                self._calls.discard(call)


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
        """Ends the thread."""
        self._ended.set()

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
