"""The next release takes over from this one while callers write: two servers on PostgreSQL, replaced one by one.

`python -m tests.robustness.upgrades [SECONDS]` runs the long form, which stays in each state for so many seconds (10),
and ends with 1 if a call failed, or a server that may not serve any more did so for longer than MAX_SERVING. The short
form is `tests/e2e/test_upgrades.py`. The next release is this one with one more migration, which adds a column.
"""

import dataclasses
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import psycopg
from artemis_client import ArtemisClient
from artemis_models import create_engine, head_revision, revisions, upgrade
from artemis_server.health import INTERVAL
from grpc_health.v1.health_pb2 import HealthCheckResponse
from sqlalchemy import make_url

from tests.conftest import cloned, postgresql
from tests.e2e.processes import Process
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, READY, Server, environment, run, serving, wait_for_health

NEXT = f"{int(head_revision()) + 1:04}"
MIGRATION = f'''"""Add the web page to events.

Revision ID: {NEXT}
Revises: {head_revision()}
"""

from alembic import op

revision = "{NEXT}"
down_revision = "{head_revision()}"
branch_labels = None
depends_on = None

oldest_revision = "0009"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE events ADD COLUMN url TEXT DEFAULT '' NOT NULL")
'''
CALLERS = 2
MAX_SERVING = INTERVAL + 0.5
"""Seconds until a server must have noticed that it may not serve: until its next probe, and for the probe itself."""
PAUSE = 0.01
"""Seconds after which a caller goes on to its next event. Callers that never pause would slow down the servers."""
CYCLE = 5
"""Calls of a caller to one event: it is created, read, changed, listed and deleted."""


class NextRelease:
    """The programs of a release whose migrations are in a folder."""

    def __init__(self, migrations: Path, url: str) -> None:
        self._migrations = migrations
        self._url = url

    def start(self, name: str, *flags: str) -> Process:
        """Starts a command of `artemis-server`."""
        command = ["tests.robustness.next_release", str(self._migrations), name, "--database-url", self._url, *flags]
        return Process(command, environment())

    def migrate(self) -> str:
        """Migrates, and returns what the command prints."""
        process = self.start("migrate")
        out, err = process.communicate(PATIENCE)
        assert process.returncode == 0, err
        return out

    @contextmanager
    def serving(self, port: int) -> Iterator[Server]:
        """Runs a server, and yields it once it is SERVING."""
        server = Server(self.start("serve", "--listen", f"127.0.0.1:{port}"), Path(self._url))
        try:
            server.log.wait_for(READY)
            with grpc.insecure_channel(server.target) as channel:
                wait_for_health(channel, HealthCheckResponse.SERVING)
            yield server
        finally:
            server.end()


class Load:
    """Callers that share a client of several servers, and what failed."""

    def __init__(self, servers: list[Server]) -> None:
        self._target = f"ipv4:{','.join(server.target for server in servers)}"
        self._stopping = threading.Event()
        self.calls = 0
        self.failures: list[Exception] = []
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Calls until the block ends."""
        with ArtemisClient(self._target) as client, ThreadPoolExecutor(CALLERS) as pool:
            for _ in range(CALLERS):
                pool.submit(self._call, client)
            try:
                yield
            finally:
                self._stopping.set()

    def _call(self, client: ArtemisClient) -> None:
        while not self._stopping.wait(PAUSE):
            try:
                stored = client.events.create(event())
                assert stored == client.events.get(stored.id)
                moved = dataclasses.replace(stored, location="elsewhere")
                changed = client.events.update(moved, update_mask=["location"])
                assert [changed] == list(client.events.list(filter=f"id = {stored.id}"))
                client.events.delete(stored.id)
            except Exception as error:
                self.failures.append(error)
            with self._lock:
                self.calls += CYCLE


def next_release(folder: Path, url: str) -> NextRelease:
    """Makes a release with one more migration, in a folder that is empty."""
    migrations = folder / "migrations"
    shutil.copytree(revisions.FOLDER, migrations)
    (migrations / "versions" / f"{NEXT}_event_url.py").write_text(MIGRATION, encoding="utf-8")
    return NextRelease(migrations, url)


def take_over(new: NextRelease, url: str, dwell: float = 0.0) -> tuple[Load, float]:
    """Migrates and replaces two servers of this release under load, and asserts what every step says.

    Before the second one is replaced the row is raised, which takes it out of service. Returns the load, and for how
    many seconds that server was SERVING nevertheless.
    """
    with ExitStack() as running:
        first, second = (running.enter_context(serving(url)) for _ in range(2))
        load = Load([first, second])
        with load.running():
            time.sleep(dwell)
            assert new.migrate() == f"the schema is at revision {NEXT}\n"
            again = run("migrate", url)
            said = f"the schema is at revision {NEXT}, newer than this program's {head_revision()}: nothing to do\n"
            assert (again.returncode, again.stdout) == (0, said), again.stderr
            time.sleep(dwell)
            _replace(first, new, running)
            time.sleep(dwell)
            assert "not serving" not in second.log.text
            served = _expect_an_end(second, url)
            _replace(second, new, running)
            time.sleep(dwell)
    return load, served


def _replace(server: Server, new: NextRelease, running: ExitStack) -> None:
    port = server.port
    assert server.stop() == 0
    running.enter_context(new.serving(port))


def _expect_an_end(server: Server, url: str) -> float:
    """Raises the row beyond a server, which must end its service and say why. Returns after how many seconds it did."""
    with grpc.insecure_channel(server.target) as channel:
        wait_for_health(channel, HealthCheckResponse.SERVING)
        with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
            connection.execute("UPDATE schema_compatibility SET oldest_revision = %s", (NEXT,))
        begun = time.monotonic()
        wait_for_health(channel, HealthCheckResponse.NOT_SERVING)
        served = time.monotonic() - begun
    server.log.wait_for(
        f"not serving: the database has schema revision {NEXT}, which needs programs of revision {NEXT}"
    )
    return served


def main() -> int:
    """Runs the long form, and returns 1 if something failed."""
    dwell = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with (
        postgresql() as started,
        cloned(make_url(started.get_uri()), "template1") as made,
        tempfile.TemporaryDirectory() as folder,
    ):
        url = made.render_as_string(hide_password=False)
        engine = create_engine(url)
        upgrade(engine)
        engine.dispose()
        load, served = take_over(next_release(Path(folder), url), url, dwell)
    print(f"{load.calls:,} calls, {len(load.failures)} errors: {load.failures[:3]}")
    print(f"NOT_SERVING {served:.2f} s after the row was raised")
    return 1 if load.failures or not load.calls or served > MAX_SERVING else 0


if __name__ == "__main__":
    sys.exit(main())
