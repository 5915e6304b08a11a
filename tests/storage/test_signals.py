"""Signals of PostgreSQL: a commit of another program ends the wait for changes long before the next poll."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from artemis_loader.feeds import Feed, Limits
from artemis_loader.loading import Options, load
from artemis_loader.records import Record
from artemis_loader.report.progress import Reporter
from artemis_loader.summary import Status
from artemis_models import create_engine
from artemis_server.db.connection.database import Database
from artemis_server.watch.signals import Notifications

from tests.storage.conftest import PATIENCE


class Server:
    """The signals of a server, for which one thread waits."""

    def __init__(self, url: str) -> None:
        self._database = Database(create_engine(url, connections=2))
        self._pool = ThreadPoolExecutor(1)
        self.signals = Notifications(self._database)
        self.wait(0.0)
        self.wait(0.0)  # from now on, it listens

    def wait(self, timeout: float) -> bool:
        """Returns whether there was a signal within so many seconds."""
        return self._pool.submit(self.signals.wait, timeout, watching=True).result(2 * PATIENCE)

    def stop(self) -> None:
        self._pool.submit(self.signals.close).result(PATIENCE)
        self._pool.shutdown()
        self._database.close()


@pytest.fixture
def servers(postgresql_url: str) -> Iterator[tuple[Server, Server]]:
    """Two servers on one database."""
    made = Server(postgresql_url), Server(postgresql_url)
    yield made
    for each in made:
        each.stop()


def test_a_commit_of_another_server_ends_the_wait(servers: tuple[Server, Server]) -> None:
    watching, writing = servers
    assert not watching.wait(0.0)
    writing.signals.committed()
    assert writing.wait(0.0)
    assert watching.wait(PATIENCE)
    assert not writing.wait(0.0)


def test_a_load_that_changes_something_ends_the_wait(
    servers: tuple[Server, Server], postgresql_url: str, tmp_path: Path
) -> None:
    watching = servers[0]
    (tmp_path / "feed.jsonl").touch()
    feed = Feed(
        name="feed",
        url=str(tmp_path / "feed.jsonl"),
        format="jsonl",
        entity="events",
        mode="refresh",
        fields={},
        limits=Limits(),
    )
    engine = create_engine(postgresql_url, connections=4)
    options = Options(rejects=str(tmp_path / "{feed}.rejects"), force=True)
    records = [Record("key", ("Name", "", "", "", "", 1, 1))]
    for signalled in (True, False):
        assert load(engine, feed, options, Reporter(), lambda *_: records).status is Status.LOADED
        assert watching.wait(PATIENCE if signalled else 0.0) is signalled
    engine.dispose()
