# Made by client/generate_sync.py of _async/calls.py: change that, and run `make client`.
"""One call: its attempts, and the id that makes it safe to repeat."""

import dataclasses
import threading
import weakref
from typing import TypeVar
from uuid import uuid4

import grpc

from artemis_client._sync.io import AttentiveResponses, Calls, Home, Method, StreamMethod, limited, settled
from artemis_client.calls import AnyRequest, CallSettings, WriteRequest, closed, detached, explained, grpc_errors
from artemis_client.credentials import checked_token, token_errors
from artemis_client.errors import ArtemisError, trailers_of
from artemis_client.positions import LatestPosition
from artemis_client.retries import Attempts, checked_timeout
from artemis_client.tracing import Metadata

Request = TypeVar("Request", bound=AnyRequest)
Response = TypeVar("Response")
Write = TypeVar("Write", bound=WriteRequest)


class Caller:
    """Calls methods: with a deadline, a token if there is a provider of one, and in as many attempts as it takes."""

    def __init__(
        self,
        settings: CallSettings | None = None,
        position: LatestPosition | None = None,
        *,
        cancellable: bool = False,
    ) -> None:
        """With `cancellable`, closing the caller ends also the calls that are under way."""
        self._settings = settings or CallSettings()
        self.position = position or LatestPosition()
        self._home = Home()
        self._calls = Calls(cancellable=cancellable)
        self._lock = threading.Lock()  # for the children: a watch may be made while another thread closes the client
        self._children: weakref.WeakSet[Caller] = weakref.WeakSet()

    @property
    def is_closed(self) -> bool:
        """Tells whether it makes no more calls."""
        return self._calls.is_closed

    def close(self) -> None:
        """Ends the pauses between attempts, whose calls fail with Cancelled, and closes the callers made of it."""
        if not self._home.is_here():
            return
        self._calls.close()
        with self._lock:
            children = [*self._children]
        for child in children:
            child.close()

    def check(self) -> None:
        """Raises RuntimeError if the client was made elsewhere, and so cannot be used here."""
        self._home.check()

    def cancellable(self) -> "Caller":
        """Returns a caller for one watch or mirror. It has no position: the primary answers it.

        Closing it ends its calls that are under way at once, and no others. It is closed with this one.
        """
        return self._adopt(Caller(self._settings, cancellable=True))

    def with_metadata(self, metadata: Metadata) -> "Caller":
        """Returns a caller that also sends this metadata. It is closed with this one."""
        settings = dataclasses.replace(self._settings, metadata=(*self._settings.metadata, *metadata))
        return self._adopt(Caller(settings, self.position))

    def _adopt(self, child: "Caller") -> "Caller":
        self._home.check()
        with self._lock:
            self._children.add(child)
        if self.is_closed:
            child.close()
        return child

    def attempts(self, timeout: float | None) -> Attempts:
        """Returns the attempts of a call that has this timeout, or the client's."""
        settings = self._settings
        return Attempts(settings.timeout if timeout is None else checked_timeout(timeout), settings.retry)

    def call(self, method: Method[Request, Response], request: Request, timeout: float | None) -> Response:
        """Returns the response of the first attempt that has one. Raises ArtemisError when the call fails.

        If the server refuses the token and the provider returns another one then, the call is made with that, once.
        """
        self._home.check()
        attempts = self.attempts(timeout)
        token, other, before = self._provide(attempts.time_left), None, None
        while True:
            try:
                return self._attempt(method, request, attempts.time_left, other or token)
            except ArtemisError as failed:
                error = detached(failed)
            if error.code is grpc.StatusCode.UNAUTHENTICATED and other is None:
                other = self._provide(attempts.time_left)
                if other != token:
                    continue
            pause = attempts.pause_after(error)
            if pause is None:
                raise explained(error, request, before) from None
            self.pause(pause)
            before = error

    def write(self, method: Method[Write, Response], request: Write, timeout: float | None) -> Response:
        """Calls with an id: a new one if the request has none, the same in every attempt (AIP-4235)."""
        request.request_id = request.request_id or str(uuid4())
        return self.call(method, request, timeout)

    def stream(self, method: StreamMethod[Request, Response], request: Request) -> AttentiveResponses[Response]:
        """Starts a stream and returns its responses. Raises ArtemisError if it cannot."""
        self._home.check()
        metadata = self._settings.metadata_with(self._provide(self._settings.timeout))
        with grpc_errors():
            return self._calls.stream(method, request, metadata, self._settings.silence)

    def pause(self, seconds: float) -> None:
        """Waits. Raises Cancelled when the caller is closed."""
        if self._calls.closed_within(seconds):
            raise closed() from None

    def _provide(self, seconds: float) -> str | None:
        provider = self._settings.token
        if provider is None:
            return None
        with limited(seconds), token_errors():
            return checked_token(settled(provider()))

    def _attempt(
        self, method: Method[Request, Response], request: Request, timeout: float, token: str | None
    ) -> Response:
        """Sends the latest position, by which a replica can tell whether it may answer, and keeps the returned one.

        Raises ArtemisError.
        """
        metadata = (*self._settings.metadata_with(token), *self.position.metadata())
        with grpc_errors():
            try:
                response, trailers = self._calls.unary(method, request, timeout, metadata)
            except grpc.RpcError as failure:
                self.position.keep(trailers_of(failure))
                raise
        self.position.keep(trailers, wrote=hasattr(request, "request_id"))
        return response
