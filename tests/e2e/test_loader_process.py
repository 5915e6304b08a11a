"""The loader as a process: what it prints, and what it does when it cannot go on."""

import http.server
import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from artemis_loader import function
from artemis_loader.errors import LoaderError
from artemis_loader.settings import parse

from tests.e2e.loaders import Loader, loading, logged
from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, environment


@pytest.fixture
def loader(tmp_path: Path, sqlite_url: str) -> Loader:
    """A loader with a feed of three records."""
    return Loader(tmp_path, sqlite_url)


@pytest.mark.parametrize("command", ["", "load", "run", "check", "migrate", "status", "health"])
def test_every_command_has_help(command: str) -> None:
    process = Process(["artemis_loader", *command.split(), "--help"], environment())
    out, err = process.communicate(PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert "usage: artemis-loader" in out


def test_a_misplaced_url_does_not_show_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["load", "--database-ulr", "postgresql://ada:qxzk@host/artemis"])
    assert "qxzk" not in capsys.readouterr().err


def test_version_is_the_packages_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"artemis-loader {version('artemis-loader')}\n"


def test_a_load_prints_a_table(loader: Loader) -> None:
    done = loader.run("load")
    assert done.returncode == 0, done.stderr
    heading, row = done.stdout.splitlines()
    assert heading.split() == [
        "feed",
        "status",
        "read",
        "inserted",
        "updated",
        "unchanged",
        "deleted",
        "rejected",
        "duplicate",
        "warnings",
        "seconds",
        "records/s",
    ]
    assert row.split()[:9] == ["talks", "loaded", "3", "3", "0", "0", "0", "0", "0"]


def test_a_load_prints_json(loader: Loader) -> None:
    summary = loader.load()
    seconds, rate = summary.pop("seconds"), summary.pop("records_per_second")
    assert 0 < seconds < PATIENCE
    assert rate > 0
    assert 0 < summary.pop("locked_seconds") < seconds
    assert summary == {
        "feed": "talks",
        "status": "loaded",
        "read": 3,
        "inserted": 3,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "kept": 0,
        "rejected": 0,
        "duplicate": 0,
        "warnings": 0,
        "error": "",
        "first_warnings": [],
        "first_rejects": [],
        "first_duplicates": [],
        "changes": [],
        "rejects_file": "",
    }


def test_the_status_shows_loads_that_failed_and_loads_that_did_not(loader: Loader) -> None:
    loader.load()
    loader.publish(0, "")
    done = loader.run("load")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "artemis-loader: feed talks: the feed has no usable record; --force deletes what it had before"
    )
    table = loader.run("status").stdout.splitlines()
    assert "failed" in table[1]
    assert "the feed has no usable record" in table[1]
    assert "loaded" in table[2]
    assert loader.statuses() == ["failed", "loaded"]


def test_rejects_are_where_they_are_asked_for(loader: Loader) -> None:
    with loader.feed.open("a", encoding="utf-8") as feed:
        feed.write('{"id": "late", "name": "x", "start": "2023-02-30", "end": "2023-02-30"}\nnonsense\n')
    assert loader.load("--rejects", "bad.jsonl")["rejected"] == 2
    rejects = [json.loads(line) for line in (loader.folder / "bad.jsonl").read_text("utf-8").splitlines()]
    assert [("talks", str(loader.feed), 4), ("talks", str(loader.feed), 5)] == [
        (reject["feed"], reject["file"], reject["line"]) for reject in rejects
    ]
    assert all(reject["reason"] and reject["record"] for reject in rejects)


@pytest.mark.parametrize("path", ["talks.jsonl", "{feed}.jsonl"])
def test_rejects_replace_no_file_but_those_of_an_earlier_load(loader: Loader, path: str) -> None:
    before = loader.feed.read_bytes()
    assert loader.feed.name == "talks.jsonl"
    refused = loader.run("load", "--rejects", path)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "talks.jsonl is not a file of rejects, and they would replace it: name another one" in refused.stderr
    assert before == loader.feed.read_bytes()


def test_a_dry_run_writes_nothing(loader: Loader, sqlite_file: Path) -> None:
    before = sqlite_file.read_bytes()
    assert loader.load("--dry-run")["inserted"] == 3
    assert before == sqlite_file.read_bytes()
    assert not list(loader.folder.glob("artemis.db-load-*"))


def test_a_dry_run_tells_what_would_change_and_leaves_the_rejects_of_the_last_load(loader: Loader) -> None:
    with loader.feed.open("a", encoding="utf-8") as feed:
        feed.write('{"id": "bad", "name": "x"}\n')
    loader.load()
    rejects = loader.folder / "rejects" / "talks.jsonl"
    before = rejects.read_bytes()
    lines = loader.feed.read_text("utf-8").replace('"First"', '"Second"', 1).splitlines()
    loader.feed.write_text("\n".join([*lines[:2], *lines[1:2], "nonsense"]), encoding="utf-8")
    done = loader.run("load", "--dry-run")
    assert done.returncode == 0, done.stderr
    reason = "not JSON: Expecting value at character 1"
    assert [
        f"feed talks: rejected: {loader.feed}:4: {reason}",
        f"feed talks: duplicate: {loader.feed}:2: external_id 't1' is that of {loader.feed}:3, which was taken instead",
        "feed talks: would be updated: t0",
        '    name: "First" -> "Second"',
        "feed talks: would be deleted: t2",
        '    name: "First"',
        '    start_time: "2030-01-01T10:00:00Z"',
        '    end_time: "2030-01-01T11:00:00Z"',
    ] == done.stdout.splitlines()[2:]
    assert before == rejects.read_bytes()
    assert reason in (loader.folder / "rejects" / "talks.dry-run.jsonl").read_text("utf-8")


def test_a_dry_run_that_fails_tells_why_records_were_rejected(loader: Loader, sqlite_file: Path) -> None:
    before = sqlite_file.read_bytes()
    loader.feed.write_text('{"id": "t0", "name": "x"}\n', encoding="utf-8")
    done = loader.run("load", "--dry-run")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("artemis-loader: feed talks: the feed has no usable record")
    assert f"feed talks: rejected: {loader.feed}:1: start_time is missing" in done.stdout.splitlines()
    assert before == sqlite_file.read_bytes()


def test_a_preview_shows_records_beside_what_they_come_from_without_a_database(loader: Loader) -> None:
    with loader.feed.open("a", encoding="utf-8") as feed:
        feed.write('{"id": "bad", "name": " x "}\n')
    done = loader.run("load", "--preview", "4", "--database-url", "sqlite:///nowhere/missing.db")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "feed talks: 4 records"
    assert f"{loader.feed}:4: rejected: start_time is missing" in lines
    assert ["name", "First", "name:", "First"] in [line.split() for line in lines]
    assert ["start_time", "2030-01-01T10:00:00Z", "start:", "2030-01-01T10:00:00Z"] in [line.split() for line in lines]


def test_a_check_needs_no_database_if_it_is_told_so(loader: Loader) -> None:
    missing = ("--database-url", "sqlite:///nowhere/missing.db")
    failed = loader.run("check", *missing)
    assert (failed.returncode, failed.stdout.count("\n")) == (1, 1)
    assert failed.stderr.endswith("(check --no-database checks the configuration only)\n")
    done = loader.run("check", "--no-database", *missing)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "feeds.toml declares 1 feeds, 0 of them with a schedule\n"


def test_the_status_of_a_feed_that_was_never_loaded_is_an_error(loader: Loader) -> None:
    loader.load()
    assert loader.run("status", "--feed", "talks").returncode == 0
    done = loader.run("status", "--feed", "walks")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "artemis-loader: no load of a feed walks is in the history; it has talks\n"


def test_the_loader_makes_the_schema(loader: Loader, tmp_path: Path) -> None:
    new = ("--database-url", f"sqlite:///{tmp_path / 'new.db'}")
    done = loader.run("migrate", *new)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the schema is at revision 0")
    assert loader.run("load", *new).returncode == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--feed", "walks"], "declares no feed walks; it has talks"),
        (["--config", "missing.toml"], "missing.toml: No such file or directory"),
        (
            ["--database-url", "sqlite:///missing.db"],
            "there is no database missing.db: `artemis-loader migrate` makes it",
        ),
        (["--database-url", "mysql://x"], "there is no driver|not supported"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(loader: Loader, flags: list[str], message: str) -> None:
    done = loader.run("load", *flags)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert any(part in line for part in message.split("|")), line


def test_a_misspelt_flag_is_a_usage_error(loader: Loader) -> None:
    assert loader.run("load", "--fedd", "talks").returncode == 2


def test_a_database_of_another_revision_is_refused(loader: Loader, sqlite_file: Path) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    done = loader.run("load")
    assert done.returncode == 1
    assert "revision 0002" in done.stderr
    assert "run `artemis-loader migrate`" in done.stderr


def test_a_schedule_that_means_nothing_is_found_by_check(loader: Loader) -> None:
    loader.configure('schedule = "61 * * * *"')
    done = loader.run("check")
    assert done.returncode == 1
    assert "schedule" in done.stderr


class Stalling(http.server.BaseHTTPRequestHandler):
    """Serves the first record of a feed, and the rest when it may."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("etag", '"1"')
        self.end_headers()
        record = {"id": "t0", "name": "Slow", "start": "2030-01-01", "end": "2030-01-01"}
        self.wfile.write(json.dumps(record).encode() + b"\n")
        self.wfile.flush()
        self.server.asked.set()  # type: ignore[attr-defined]
        self.server.go_on.wait(PATIENCE)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the name is the base class's
        pass


@dataclass
class Remote:
    """A feed that comes over http and stalls."""

    asked: threading.Event
    go_on: threading.Event


@pytest.fixture
def remote(loader: Loader) -> Iterator[Remote]:
    """Makes the loader's feed one that stalls until `go_on`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    found = Remote(threading.Event(), threading.Event())
    server.asked, server.go_on = found.asked, found.go_on  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    config = loader.folder / "feeds.toml"
    url = f"http://127.0.0.1:{server.server_port}/talks.jsonl"
    config.write_text(config.read_text("utf-8").replace("talks.jsonl", url, 1), encoding="utf-8")
    yield found
    found.go_on.set()
    server.shutdown()
    thread.join(PATIENCE)
    server.server_close()


def test_a_second_load_at_once_is_refused(loader: Loader, remote: Remote) -> None:
    with loading(loader) as (first, _):
        assert remote.asked.wait(PATIENCE)
        assert loader.statuses() == ["running"]
        done = loader.run("load")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "artemis-loader: feed talks: another load of it is running"
        remote.go_on.set()
        assert first.wait(PATIENCE) == 0
    assert loader.state() == {"Slow": 1}
    assert loader.statuses() == ["loaded"]


@pytest.mark.acceptance
def test_a_load_that_is_killed_while_it_fetches_leaves_nothing_for_long(loader: Loader, remote: Remote) -> None:
    with loading(loader) as (process, _):
        assert remote.asked.wait(PATIENCE)
        process.kill()
        process.wait(PATIENCE)
    assert loader.statuses() == ["interrupted"]
    assert len(list(loader.temporary.iterdir())) == 1
    remote.go_on.set()
    assert loader.load()["inserted"] == 1
    assert list(loader.temporary.iterdir()) == []


def test_a_load_that_gets_sigterm_changes_nothing_and_says_so(loader: Loader, remote: Remote) -> None:
    with loading(loader) as (process, log):
        assert remote.asked.wait(PATIENCE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 1
        log.join()
        assert log.text.splitlines()[-1] == "artemis-loader: stopped"
    assert loader.state() == {}
    assert loader.statuses() == ["interrupted"]


def test_run_tells_the_next_load_and_stops_on_sigterm(loader: Loader) -> None:
    loader.configure('schedule = "0 3 29 2 *"\ntime_zone = "Europe/Oslo"')
    process = loader.start("run")
    with logged(process) as log:
        assert log.wait_for(r"feed talks: next load at (\S+)")[1].endswith("-02-29T03:00:00+01:00")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    last = log.text.splitlines()[-1]
    assert last.endswith(" INFO artemis_loader: stopped")
    ended = datetime.fromisoformat(last.split()[0])
    assert ended.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - ended) < timedelta(seconds=PATIENCE)


def test_run_without_a_schedule_is_refused(loader: Loader) -> None:
    done = loader.run("run")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "artemis-loader: feeds.toml: no feed has a schedule"


@pytest.fixture
def configured(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """A loader whose settings are in the environment, as a cloud function has them."""
    monkeypatch.chdir(loader.folder)
    monkeypatch.setenv("ARTEMIS_DATABASE_URL", loader.url)
    monkeypatch.setenv("ARTEMIS_CONFIG", str(loader.folder / "feeds.toml"))
    return loader


def test_the_cloud_function_loads_the_feeds_that_it_is_told(configured: Loader) -> None:
    answer = function.lambda_handler({"feeds": ["talks"]}, None)
    assert [(load["feed"], load["inserted"]) for load in answer["loads"]] == [("talks", 3)]
    assert configured.state() == {"First": 3}


def test_the_cloud_function_fails_when_a_feed_does(configured: Loader) -> None:
    configured.load()
    configured.publish(0, "")
    with pytest.raises(LoaderError, match="talks: the feed has no usable record"):
        function.lambda_handler(None, None)
    answer = function.lambda_handler({"force": True}, None)
    assert [load["deleted"] for load in answer["loads"]] == [3]
