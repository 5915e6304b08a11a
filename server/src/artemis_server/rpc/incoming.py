"""Incoming calls: a thread gets a call once its request is there.

grpcio gives a call to a thread of its pool when the headers arrive. The thread then starts to receive the request, and
waits for it. So a client that sends headers and no request holds a thread for as long as it likes, and a call whose
request is there already wakes a thread twice. Here gRPC's thread of events starts to receive, and hands the call over
when the request has arrived. That takes parts of grpcio that are not public. Only this module knows them
(docs/adr/0026).
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple, NoReturn, TypeAlias, cast
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from artemis_server.access.principal import Principal

SUBMITTED: "Future[None]" = Future()
"""The result of `submit` that grpcio expects of a pool. It counts active calls by it, which the lanes do themselves."""
SUBMITTED.set_result(None)
_RECEIVING, _SENDING = "receive_message", "send_message"
"""The names that grpcio gives to the operations that receive a request and send a message of a stream.

A call ends after its operations.
"""

REQUEST_ID = "x-request-id"
"""The metadata with the id of a call in the logs. A caller may send it, and the trailers have it."""
POSITION = "x-artemis-position"
"""The metadata with a position in the log of PostgreSQL: the trailers of a write have it, and a read may send it."""
_DETAILS = "grpc-status-details-bin"
_SANE_ID = re.compile(r"[\x21-\x7e]{1,64}")
_Metadata: TypeAlias = "Sequence[tuple[str, str | bytes]]"

log = logging.getLogger(__name__)


class Refused(Exception):
    """A method has ended its call with this status."""

    def __init__(self, status: grpc.Status) -> None:
        super().__init__(status.details)
        self.status = status


class _Context(_server._Context):
    """The context of a call: a method that aborts raises `Refused`, and the caller of the method sends the status."""

    principal: Principal | None = None
    """The caller; None without access control."""
    request_id = ""
    reached = ""
    """The position that the trailers tell the caller, if there are replicas (`db/replicas`); else empty."""
    exchange: tuple[Any, Any] | None = None
    """The request and the response, if the call is audited and its method has begun; no response before its end."""
    span: Any = None
    """The span of the call, which spans of the database are below; None without traces."""

    @property
    def position(self) -> str:
        """The position that the caller sent; empty if it sent none, or several."""
        sent = [value for name, value in self._rpc_event.invocation_metadata if name == POSITION]
        return sent[0] if len(sent) == 1 else ""

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
        # gRPC's core has a method that was registered, as generated code does, in the tag of the event alone.
        self.method: str = event.call_details.method.decode() or event.tag
        """The full name, such as "/artemis.v1.EventService/GetEvent"."""
        self.began = time.monotonic()
        self.request_id = _request_id(event.invocation_metadata)
        self.request_bytes = 0
        """The number of bytes of the request, once it has arrived."""
        self.answer_size = 0
        """The number of bytes of the answer, once there is one."""
        self.code: grpc.StatusCode | None = None
        """The status of the answer; None until the call is answered or has ended."""
        self.trace_id = ""
        """The id of the trace that the call is a part of, in hexadecimal; empty without traces."""
        self._status: grpc.Status | None = None
        self.on_code: Callable[[IncomingCall], None] | None = None
        """Called once, when the code is known. Threads of gRPC may call it, so it must not wait."""
        self.in_lane = False
        """True once a lane has taken the call."""
        self.recorded = False
        """True once the call is in the audit log, or need not be."""
        self.done = False
        """True once the method has returned an answer, also when its client is gone: what it wrote is committed."""
        self.ended = False
        """True once the answer is sent, or the client is gone."""
        self._answered = False
        self._end_noted = False
        self._run = run
        self._event = event
        self._state = state
        self._behavior = behavior
        self._parser = parse
        self._serialize = serialize
        self._request = b""
        self._context = _Context(event, state, None)
        self._context.request_id = self.request_id
        state.trailing_metadata = self._trailers

    @property
    def _trailers(self) -> "_Metadata":
        position = self._context.reached
        return ((REQUEST_ID, self.request_id), *(((POSITION, position),) if position else ()))

    @property
    def context(self) -> grpc.ServicerContext:
        """The context that the method gets."""
        return self._context

    @property
    def principal(self) -> Principal | None:
        """The caller; None without access control, or before it is known."""
        return self._context.principal

    @principal.setter
    def principal(self, principal: Principal) -> None:
        self._context.principal = principal

    @property
    def metadata(self) -> "_Metadata":
        """The metadata of the call; empty once it is answered and has ended."""
        return () if self._event is None else self._event.invocation_metadata

    @property
    def metadata_bytes(self) -> int:
        """The number of bytes of the metadata."""
        return sum(map(len, chain.from_iterable(self.metadata)))

    @property
    def auth_context(self) -> "Mapping[str, Sequence[bytes]]":
        """The properties of the client's certificate, as gRPC names them."""
        return self._context.auth_context()

    @property
    def exchange(self) -> tuple[Any, Any] | None:
        """The request and the response, as `_Context` has them."""
        return self._context.exchange

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
    def peer(self) -> str:
        """The client's address, such as "ipv4:127.0.0.1:50000"; empty once the call is answered and has ended."""
        event = self._event
        return "" if event is None else unquote(event.call.peer().decode(errors="replace"))

    @property
    def reason(self) -> str:
        """The reason in the details of an error (google.rpc.ErrorInfo), such as "TOO_MANY_CALLS"; empty without."""
        for name, value in (self._status and self._status.trailing_metadata) or ():
            if name == _DETAILS and isinstance(value, bytes):
                return _reason(value)
        return ""

    @property
    def span(self) -> Any:
        """The span of the call; None without traces."""
        return self._context.span

    @span.setter
    def span(self, span: Any) -> None:
        self._context.span = span

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

    def on_end(self, ended: "Callable[[IncomingCall], None]") -> None:
        """Calls `ended` when the call has ended. gRPC's thread of events does so; it must not wait.

        Only that thread may call this, and before it looks at the next event.
        """
        with self._state.condition:
            self._state.callbacks.append(partial(self._end, ended))

    def receive(self, arrived: "Callable[[IncomingCall], None]") -> None:
        """Receives the request of a call that is active. gRPC's thread of events calls `arrived`, which must not wait.

        Any thread may call this.
        """
        state = self._state

        def received(event: Any) -> Any:
            request = event.batch_operations[0].message()
            if request is not None:
                self._request, self.request_bytes = request, len(request)
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

        with state.condition:
            if _server._is_rpc_state_active(state):
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
        self.done = True
        self.answer_size = len(answer)
        with self._state.condition:
            open_until_now = self.active
            if open_until_now:
                self.code = grpc.StatusCode.OK
                if self._context.reached:
                    self._state.trailing_metadata = self._trailers
                _server._status(self._event, self._state, answer)
        if open_until_now:
            self._tell()

    def stream(self) -> None:
        """Runs a method whose answer is a stream, and sends the stream.

        Raises:
            Refused: the request is malformed.
        """
        request = self._parse()
        self._state.context.run(
            self._run, self._event, self._state, self._behavior, lambda: request, self._parser, self._serialize
        )

    def open(self) -> None:
        """Runs a method that goes on sending the messages of its stream, by `send_message`, after it has returned.

        The method gets the request, the context and this call.

        Raises:
            Refused: the method ended the call with a status.
            Exception: what else the method raised.
        """
        self._state.context.run(self._behavior, self._parse(), self._context, self)

    def send_message(self, message: bytes, sent: Callable[[], None]) -> bool:
        """Begins to send a message of a stream. No thread waits until the client's flow control lets it through.

        gRPC's thread of events calls `sent` then, which must not wait; not before it may the next message be sent.
        Returns False, and does not call `sent`, if the call is answered or cancelled. Any thread may call this.
        """
        event, state = self._event, self._state
        if state is None:
            return False

        def on_sent(_: Any) -> Any:
            with state.condition:
                finished = _server._possibly_finish_call(state, _SENDING)
            try:
                sent()
            except Exception:  # which would end gRPC's thread, and with it the server
                log.exception("a stream does not go on")
            return finished

        with state.condition:
            if not _server._is_rpc_state_active(state):
                return False
            operations: list[Any] = [cygrpc.SendMessageOperation(message, 0)]
            if state.initial_metadata_allowed:
                operations.insert(0, _server._get_initial_metadata_operation(state, None))
                state.initial_metadata_allowed = False
            event.call.start_server_batch(operations, on_sent)
            state.due.add(_SENDING)
        self.answer_size += len(message)
        return True

    def refuse(self, status: grpc.Status) -> None:
        """Answers the call with this error, unless it is answered."""
        event, state = self._event, self._state
        if state is None:
            return
        with state.condition:
            open_until_now = _server._is_rpc_state_active(state)
            if open_until_now:
                self.code, self._status = status.code, status
                state.code, state.details = status.code, status.details.encode()
                state.trailing_metadata = (*self._trailers, *(status.trailing_metadata or ()))
                # The code that is set goes before this one.
                _server._abort(state, event.call, cygrpc.StatusCode.unknown, b"")
        if open_until_now:
            self._tell()

    def cancel(self, status: grpc.Status | None = None) -> None:
        """Ends the call, also when it is answered and its client does not read the answer.

        With a status, its code and text overtake the messages that the client has not read. Its details do not.
        """
        event = self._event
        if event is None:
            return
        if status is None:
            event.call.cancel()
            return
        self.code, self._status = self.code or status.code, self._status or status
        event.call.cancel(status.code.value[0], status.details)

    def mark_answered(self) -> None:
        """Tells that the method is done with the call."""
        self._answered = True
        self._request = b""
        self._context.exchange = None
        if self._end_noted:
            self._release()

    def _end(self, ended: "Callable[[IncomingCall], None]") -> None:
        """Takes note that gRPC has sent the answer, or that the client is gone."""
        self.ended = True
        ended(self)
        state = self._state
        with state.condition:
            code_is_new = self.code is None
            if code_is_new and state.statused:  # a stream
                self.code = state.code or grpc.StatusCode.OK
            elif code_is_new:
                late = self._context.time_remaining() <= 0
                self.code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
        if code_is_new:
            self._tell()
        self._end_noted = True  # now another thread that answers the call may let go of the stream
        if self._answered:
            self._release()

    def _tell(self) -> None:
        if self.on_code is not None:
            self.on_code(self)

    def _release(self) -> None:
        self._event = self._state = self._context._rpc_event = None

    def _parse(self) -> Any:
        try:
            return self._request if self._parser is None else self._parser(self._request)
        except DecodeError:
            raise Refused(_MALFORMED) from None


def _request_id(metadata: _Metadata) -> str:
    """Returns the id that the caller sent, if a log line can have it, or else a new one."""
    for name, value in metadata:
        if name == REQUEST_ID and isinstance(value, str) and _SANE_ID.fullmatch(value):
            return value
    return secrets.token_hex(8)


@lru_cache(maxsize=64)
def _reason(details: bytes) -> str:
    info = error_details_pb2.ErrorInfo()
    for each in status_pb2.Status.FromString(details).details:
        if each.Unpack(info):
            return str(info.reason)
    return ""


def _status(code: grpc.StatusCode, details: str) -> grpc.Status:
    return cast("grpc.Status", _Status(code, details))


_NO_REQUEST = _status(grpc.StatusCode.UNIMPLEMENTED, "the call has no request message")
TOO_MUCH_METADATA = _status(grpc.StatusCode.RESOURCE_EXHAUSTED, "the call has too much metadata")
"""The error of a call whose metadata gRPC would have refused, had the client acknowledged the limit before."""
_UNKNOWN = _status(grpc.StatusCode.UNKNOWN, "the server cannot take the call")
_MALFORMED = _status(grpc.StatusCode.INVALID_ARGUMENT, "the request is not a valid protobuf message")
