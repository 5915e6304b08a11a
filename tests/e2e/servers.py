"""Processes of the server: started as an operator starts them, followed through what they log, always ended."""

import os
import re
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
from grpc_health.v1 import health, health_pb2

from tests.e2e.processes import Process
from tests.template import migrated

PATIENCE = 60.0
"""Seconds that anything here may take, on a machine that is busy with other things."""
READY = r"serving on 127\.0\.0\.1:(\d+)(?:\"})?$"  # also in JSON

Row = tuple[Any, ...]


class Log:
    """The lines that a process has written to stderr so far."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="log-reader")
        self._reader.start()

    @property
    def text(self) -> str:
        """All of it."""
        with self._changed:
            return "".join(self._lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Returns the first match in the log, once there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._find(pattern), PATIENCE)
            found = self._find(pattern)
        assert found, f"the log has no {pattern!r}:\n{self.text}"
        return found

    def join(self) -> None:
        """Waits until the process, which has ended, has nothing more to say."""
        self._reader.join(PATIENCE)

    def _find(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, "".join(self._lines), re.MULTILINE)

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Server:
    """A server process on one database file."""

    def __init__(self, process: "Process | subprocess.Popen[str]", database: Path) -> None:
        assert process.stderr is not None
        self.process = process
        self.database = database
        self.log = Log(process.stderr)

    @property
    def port(self) -> int:
        """The port that it listens on, once it does."""
        return int(self.log.wait_for(READY)[1])

    @property
    def target(self) -> str:
        """Its address, once it listens."""
        return f"127.0.0.1:{self.port}"

    def stop(self) -> int:
        """Asks it to end, waits until it has, and returns its exit code."""
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        self.log.join()
        return code

    def kill(self) -> None:
        """Ends it without warning."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.log.join()

    def end(self) -> None:
        """Ends it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        self.log.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving(
    database: Path | str, *flags: str, listen: str = "127.0.0.1:0", python: Path | None = None, new: bool = False
) -> Iterator[Server]:
    """Runs `artemis-server serve` on a database file, or the database of a URL, and yields it once it listens.

    A file that is not there is made before, unless it is to be `new` to the server. With another interpreter, if one is
    named, the server makes the file as well: it may be of another release.
    """
    if isinstance(database, Path) and not (database.exists() or new or python or "--no-migrate" in flags):
        database.write_bytes(migrated())
    command = [*_command("serve", database, *flags), "--listen", listen]
    server = Server(_started(command, python), Path(database))
    try:
        server.log.wait_for(READY)
        yield server
    finally:
        server.end()


def run(name: str, database: Path | str, *flags: str) -> "subprocess.CompletedProcess[str]":
    """Runs an `artemis-server` command that ends by itself."""
    process = start(name, database, *flags)
    out, err = process.communicate(PATIENCE)
    return subprocess.CompletedProcess(process.args, process.wait(PATIENCE), out, err)


def start(name: str, database: Path | str, *flags: str) -> Process:
    """Starts an `artemis-server` command on a database file, or the database of a URL."""
    return Process(_command(name, database, *flags), environment())


def _started(command: list[str], python: Path | None) -> "Process | subprocess.Popen[str]":
    if python is None:
        return Process(command, environment())
    pipe = subprocess.PIPE
    command = [str(python), "-m", *command]
    # gRPC logs what it receives, which need not be UTF-8
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, errors="replace", env=environment())


def _command(name: str, database: Path | str, *flags: str) -> list[str]:
    return ["artemis_server", name, "--database-url", _url(database), *flags]


def _url(database: Path | str) -> str:
    return database if isinstance(database, str) else f"sqlite:///{database}"


def environment() -> dict[str, str]:
    """Returns the environment without settings of the server, of which only flags are to count.

    The number of workers is set, which would depend on the machine: a server is one process without --workers. Metrics
    are off and the port is a free one, because several servers run at once, and the request log has failures only.
    """
    unset = {name: value for name, value in os.environ.items() if not name.startswith("ARTEMIS_")}
    listen = {"ARTEMIS_LISTEN": "127.0.0.1:0", "ARTEMIS_METRICS_LISTEN": "off"}
    return unset | listen | {"ARTEMIS_WORKERS": "1", "ARTEMIS_LOG_SAMPLE": "0"}


def wait_for_health(channel: grpc.Channel, status: int, service: str = "") -> None:
    """Waits until a service has this status (health_pb2.HealthCheckResponse.ServingStatus)."""
    with closing(watch_health(channel, service)) as updates:
        assert any(update == status for update in updates)


def watch_health(channel: grpc.Channel, service: str = "") -> Generator[int]:
    """Yields the status of a service and every new one, until it is closed or the server ends."""
    watch = channel.unary_stream(
        f"/{health.SERVICE_NAME}/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    call = watch(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE, wait_for_ready=True)
    try:
        for update in call:
            yield update.status
    finally:
        call.cancel()


def query(database: Path, sql: str) -> list[Row]:
    """Returns rows of a database file, read past the server."""
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as connection:
        return connection.execute(sql).fetchall()


def contents(database: Path) -> list[Row]:
    """Returns every event and user in a database file."""
    return query(database, "SELECT * FROM events ORDER BY id") + query(database, "SELECT * FROM users ORDER BY id")
