"""`artemis-loader health`: the exit code and a line for each fault, for a container's health check."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from artemis_loader.health.heartbeat import MAX_SILENCE, Heartbeat, path_of, read

from tests.e2e.loaders import Loader, logged
from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE

DAILY = 'schedule = "0 3 * * *"\n'


@pytest.fixture
def loader(tmp_path: Path, sqlite_url: str) -> Loader:
    return Loader(tmp_path, sqlite_url)


@contextmanager
def running(loader: Loader) -> Iterator[Process]:
    """Runs the schedules, and yields when the loader has begun."""
    process = loader.start("run")
    with logged(process) as log:
        log.wait_for("next load at")
        yield process


def heartbeat(loader: Loader) -> Path:
    """Returns the file of the loader that runs."""
    (found,) = loader.temporary.glob("*.heartbeat")
    return found


def said(loader: Loader) -> tuple[int, str, str]:
    done = loader.run("health")
    return done.returncode, done.stdout, done.stderr


def test_a_loader_that_runs_is_healthy_until_its_scheduler_hangs_or_it_is_stopped(loader: Loader) -> None:
    loader.configure(DAILY)
    nobody = (1, "", "artemis-loader: no loader runs the schedules of this configuration\n")
    assert said(loader) == nobody
    with running(loader) as process:
        assert said(loader) == (0, "healthy\n", "")
        process.send_signal(signal.SIGSTOP)
        long_ago = time.time() - MAX_SILENCE - 1  # as if it hung since then
        os.utime(heartbeat(loader), (long_ago, long_ago))
        code, _, err = said(loader)
        assert (code, err.count("\n")) == (1, 1)
        assert err.startswith("artemis-loader: the scheduler has given no sign of life since ")
        process.send_signal(signal.SIGCONT)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert said(loader) == nobody


def test_a_feed_that_fails_for_too_long_is_named_with_its_reason(loader: Loader) -> None:
    loader.configure("max_age = 0.001\n")
    loader.load()
    loader.feed.unlink()
    assert loader.run("load").returncode == 1
    code, out, err = said(loader)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("artemis-loader: feed talks: no successful load since 20")
    assert "the last one: " in err
    assert "talks.jsonl" in err
    loader.configure("max_age = 3600\n")
    assert said(loader) == (0, "healthy\n", "")


def test_a_database_that_is_gone_is_unhealthy_in_one_line(loader: Loader, sqlite_file: Path) -> None:
    sqlite_file.unlink()
    code, out, err = said(loader)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "there is no database" in err


def test_the_history_of_loads_is_pruned_after_the_time_that_is_set(loader: Loader) -> None:
    for _ in range(2):
        loader.load("--load-retention", "60")
    age_by_an_hour(Path(loader.url.removeprefix("sqlite:///")))
    loader.load("--load-retention", "60")
    assert loader.statuses() == ["loaded"] * 2, "the new one, and the last success before it began"


def age_by_an_hour(database: Path) -> None:
    """Makes all loads in the history an hour older."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE loads SET start_time = start_time - 3600000000, end_time = end_time - 3600000000")
        connection.commit()


def test_each_configuration_has_a_heartbeat_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_of(Path("feeds.toml")) == path_of(tmp_path / "feeds.toml")
    assert path_of(Path("feeds.toml")) != path_of(Path("other.toml"))


def test_a_heartbeat_keeps_the_time_of_its_first_beat(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    path.write_text("what a loader left that was killed")
    beating = Heartbeat(path)
    beating.start()
    first = datetime.fromisoformat(path.read_text())
    os.utime(path, (0, 0))
    beating.beat()
    beats = read(path)
    assert beats is not None
    assert beats.first == first
    assert beats.last.timestamp() > 0
    path.unlink()  # somebody cleans up
    beating.beat()
    assert first == datetime.fromisoformat(path.read_text())
    beating.end()
    assert read(path) is None


def test_a_heartbeat_that_cannot_be_written_is_logged_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beating = Heartbeat(tmp_path / "nowhere" / "heartbeat")
    beating.start()
    beating.beat()
    assert [record.message.partition(", so")[2] for record in caplog.records] == [
        " health will find no loader: No such file or directory"
    ]
