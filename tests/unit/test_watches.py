"""WatchEvents on a real server and database, with a log of changes that is in memory."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2_grpc
from artemis.v1.events_pb2 import WatchEventsRequest, WatchEventsResponse
from artemis_models import create_engine
from artemis_server.db.changes.records import Change, Page, Position
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.errors import InvalidArgument, OutOfRange, Violation
from artemis_server.rpc.calls import Calls, Limits
from artemis_server.rpc.interceptor import ContractInterceptor
from artemis_server.watch import hub
from artemis_server.watch.streams import WatchLane
from artemis_server.watch.watcher import Ended
from artemis_server.watch.watches import Watches
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy.orm import Session

from tests.unit.test_watch_hub import PATIENCE, at, change, part

METHOD = "/artemis.v1.EventService/WatchEvents"


class MemoryLog:
    """A log of transactions; the `last_id` of a position is the number of those before it."""

    def __init__(self) -> None:
        self.transactions: list[tuple[Change, ...]] = []
        self.first = 0
        """The number of the first one that is kept."""

    def end(self, _: Session) -> Position:
        return at(len(self.transactions))

    def read(self, _: Session, position: Position, max_rows: int) -> Page:
        begin, end = position.last_id, len(self.transactions)
        if not self.first <= begin <= end:
            raise OutOfRange("RESUME_TOKEN_EXPIRED", "the token is too old")
        following = self.transactions[begin : begin + max(1, max_rows // 100)]
        parts = [part(number, *changes) for number, changes in enumerate(following, start=begin + 1)]
        return Page(transactions=parts, position=at(begin + len(parts)), at_end=begin + len(parts) == end)

    def size(self, _: Session) -> int:
        return len(self.transactions)

    def token(self, position: Position) -> str:
        return f"token{position.last_id}"

    def position(self, token: str) -> Position:
        if not token.startswith("token"):
            raise InvalidArgument(Violation(field="resume_token", description="bad"), reason="INVALID_RESUME_TOKEN")
        return at(int(token.removeprefix("token")))


class Server:
    """A server of WatchEvents alone."""

    def __init__(self, database: Database, *, max_watchers: int = 10, limits: hub.Limits) -> None:
        self.log = MemoryLog()
        self.ended: list[Ended] = []
        self.watches = Watches(
            database,
            self.log,
            EventStore().predicate,
            max_watchers=max_watchers,
            limits=limits,
            on_end=self.ended.append,
        )
        self.database = database
        self.calls = Calls(Limits(100, 60))
        lane = self.calls.lane("watch", threads=1, kind=WatchLane)
        interceptor = ContractInterceptor({METHOD: lane}, {METHOD: self.watches.check})
        self._server = grpc.server(self.calls.lane("others", threads=1), [], [interceptor])
        handler = grpc.unary_stream_rpc_method_handler(
            self.watches.open,
            WatchEventsRequest.FromString,
            WatchEventsResponse.SerializeToString,
        )
        service, name = METHOD.strip("/").split("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.calls.start()
        self.watches.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = events_pb2_grpc.EventServiceStub(self.channel)

    def commit(self, *changes: Change) -> None:
        """Adds a transaction, as a writer of this process does."""
        self.log.transactions.append(changes)
        self.database.write(lambda _: None)

    def watch(self, token: str = "", filter: str = "", timeout: float = PATIENCE) -> Any:  # noqa: A002, the contract's
        return self.stub.WatchEvents(WatchEventsRequest(resume_token=token, filter=filter), timeout=timeout)

    def stop(self) -> None:
        self.channel.close()
        self.watches.stop(1.0)
        self._server.stop(0).wait()
        self.calls.stop()
        self.database.close()


@pytest.fixture
def serve(sqlite_url: str) -> Iterator[Callable[..., Server]]:
    """Starts a server, and ends it."""
    servers: list[Server] = []

    def start(max_watchers: int = 10, **limits: float) -> Server:
        made = hub.Limits(**{"tick": 0.01, "checkpoint": 1000.0, **limits})  # type: ignore[arg-type]
        servers.append(Server(Database(create_engine(sqlite_url)), max_watchers=max_watchers, limits=made))
        return servers[-1]

    yield start
    for each in servers:
        each.stop()


Serve = Callable[..., Server]


def ids(response: WatchEventsResponse) -> list[int]:
    return [change.event.id for change in response.changes]


def collect(call: Any, last: int) -> list[int]:
    """Returns the ids of the events of a stream up to this one."""
    found: list[int] = []
    while last not in found:
        found += ids(next(call))
    return found


def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    """Reads a stream to its end, and returns its code and the reason in its details, or else its text."""
    with pytest.raises(grpc.RpcError) as raised:
        for _ in call:
            pass
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]  # it is both
    info = error_details_pb2.ErrorInfo()
    if status is None or not any(detail.Unpack(info) for detail in status.details):
        return raised.value.code(), str(raised.value.details())
    return raised.value.code(), info.reason


def test_a_watch_begins_now_or_where_it_ended(serve: Serve) -> None:
    server = serve()
    server.commit(change(1))
    call = server.watch()
    first = next(call)
    assert (ids(first), first.resume_token) == ([], "token1")
    server.commit(change(2), change(3))
    server.commit(change(4))
    assert collect(call, 4) == [2, 3, 4]
    call.cancel()
    assert collect(server.watch("token0"), 4) == [1, 2, 3, 4]
    assert collect(server.watch("token2"), 4) == [4]


def test_a_watch_that_is_far_behind_reads_pages_and_joins_while_others_write(serve: Serve) -> None:
    server = serve()
    server.log.transactions = [(change(number),) for number in range(1, 1000)]
    ahead, behind = server.watch(), server.watch("token0")
    next(ahead)
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(lambda: [*map(server.commit, map(change, range(1000, 1300)))])
        assert collect(behind, 1299) == list(range(1, 1300))
        assert collect(ahead, 1299) == list(range(1000, 1300))
        writing.result(PATIENCE)


def test_a_bad_request_names_its_field(serve: Serve) -> None:
    server = serve()
    for request, field in (({"token": "foreign"}, "resume_token"), ({"filter": "nonsense = 1"}, "filter")):
        with pytest.raises(grpc.RpcError) as raised:
            next(server.watch(**request))  # type: ignore[arg-type]  # both are text
        status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]
        bad = error_details_pb2.BadRequest()
        assert status is not None
        assert any(detail.Unpack(bad) for detail in status.details)
        assert [violation.field for violation in bad.field_violations] == [field]
    server.log.first = 5
    assert failure(server.watch("token3")) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")
    assert failure(server.watch("token999")) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")
    assert server.watches.count == 0


def test_there_are_no_more_watches_than_allowed_and_a_place_becomes_free(serve: Serve) -> None:
    server = serve(max_watchers=1)
    first = server.watch()
    next(first)
    assert failure(server.watch()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES")
    first.cancel()
    until(lambda: server.watches.count == 0)
    next(server.watch())
    assert server.ended == [Ended.CLIENT]


def test_a_client_that_reads_nothing_is_ended_and_the_others_receive_everything(serve: Serve) -> None:
    server = serve(max_stall=0.3)
    reader, stuck = server.watch(), server.watch()
    next(reader)
    next(stuck)
    description = "x" * 20_000
    count = 0
    while not server.ended:
        count += 1
        server.commit(change(count, description))
        assert ids(next(reader))
    assert failure(stuck)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    server.commit(change(count + 1))
    assert collect(reader, count + 1)[-1] == count + 1
    assert server.ended == [Ended.TOO_SLOW]


def test_a_deadline_ends_a_watch_and_frees_its_place(serve: Serve) -> None:
    server = serve()
    assert failure(server.watch(timeout=0.2))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: server.watches.count == 0)


def test_a_stop_sends_the_last_change_and_then_unavailable(serve: Serve) -> None:
    server = serve()
    call = server.watch()
    next(call)
    server.log.transactions.append((change(1),))  # nobody wakes the tail
    stopping = threading.Thread(target=server.watches.stop, args=(5.0,))
    stopping.start()
    assert collect(call, 1) == [1]
    assert failure(call) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    stopping.join(PATIENCE)


def test_a_log_that_was_replaced_ends_the_watches(serve: Serve) -> None:
    server = serve()
    server.commit(change(1))
    call = server.watch()
    next(call)
    server.log.transactions = []
    server.database.write(lambda _: None)
    assert failure(call) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")


def test_commits_of_other_processes_wake_the_tail(serve: Serve, sqlite_url: str) -> None:
    server = serve()
    call = server.watch()
    next(call)
    other = Database(create_engine(sqlite_url))
    server.log.transactions.append((change(1),))
    other.write(lambda session: session.connection().exec_driver_sql("UPDATE secrets SET value = value"))
    assert collect(call, 1) == [1]
    other.close()


def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds, which another thread brings about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0)
