"""Prints how long the loader takes for a synthetic feed, beside `sqlite3 .import` of the same rows.

It is loaded, loaded again as it is, and again with 1 % of the records changed. Times are of whole processes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from artemis_models import create_engine, upgrade

from tests.benchmarks.deployment import deployed
from tests.benchmarks.feeds import write

CONFIG = """
[feeds.talks]
url = "talks.jsonl"
format = "jsonl"
entity = "events"
mode = "refresh"

[feeds.talks.fields]
external_id = "id"
name = "name"
description = "description"
category = "category"
location = "location"
publisher = "publisher"
start_time = "start"
end_time = "end"
"""
CHANGED = 0.01


class Cost(NamedTuple):
    """The cost of a process: seconds, seconds of processor time, and MiB of memory at most."""

    seconds: float
    processor: float
    memory: float


def cost_of(command: Sequence[str], folder: Path) -> Cost:
    """Runs a command to its end and returns what it took; exits when it fails."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{command[0]} failed:\n{output.read().decode()}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """Makes a migrated database and yields its URL."""
    if engine == "sqlite":
        yield migrated(f"sqlite:///{folder}/loads.db")
        return
    with deployed() as server:
        with closing(psycopg.connect(server.get_uri(), autocommit=True)) as connection:
            connection.execute("CREATE DATABASE loads")
        yield migrated(server.get_uri(database="loads").replace("postgresql://", "postgresql+psycopg://", 1))


def migrated(url: str) -> str:
    """Brings a database to the newest revision, and returns its URL."""
    engine = create_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


def measure_import(folder: Path) -> Cost:
    """Measures `.import` into a file and a table of its own, without an index."""
    shell = shutil.which("sqlite3")
    if shell is None:
        raise SystemExit("the sqlite3 shell is not installed (Debian: apt install sqlite3)")
    (folder / "import.db").unlink(missing_ok=True)
    return cost_of([shell, "import.db", ".import --csv talks.csv talks"], folder)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--engines", nargs="*", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "feeds.toml").write_text(CONFIG, encoding="utf-8")
        print(f"{options.records:,} records          seconds  processor  .import    MiB  records/s")
        for engine in options.engines:
            with database(engine, folder) as url:
                write(options.records, 0.0, folder / "talks.jsonl", folder / "talks.csv")
                report(f"{engine}: first load", url, folder, options.records)
                report(f"{engine}: the same again", url, folder, options.records)
                write(options.records, CHANGED, folder / "talks.jsonl", folder / "talks.csv")
                report(f"{engine}: 1 % changed", url, folder, options.records)


def report(title: str, url: str, folder: Path, records: int) -> None:
    """Measures a load between two imports, so that all see the same machine, and prints it."""
    command = [sys.executable, "-m", "artemis_loader", "load", "--force", "--database-url", url]
    before = measure_import(folder)
    load = cost_of(command, folder)
    beside = (before.seconds + measure_import(folder).seconds) / 2
    print(
        f"{title:<26}{load.seconds:>8.1f}{load.processor:>11.1f}{load.seconds / beside:>8.1f}x{load.memory:>7.0f}"
        f"{records / load.seconds:>11,.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
