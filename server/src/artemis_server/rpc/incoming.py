"""Incoming calls: a thread gets a call once its request is there.

grpcio gives a call to a thread of its pool when the headers arrive. The thread then starts to receive the request, and
waits for it. So a client that sends headers and no request holds a thread for as long as it likes, and a call whose
request is there already wakes a thread twice. Here gRPC's thread of events starts to receive, and hands the call over
when the request has arrived. That takes parts of grpcio that are not public. Only this module knows them
(docs/adr/0026).
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, NoReturn, cast

import grpc
from google.protobuf.message import DecodeError
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

SUBMITTED: "Future[None]" = Future()
"""The result of `submit` that grpcio expects of a pool. It counts active calls by it, which the lanes do themselves."""
SUBMITTED.set_result(None)
_RECEIVING = "receive_message"
"""The name that grpcio gives to the operation that receives a request. A call ends after its operations."""

log = logging.getLogger(__name__)


class Refused(Exception):
    """A method has ended its call with this status."""

    def __init__(self, status: grpc.Status) -> None:
        super().__init__(status.details)
        self.status = status


class _Context(_server._Context):
    """The context of a call: a method that aborts raises `Refused`, and the caller of the method sends the status."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise Refused(_status(code, details))

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        raise Refused(status)


class _Status(NamedTuple):
    """A grpc.Status without details."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...] = ()


class IncomingCall:
    """A call with one request, whose headers have arrived.

    gRPC keeps the stream of a call for as long as Python refers to it. The frames of an exception may do that until
    the garbage collector runs, so the call lets go of the stream once it is answered and ended.
    """

    def __init__(
        self, run: Callable[..., Any], event: Any, state: Any, behavior: Any, _: Any, parse: Any, serialize: Any
    ) -> None:
        """Takes the arguments that grpcio gives to a pool; `parse` may be None."""
        self.answer_size = 0
        """The number of bytes of the answer, once there is one."""
        self.ended = False
        """True once the answer is sent, or the client is gone."""
        self._answered = False
        self._run = run
        self._event = event
        self._state = state
        self._behavior = behavior
        self._parser = parse
        self._serialize = serialize
        self._request = b""
        self._context = _Context(event, state, None)

    @property
    def context(self) -> grpc.ServicerContext:
        """The context that the method gets."""
        return self._context

    @property
    def client(self) -> str:
        """The client's address without its port, such as "ipv4:127.0.0.1"."""
        return self.connection.rpartition(b":")[0].decode()

    @property
    def connection(self) -> bytes:
        """The client's address and port, such as b"ipv4:127.0.0.1:40000"; empty once the call has let go of it."""
        event = self._event
        return event.call.peer() if event is not None else b""

    @property
    def request_size(self) -> int:
        """The number of bytes of the request that the call still needs."""
        return len(self._request)

    @property
    def streams(self) -> bool:
        """Tells whether the answer is a stream."""
        return self._run is not _server._unary_response_in_pool

    @property
    def active(self) -> bool:
        """Tells whether the call waits for an answer: it is neither answered nor cancelled."""
        state = self._state
        return state is not None and bool(_server._is_rpc_state_active(state))

    def receive(self, arrived: "Callable[[IncomingCall], None]", ended: "Callable[[IncomingCall], None]") -> None:
        """Receives the request. Calls `arrived` when it is there, and `ended` when the call has ended.

        gRPC's thread of events calls both, so they must not wait.
        """
        state = self._state

        def received(event: Any) -> Any:
            request = event.batch_operations[0].message()
            if request is not None:
                self._request = request
                try:
                    arrived(self)
                except Exception:  # which would end gRPC's thread, and with it the server
                    log.exception("a call cannot be taken")
                    self.refuse(_UNKNOWN)
            with state.condition:
                if request is None:  # the client closed its side without a request, or is gone
                    if state.client is _server._OPEN:
                        state.client = _server._CLOSED
                    self.refuse(_NO_REQUEST)
                return _server._possibly_finish_call(state, _RECEIVING)

        def end() -> None:
            self.ended = True
            ended(self)
            if self._answered:
                self._release()

        with state.condition:
            state.callbacks.append(end)
            self._event.call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), received)
            state.due.add(_RECEIVING)

    def compute(self) -> bytes:
        """Runs the method and returns the bytes of its answer, which `send` sends. It may be run more than once.

        Raises:
            Refused: the method ended the call with a status.
            Exception: what else the method raised.
        """
        answer = self._state.context.run(self._behavior, self._parse(), self._context)
        raw: bytes = self._serialize(answer)
        return raw

    def send(self, answer: bytes) -> None:
        """Answers the call, unless it is answered or cancelled."""
        self.answer_size = len(answer)
        with self._state.condition:
            if self.active:
                _server._status(self._event, self._state, answer)

    def stream(self) -> None:
        """Runs a method whose answer is a stream, and sends the stream.

        Raises:
            Refused: the request is malformed.
        """
        request = self._parse()
        self._state.context.run(
            self._run, self._event, self._state, self._behavior, lambda: request, self._parser, self._serialize
        )

    def refuse(self, status: grpc.Status) -> None:
        """Answers the call with this error, unless it is answered."""
        event, state = self._event, self._state
        if state is None:
            return
        with state.condition:
            if _server._is_rpc_state_active(state):
                state.code, state.details = status.code, status.details.encode()
                state.trailing_metadata = status.trailing_metadata
                # The code that is set goes before this one.
                _server._abort(state, event.call, cygrpc.StatusCode.unknown, b"")

    def cancel(self) -> None:
        """Ends the call, also when it is answered and its client does not read the answer."""
        event = self._event
        if event is not None:
            event.call.cancel()

    def mark_answered(self) -> None:
        """Tells that the method is done with the call."""
        self._answered = True
        self._request = b""
        if self.ended:
            self._release()

    def _release(self) -> None:
        self._event = self._state = self._context._rpc_event = None

    def _parse(self) -> Any:
        try:
            return self._request if self._parser is None else self._parser(self._request)
        except DecodeError:
            raise Refused(_MALFORMED) from None


def _status(code: grpc.StatusCode, details: str) -> grpc.Status:
    return cast("grpc.Status", _Status(code, details))


_NO_REQUEST = _status(grpc.StatusCode.UNIMPLEMENTED, "the call has no request message")
_UNKNOWN = _status(grpc.StatusCode.UNKNOWN, "the server cannot take the call")
_MALFORMED = _status(grpc.StatusCode.INVALID_ARGUMENT, "the request is not a valid protobuf message")
