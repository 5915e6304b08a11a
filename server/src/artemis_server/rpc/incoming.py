"""Incoming calls: a thread gets a call once its request is there.

grpcio gives a call to a thread of its pool when the headers arrive. The thread then starts to receive the request, and
waits for it. So a client that sends headers and no request holds a thread for as long as it likes, and a call whose
request is there already wakes a thread twice. Here gRPC's thread of events starts to receive, and hands the call over
when the request has arrived. That takes parts of grpcio that are not public. Only this module knows them
(docs/adr/0026).
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

SUBMITTED: "Future[None]" = Future()
"""The result of `submit` that grpcio expects of a pool. It counts active calls by it, which the lanes do themselves."""
SUBMITTED.set_result(None)
_RECEIVING = "receive_message"  # grpcio's name of the operation, which a call must not end before


class Refused(Exception):
    """A method has ended its call with this status."""

    def __init__(self, status: grpc.Status) -> None:
        super().__init__(status.details)
        self.status = status


class _Context(_server._Context):
    """The context of a call whose answer is sent later, so that it may end in another way or be made again."""

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        raise Refused(status)


class IncomingCall:
    """A call with one request, whose headers have arrived."""

    __slots__ = ("_arguments", "_event", "_request", "_run", "_state", "answer_size", "ended")

    def __init__(self, run: Callable[..., Any], event: Any, state: Any, arguments: tuple[Any, ...]) -> None:
        self.answer_size = 0
        """The number of bytes of the answer, once there is one."""
        self.ended = False
        """True once the answer is sent, or the client is gone."""
        self._run = run
        self._event = event
        self._state = state
        self._arguments = arguments
        self._request = b""

    @property
    def client(self) -> str:
        """The client's address without its port, such as "ipv4:127.0.0.1"."""
        peer: bytes = self._event.call.peer()
        return peer.rpartition(b":")[0].decode()

    @property
    def active(self) -> bool:
        """Tells whether the call waits for an answer: it is neither answered nor cancelled."""
        active: bool = _server._is_rpc_state_active(self._state)
        return active

    def receive(self, arrived: "Callable[[IncomingCall], None]", ended: "Callable[[IncomingCall], None]") -> None:
        """Receives the request. Calls `arrived` when it is there, and `ended` when the call has ended.

        gRPC's thread of events calls both, so they must not wait.
        """
        state = self._state

        def received(event: Any) -> Any:
            request = event.batch_operations[0].message()
            if request is not None:
                self._request = request
                arrived(self)
            with state.condition:
                if request is None:  # the client closed its side without a request, or is gone
                    if state.client is _server._OPEN:
                        state.client = _server._CLOSED
                    self._abort(cygrpc.StatusCode.unimplemented, b"the call has no request message")
                return _server._possibly_finish_call(state, _RECEIVING)

        def end() -> None:
            self.ended = True
            ended(self)

        with state.condition:
            state.callbacks.append(end)
            self._event.call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), received)
            state.due.add(_RECEIVING)

    def context(self) -> grpc.ServicerContext:
        """Returns the context for `compute`."""
        context: grpc.ServicerContext = _Context(self._event, self._state, None)
        return context

    def compute(self, context: grpc.ServicerContext) -> bytes:
        """Returns the bytes of the answer, which `send` sends.

        Raises:
            Refused: the method ended the call with a status.
        """
        behavior, _, _, serialize = self._arguments
        answer: bytes = serialize(self._state.context.run(behavior, self._request, context))
        return answer

    def send(self, answer: bytes) -> None:
        """Answers the call, unless it is cancelled."""
        self.answer_size = len(answer)
        _server._status(self._event, self._state, answer)

    def answer(self) -> None:
        """Runs the method on this thread and sends its answer."""
        behavior, _, deserializer, serializer = self._arguments

        def serialize(answer: Any) -> bytes:
            raw: bytes = serializer(answer)
            self.answer_size = len(raw)
            return raw

        self._state.context.run(self._run, self._event, self._state, behavior, self._take, deserializer, serialize)

    def refuse(self, status: grpc.Status) -> None:
        """Answers the call with this error, unless it is answered."""
        state = self._state
        with state.condition:
            if self.active:
                state.code, state.details = status.code, status.details.encode()
                state.trailing_metadata = status.trailing_metadata
                self._abort(cygrpc.StatusCode.unknown)  # the code that is set goes before this one

    def cancel(self) -> None:
        """Ends the call, also when it is answered and its client does not read the answer."""
        self._event.call.cancel()

    def _take(self) -> Any:
        """Returns the parsed request, and None if it is not one."""
        raw, self._request = self._request, b""
        parse = self._arguments[2] or bytes
        try:
            return parse(raw)
        except DecodeError:
            self._abort(cygrpc.StatusCode.invalid_argument, b"the request is not a valid protobuf message")
            return None

    def _abort(self, code: Any, details: bytes = b"") -> None:
        with self._state.condition:
            if self.active:
                _server._abort(self._state, self._event.call, code, details)
