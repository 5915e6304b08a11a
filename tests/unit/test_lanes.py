"""Lanes: the threads that answer calls, and the limits of calls, through a real server and channel."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from artemis.v1.events_pb2 import GetEventRequest
from artemis_server.access.principal import Principal
from artemis_server.rpc import calls as rpc_calls
from artemis_server.rpc import lanes
from artemis_server.rpc.calls import Calls, Limits
from artemis_server.rpc.incoming import IncomingCall
from artemis_server.rpc.lanes import Lane
from artemis_server.rpc.rates import MAX_CLIENTS, Rates
from artemis_server.rpc.waiting import Waiting
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.benchmarks.load import END_HEADERS, HEADERS, MAX_FRAME, frame
from tests.e2e.servers import PATIENCE
from tests.robustness.peer import CONTINUATION, Peer, block

Code = grpc.StatusCode
Behavior = Callable[[bytes, grpc.ServicerContext], bytes]


class Blocking:
    """A method that tells when it has begun, and ends when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.release = threading.Event()
        self.requests: list[bytes] = []

    def __call__(self, request: bytes, _: grpc.ServicerContext) -> bytes:
        self.requests.append(request)
        self.begun.release()
        assert self.release.wait(PATIENCE)
        return request


def fail(request: bytes, _: grpc.ServicerContext) -> bytes:
    """Raises an error that refers to itself, as one does that its own frame keeps in a variable."""
    error = ValueError(request)
    raise error


def echo(request: bytes, _: grpc.ServicerContext) -> bytes:
    return request


class Server:
    """A server with a lane of one thread for /test/slow, and one of one thread for all other methods."""

    def __init__(self, calls: Calls, *, share: float = 1.0) -> None:
        self.calls = calls
        self.slow = Blocking()
        self._server = grpc.server(
            calls.lane("quick", threads=1), options=[("grpc.so_reuseport", 0), ("grpc.max_concurrent_streams", 30)]
        )
        self._server.add_generic_rpc_handlers(
            (Methods({"/test/slow": self.slow, "/test/echo": echo, "/test/fail": fail}),)
        )
        self.lane = calls.lane("slow", threads=1, share=share, large_answers=True)
        self.slow.experimental_thread_pool = self.lane  # type: ignore[attr-defined]
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        calls.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def call(self, method: str, request: bytes = b"x") -> bytes:
        answer: bytes = self.begin(method, request).result()
        return answer

    def begin(self, method: str, request: bytes = b"x") -> Any:
        return self.channel.unary_unary(f"/test/{method}", bytes, bytes).future(request, timeout=PATIENCE)

    def begin_without_request(self, method: str) -> Any:
        """Sends the headers of a call, and neither a request nor an end."""
        ended = threading.Event()

        def requests() -> Iterator[bytes]:
            ended.wait(PATIENCE)
            yield from ()

        call: Any = self.channel.stream_unary(f"/test/{method}", bytes, bytes).future(requests(), timeout=PATIENCE)
        call.add_done_callback(lambda _: ended.set())
        return call

    def stop(self) -> None:
        self.slow.release.set()
        self.channel.close()
        self._server.stop(0).wait()
        self.calls.stop()


class Methods(grpc.GenericRpcHandler):
    def __init__(self, methods: dict[str, Behavior]) -> None:
        self._methods = methods

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        if details.method == "/test/stream":
            return grpc.unary_stream_rpc_method_handler(echo, GetEventRequest.FromString, bytes)
        method = self._methods.get(details.method)
        return method and grpc.unary_unary_rpc_method_handler(method, bytes, bytes)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers with these limits, and ends them."""
    servers: list[Server] = []

    def start(calls: int = 100, seconds: float = 60, rate: int = 0, share: float = 1.0) -> Server:
        servers.append(Server(Calls(Limits(calls, seconds, rate)), share=share))
        return servers[-1]

    yield start
    for each in servers:
        each.stop()


Serve = Callable[..., Server]


def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds, which another thread brings about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0)


def failure(call: Any) -> tuple[Code, str]:
    """Waits for the call and returns its code and the reason in its details."""
    error = call.exception()
    assert isinstance(error, grpc.RpcError)
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is both
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    return call.code(), info.reason


def test_an_internal_error_names_the_call_as_its_trailers_do(serve: Serve) -> None:
    call = serve().begin("fail")
    assert failure(call) == (Code.INTERNAL, "INTERNAL")
    status = rpc_status.from_call(call)
    assert status is not None
    info = error_details_pb2.RequestInfo()
    assert status.details[1].Unpack(info)
    assert info.request_id == dict(call.trailing_metadata())["x-request-id"]


def test_a_call_without_its_request_holds_no_thread(serve: Serve) -> None:
    server = serve()
    calls = [server.begin_without_request("echo") for _ in range(20)]
    assert server.call("echo") == b"x"
    assert [each.done() for each in calls] == [False] * 20


def test_a_request_that_does_not_arrive_in_time_is_ended(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_calls, "MAX_ARRIVAL", 0.0)
    monkeypatch.setattr(rpc_calls, "SWEEP_INTERVAL", 0.01)
    assert failure(serve().begin_without_request("echo")) == (Code.DEADLINE_EXCEEDED, "REQUEST_TIMEOUT")


def test_more_calls_without_a_request_end_the_oldest(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_calls, "MAX_INCOMPLETE", 2)
    monkeypatch.setattr(rpc_calls, "MIN_ARRIVAL", 0.0)
    server = serve()
    first = server.begin_without_request("echo")
    until(lambda: len(server.calls.incomplete) == 1)
    second = server.begin_without_request("echo")
    until(lambda: len(server.calls.incomplete) == 2)
    assert server.call("echo") == b"x", "this one's request is there in time"
    assert failure(first) == (Code.DEADLINE_EXCEEDED, "REQUEST_TIMEOUT")
    assert not second.done()


def test_a_call_that_ends_without_a_request_is_refused(serve: Serve) -> None:
    server = serve()
    with pytest.raises(grpc.RpcError) as error:
        server.channel.stream_unary("/test/echo")(iter(()), timeout=PATIENCE)
    assert error.value.code() is Code.UNIMPLEMENTED
    assert server.call("echo") == b"x"


def test_a_call_beyond_the_limit_is_refused_at_once_and_told_when_to_come_again(serve: Serve) -> None:
    server = serve(calls=2)
    accepted = [server.begin("slow") for _ in range(2)]
    assert server.slow.begun.acquire(timeout=PATIENCE)
    refused = server.begin("echo")
    assert failure(refused) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    status = rpc_status.from_call(refused)
    assert status is not None
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)

    server.slow.release.set()
    assert [each.result() for each in accepted] == [b"x"] * 2
    assert server.call("echo") == b"x"


def test_a_lane_with_a_share_leaves_the_rest_to_the_others(serve: Serve) -> None:
    server = serve(calls=4, share=0.5)
    accepted = [server.begin("slow") for _ in range(2)]
    assert server.slow.begun.acquire(timeout=PATIENCE)
    assert failure(server.begin("slow")) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert server.call("echo") == b"x"
    server.slow.release.set()
    assert [each.result() for each in accepted] == [b"x"] * 2


def test_a_lane_that_was_full_has_a_shorter_queue_for_a_while(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MAX_OVERLOAD", PATIENCE)
    server = serve(calls=10)
    accepted = [server.begin("slow")]
    assert server.slow.begun.acquire(timeout=PATIENCE)  # the others wait for the thread
    accepted += [server.begin("slow") for _ in range(9)]
    until(lambda: len(server.lane.calls) == 10)
    assert failure(server.begin("slow")) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")

    for each in accepted[5:]:  # there are 5 calls then, and the lane is crowded with 7
        each.cancel()
    until(lambda: sum(call.ended for call in list(server.lane.calls)) == 5)
    server.lane.drop_ended()
    accepted[5:] = [server.begin("slow") for _ in range(2)]
    until(lambda: len(server.lane.calls) == 7)
    assert failure(server.begin("slow")) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")

    monkeypatch.setattr(server.lane, "_overloaded_until", 0.0)  # the while is over
    accepted += [server.begin("slow") for _ in range(3)]
    until(lambda: len(server.lane.calls) == 10)
    server.slow.release.set()
    assert [each.result() for each in accepted] == [b"x"] * 10


def test_a_call_whose_client_has_left_is_not_begun(serve: Serve) -> None:
    server = serve()
    first = server.begin("slow", b"first")
    assert server.slow.begun.acquire(timeout=PATIENCE)
    gone, last = server.begin("slow", b"gone"), server.begin("slow", b"last")
    until(lambda: len(server.lane.calls) == 3)
    gone.cancel()
    until(lambda: any(call.ended for call in list(server.lane.calls)))
    server.slow.release.set()
    assert [first.result(), last.result()] == [b"first", b"last"]
    assert server.slow.requests == [b"first", b"last"]


def test_failed_calls_leave_their_streams_without_the_garbage_collector(serve: Serve) -> None:
    """The core of gRPC counts a stream among those of its connection until Python lets go of it."""
    server = serve()
    gc.disable()
    try:
        assert {failure(server.begin("fail")) for _ in range(60)} == {(Code.INTERNAL, "INTERNAL")}
    finally:
        gc.enable()


def test_a_call_with_too_much_metadata_is_dropped_also_before_its_client_knows_the_limit(serve: Serve) -> None:
    """The core of gRPC refuses such a call only after its client has acknowledged the limit."""
    server = serve()
    with Peer(server.port, acknowledges=False) as peer:
        stream, _ = peer.head("/test/echo")
        more = [(f"x-{number}", "v" * 90) for number in range(400)]
        headers = block("/test/echo", *more)
        peer.send(frame(HEADERS, 0, stream, headers[:MAX_FRAME]))
        for begin in range(MAX_FRAME, len(headers), MAX_FRAME):
            last = begin + MAX_FRAME >= len(headers)
            flags = END_HEADERS if last else 0
            peer.send(frame(CONTINUATION, flags, stream, headers[begin : begin + MAX_FRAME]))
        assert peer.wait(1, PATIENCE)
        assert set(peer.codes()) <= {"8", "RST 8"}
    assert len(server.calls.incomplete) == 0
    assert server.call("echo") == b"x"


def test_a_call_that_takes_too_long_is_ended(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_calls, "SWEEP_INTERVAL", 0.01)
    server = serve(seconds=0)
    assert failure(server.begin("slow")) == (Code.DEADLINE_EXCEEDED, "MAX_DEADLINE_EXCEEDED")


def test_a_client_that_calls_too_often_is_refused(serve: Serve) -> None:
    server = serve(rate=2)
    assert [server.call("echo") for _ in range(2)] == [b"x"] * 2
    assert failure(server.begin("echo")) == (Code.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED")


def test_a_call_that_was_refused_gets_no_second_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_calls, "SWEEP_INTERVAL", 0.01)
    server = serve(seconds=0)
    refused = [server.begin("slow") for _ in range(3)]
    assert {failure(call) for call in refused} == {(Code.DEADLINE_EXCEEDED, "MAX_DEADLINE_EXCEEDED")}
    server.slow.release.set()
    until(lambda: not server.lane.calls)
    until(lambda: len(server.calls.unread) == 0)


def test_a_stream_with_a_malformed_request_is_answered(serve: Serve) -> None:
    call = serve().channel.unary_stream("/test/stream", bytes, bytes)(b"\xff", timeout=PATIENCE)
    with pytest.raises(grpc.RpcError):
        next(call)
    assert call.code() is Code.INVALID_ARGUMENT


def begin_one_and_lose_another(server: Server) -> Any:
    """Begins a call that a thread has, and another one that waits for a thread and whose client goes away."""
    begun = server.begin("slow")
    assert server.slow.begun.acquire(timeout=PATIENCE)
    gone = server.begin("slow")
    until(lambda: len(server.lane.calls) == 2)
    gone.cancel()
    until(lambda: any(call.ended for call in list(server.lane.calls)))
    return begun


def test_calls_that_end_while_they_wait_leave_their_places(serve: Serve) -> None:
    server = serve(calls=8, share=0.25)
    begun = begin_one_and_lose_another(server)
    last = server.begin("slow")
    server.slow.release.set()
    assert [begun.result(), last.result()] == [b"x"] * 2


def test_only_a_lane_of_large_answers_waits_for_clients_to_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_calls, "MIN_READING", PATIENCE)
    server = serve()
    unread: Any = "a call"
    server.calls.unread.add(unread, rpc_calls.MAX_UNREAD + 1)
    large = server.begin("slow")
    until(lambda: len(server.lane.calls) == 1)
    assert server.call("echo") == b"x"
    assert server.slow.requests == []

    server.calls.unread.discard(unread)
    server.slow.release.set()
    assert large.result() == b"x"


def test_a_full_server_makes_room_of_calls_that_have_ended_in_any_lane(serve: Serve) -> None:
    server = serve(calls=2)
    begun = begin_one_and_lose_another(server)
    assert server.call("echo") == b"x"
    server.slow.release.set()
    assert begun.result() == b"x"


def test_requests_that_wait_hold_so_many_bytes_and_no_more(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_calls, "MAX_WAITING", 100)
    server = serve()
    begun = server.begin("slow", bytes(60))
    assert server.slow.begun.acquire(timeout=PATIENCE)
    assert failure(server.begin("echo", bytes(60))) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert server.call("echo", bytes(30)) == bytes(30)
    server.slow.release.set()
    assert begun.result() == bytes(60)
    assert server.call("echo", bytes(60)) == bytes(60)


def test_a_server_that_drains_finishes_what_has_begun_and_refuses_the_rest(serve: Serve) -> None:
    server = serve()
    begun = server.begin("slow")
    assert server.slow.begun.acquire(timeout=PATIENCE)
    waiting = server.begin("slow")
    incomplete = server.begin_without_request("echo")
    until(lambda: len(server.lane.calls) == 2)
    with ThreadPoolExecutor(1) as drainer:
        drained = drainer.submit(server.calls.drain, PATIENCE)
        refused = [failure(waiting), failure(incomplete), failure(server.begin("echo"))]
        assert refused == [(Code.UNAVAILABLE, "SHUTTING_DOWN")] * 3
        assert not drained.done()
        server.slow.release.set()
        assert begun.result() == b"x"
        assert drained.result(PATIENCE) is True


def test_draining_ends_with_the_grace(serve: Serve) -> None:
    server = serve()
    call = server.begin("slow")
    assert server.slow.begun.acquire(timeout=PATIENCE)
    assert server.calls.drain(0) is False
    server.slow.release.set()
    assert call.result() == b"x"


class Ended:
    """Calls, which are numbers here, in the order in which they are ended."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, call: IncomingCall) -> None:
        self.calls.append(call)


def test_too_much_that_waits_ends_the_oldest() -> None:
    ended = Ended()
    waiting = Waiting(10, ended, max_seconds=60)
    numbers: list[Any] = [1, 2, 3, 4]
    for number in numbers:
        waiting.add(number, 5)
    assert ended.calls == [1, 2]
    waiting.discard(numbers[2])
    waiting.add(numbers[0], 5)
    assert ended.calls == [1, 2]
    waiting.add(numbers[1], 11)
    assert ended.calls == [1, 2, 4, 1, 2], "also what is too large by itself"
    assert len(waiting) == 0


def test_too_much_that_has_just_begun_to_wait_is_waited_for() -> None:
    ended = Ended()
    waiting = Waiting(10, ended, min_seconds=PATIENCE, max_seconds=60)
    numbers: list[Any] = [1, 2]
    for number in numbers:
        waiting.add(number, 6)
    with ThreadPoolExecutor(1) as pool:
        room = pool.submit(waiting.wait_for_room)
        assert not room.done()
        waiting.discard(numbers[0])
        room.result(PATIENCE)
    assert ended.calls == []


class Holding:
    """A gate that finds out principals when it is told to."""

    def __init__(self) -> None:
        self.waiting: SimpleQueue[tuple[IncomingCall, Callable[[], None]]] = SimpleQueue()

    def check(self, _: IncomingCall) -> None:
        return None

    def verify(self, call: IncomingCall, admit: Callable[[], None]) -> None:
        self.waiting.put((call, admit))

    def admit(self) -> None:
        """Lets the next call in."""
        call, admit = self.waiting.get(timeout=PATIENCE)
        call.principal = Principal(name="ada", role=1)
        admit()


def test_a_call_whose_principal_takes_a_while_is_answered_then() -> None:
    """And holds up no thread and no other call until then; one whose client has left meanwhile is dropped."""
    gate = Holding()
    server = Server(Calls(Limits(100, seconds=60), gate=gate))
    try:
        calls = [server.begin("echo", bytes([number])) for number in range(20)]
        held = [gate.waiting.get(timeout=PATIENCE) for _ in calls]
        calls[3].cancel()
        until(lambda: any(call.ended for call, _ in held))
        for each in held:
            gate.waiting.put(each)
            gate.admit()
        assert [each.result() for each in calls if each is not calls[3]] == [
            bytes([number]) for number in range(20) if number != 3
        ]
        until(lambda: len(server.calls.incomplete) == 0)
    finally:
        server.stop()


def test_a_call_whose_principal_stays_unknown_is_ended_in_time_and_by_a_server_that_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what its principal is found to be after that changes nothing."""
    gate = Holding()
    server = Server(Calls(Limits(100, seconds=60), gate=gate))
    try:
        stopped = server.begin("echo")
        until(lambda: len(server.calls.unverified) == 1)
        assert server.calls.drain(PATIENCE) is True
        assert failure(stopped) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
        gate.admit()
        until(lambda: len(server.calls.incomplete) == 0)
    finally:
        server.stop()
    monkeypatch.setattr(rpc_calls, "MAX_VERIFICATION", 0.0)
    server = Server(Calls(Limits(100, seconds=60), gate=gate))
    try:
        assert failure(server.begin("echo")) == (Code.DEADLINE_EXCEEDED, "REQUEST_TIMEOUT")
        until(lambda: len(server.calls.unverified) == 0)
    finally:
        server.stop()


def test_each_call_is_recorded_once_with_its_outcome() -> None:
    """The audit log has the outcome of the method, also when the client has left, and of a call that no method saw."""
    recorded: SimpleQueue[IncomingCall] = SimpleQueue()
    server = Server(Calls(Limits(3, seconds=60), audit=recorded.put))
    try:
        server.call("echo")
        call = recorded.get(timeout=PATIENCE)
        assert (call.done, call.code) == (True, Code.OK)
        slow = server.begin("slow")
        assert server.slow.begun.acquire(timeout=PATIENCE)
        queued = [server.begin("slow") for _ in range(2)]
        until(lambda: len(server.lane.calls) == 3)
        assert failure(server.begin("echo")) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
        call = recorded.get(timeout=PATIENCE)
        assert (call.done, call.code) == (False, Code.RESOURCE_EXHAUSTED)
        slow.cancel()
        until(lambda: any(each.ended for each in server.lane.calls))
        assert recorded.empty(), "the method may still write"
        server.slow.release.set()
        call = recorded.get(timeout=PATIENCE)
        assert (call.done, call.code) == (True, Code.CANCELLED)
        assert [each.result() for each in queued] == [b"x"] * 2
        assert [recorded.get(timeout=PATIENCE).done for _ in queued] == [True] * 2
        assert recorded.empty()
    finally:
        server.stop()


def test_a_call_that_is_answered_while_its_end_is_noted_has_a_code() -> None:
    """The thread that answers lets go of the stream only when gRPC's thread of events needs it no more."""

    class Answering(Calls):
        """Notes the end of a call, and waits before the rest of it until another thread has answered the call."""

        def _forget(self, call: IncomingCall) -> None:
            super()._forget(call)
            server.slow.release.set()
            until(lambda: not server.lane.calls)

    recorded: SimpleQueue[IncomingCall] = SimpleQueue()
    server = Server(Answering(Limits(3, seconds=60), audit=recorded.put))
    try:
        slow = server.begin("slow")
        assert server.slow.begun.acquire(timeout=PATIENCE)
        slow.cancel()
        call = recorded.get(timeout=PATIENCE)
        until(lambda: call.code is Code.CANCELLED)
        until(lambda: call.connection == b"")
    finally:
        server.stop()


def test_tokens_come_back_with_time_and_each_client_has_its_own() -> None:
    now = 0.0
    rates = Rates(2, clock=lambda: now)
    assert [rates.take("a") for _ in range(3)] == [True, True, False]
    assert rates.take("b")
    now += 0.5
    assert [rates.take("a") for _ in range(2)] == [True, False]
    now += 100
    assert [rates.take("a") for _ in range(3)] == [True, True, False], "no more than a second's worth is kept"


def test_the_clients_that_called_least_recently_are_forgotten() -> None:
    rates = Rates(1, clock=lambda: 0.0)
    for number in range(MAX_CLIENTS):
        assert rates.take(str(number))
    assert not rates.take("0")
    assert rates.take("another")
    assert rates.take("1"), "it was forgotten"
    assert not rates.take("0"), "it was not"


def test_a_lane_is_the_kind_of_pool_that_grpcio_takes() -> None:
    assert issubclass(Lane, ThreadPoolExecutor)
