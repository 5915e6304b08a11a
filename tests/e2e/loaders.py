"""The loader as a process, on a feed that the test writes."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artemis_models import create_engine

from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, Log, environment

CONFIG = """
[feeds.talks]
url = "talks.jsonl"
format = "jsonl"
entity = "events"
mode = "refresh"
{more}
[feeds.talks.fields]
external_id = "id"
name = "name"
start_time = "start"
end_time = "end"
"""


class Loader:
    """The loader on a database of its own, with one feed, in a folder of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        """Of the database."""
        self.feed = folder / "talks.jsonl"
        self.temporary = folder / "tmp"
        """The folder of the loader's temporary files."""
        self.configure()
        self.publish(3, "First")

    def configure(self, more: str = "") -> None:
        """Declares the feed, with more keys."""
        (self.folder / "feeds.toml").write_text(CONFIG.format(more=more), encoding="utf-8")

    def publish(self, count: int, name: str) -> None:
        """Makes the feed have this many records, all of one name."""
        record = {"name": name, "start": "2030-01-01T10:00:00Z", "end": "2030-01-01T11:00:00Z"}
        lines = (json.dumps({"id": f"t{number}", **record}) + "\n" for number in range(count))
        self.feed.write_text("".join(lines), encoding="utf-8")

    def start(self, name: str, *flags: str) -> Process:
        """Starts a command."""
        command = ["artemis_loader", name, "--database-url", self.url, *flags]
        return Process(command, self.environment(), self.folder)

    def environment(self) -> dict[str, str]:
        self.temporary.mkdir(exist_ok=True)
        return environment() | {"TMPDIR": str(self.temporary)}

    def run(self, name: str, *flags: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        process = self.start(name, *flags)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.wait(PATIENCE), out, err)

    def load(self, *flags: str) -> dict[str, Any]:
        """Loads the feed and returns the summary."""
        done = self.run("load", "--json", *flags)
        assert done.returncode == 0, done.stderr
        (summary,) = json.loads(done.stdout)
        return dict(summary)

    def state(self) -> dict[str, int]:
        """Returns the names of the feed's events in the database, and how many events have each."""
        return dict(self._query("SELECT name, count(*) FROM events WHERE source = 'talks' GROUP BY name"))

    def last_status(self) -> str:
        """Returns how the newest load stands, as the database has it."""
        return str(self._query("SELECT status FROM loads ORDER BY id DESC LIMIT 1")[0][0])

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.exec_driver_sql(sql)]
        finally:
            engine.dispose()

    def statuses(self) -> list[str]:
        """Returns how the loads stand, the newest first."""
        return [str(past["status"]) for past in json.loads(self.run("status", "--json").stdout)]


@contextmanager
def loading(loader: Loader, *flags: str) -> Iterator[tuple[Process, Log]]:
    """Starts a load, and ends it at the end if it has not ended by then."""
    process = loader.start("load", *flags)
    with logged(process) as log:
        yield process, log


@contextmanager
def logged(process: Process) -> Iterator[Log]:
    """Yields the log of a process, and ends the process at the end if it has not ended by then."""
    log = Log(process.stderr)
    try:
        yield log
    finally:
        process.kill()
        process.wait(PATIENCE)
        log.join()
        process.stdout.close()
