"""Prints what the log of changes costs those who write: the share of their rate without it that they keep.

Without it is another checkout, such as one of an earlier version, or by default a database whose triggers are dropped.
Two servers run side by side, and each round measures one right after the other; so do the loads of a feed. `processor`
is the same share by the processor time of a call, which on PostgreSQL leaves out that of the database.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from artemis_models import create_engine
from artemis_models.change_log import SQLITE_TRIGGERS

from tests.benchmarks import load
from tests.benchmarks.__main__ import serving
from tests.benchmarks.deployment import deployed
from tests.benchmarks.feeds import write
from tests.benchmarks.load import Rate, Target
from tests.benchmarks.loads import CONFIG, cost_of
from tests.benchmarks.methods import METHODS, Service

TITLES = ("Create", "Create, 1 caller", "BatchCreate, 2 callers")
GOALS = {"Create": 0.85, "Create, 1 caller": 0.85, "BatchCreate, 2 callers": 0.65, "load": 0.65}
VERSION = """
CREATE TRIGGER events_version AFTER UPDATE ON events WHEN NEW.version = OLD.version BEGIN
  UPDATE events SET version = OLD.version + 1 WHERE id = NEW.id;
END
"""
PACKAGES = ("protos", "models/src", "server/src", "client/src", "loader/src", ".")


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="of load for each figure in each round")
    parser.add_argument("--records", type=int, default=100_000, help="of a feed; 0: no feed is loaded")
    parser.add_argument("--without", type=Path, help="a checkout of a version without the log")
    parser.add_argument("--engines", nargs="*", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    print(f"{'share that is kept':<32}{'goal':>6}   rate (range)          processor (range)")
    for engine in options.engines:
        with tempfile.TemporaryDirectory() as scratch, databases(engine, Path(scratch), options.without) as urls:
            measure_calls(engine, urls, options)
            if options.records:
                measure_loads(engine, urls, Path(scratch), options)


@contextmanager
def databases(engine: str, folder: Path, without: Path | None) -> Iterator[dict[str, str]]:
    """Makes two migrated databases, with and without the log, and yields their URLs."""
    with ExitStack() as stack:
        urls = {name: f"sqlite:///{folder}/{name}.db" for name in ("with", "without")}
        if engine == "postgresql":
            server = stack.enter_context(deployed())
            for name in urls:
                server.psql(f'CREATE DATABASE "{name}";')
                urls[name] = server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://", 1)
        for name, url in urls.items():
            migrate = [sys.executable, "-m", "artemis_server", "migrate", "--database-url", url]
            with sources(without if name == "without" else None):
                subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if without is None:
            drop_triggers(urls["without"])
        yield urls


def drop_triggers(url: str) -> None:
    """Makes the database as it was before there was a log."""
    engine = create_engine(url)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for name in SQLITE_TRIGGERS:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            connection.exec_driver_sql(VERSION)
        else:
            connection.exec_driver_sql("DROP FUNCTION artemis_log_event_changes() CASCADE")
    engine.dispose()


@contextmanager
def sources(checkout: Path | None) -> Iterator[None]:
    """Lets processes that are started meanwhile run the packages of a checkout, if one is given."""
    before = os.environ.get("PYTHONPATH", "")
    if checkout is not None:
        os.environ["PYTHONPATH"] = os.pathsep.join(str(checkout / package) for package in PACKAGES)
    yield
    os.environ["PYTHONPATH"] = before


def measure_calls(engine: str, urls: dict[str, str], options: argparse.Namespace) -> None:
    """Measures the calls in turns and prints a line for each."""
    with ExitStack() as stack:
        targets = {}
        for name, url in urls.items():
            with sources(options.without if name == "without" else None):
                targets[name] = stack.enter_context(serving(url))
        os.sched_setaffinity(0, (load.LOAD_CORE,))
        for title in TITLES:
            pairs = [
                [rate(title, targets[name], options.seconds) for name in ("with", "without")]
                for _ in range(options.rounds)
            ]
            rates = [logged.calls / bare.calls for logged, bare in pairs]
            processors = [bare.processor / logged.processor for logged, bare in pairs]
            print_line(f"{engine}: {title}", GOALS[title], rates, processors)
        os.sched_setaffinity(0, load.CORES)


def rate(title: str, target: Target, seconds: float) -> Rate:
    """Measures a method of a server once."""
    method = METHODS[title]
    bodies = method.requests(Service(None, [""]))  # type: ignore[arg-type]
    return load.measure(target, f"/artemis.v1.EventService/{method.name}", bodies, seconds, method.concurrent)


def measure_loads(engine: str, urls: dict[str, str], folder: Path, options: argparse.Namespace) -> None:
    """Measures first loads of a feed and loads of which every record has changed, in turns, and prints a line each."""
    ratios: dict[str, tuple[list[float], list[float]]] = {"first load": ([], []), "all changed": ([], [])}
    for number in range(options.rounds):
        (folder / "feeds.toml").write_text(CONFIG.replace("feeds.talks", f"feeds.talks{number}"), encoding="utf-8")
        for title, changed in (("first load", 0.0), ("all changed", 1.0)):
            write(options.records, changed, folder / "talks.jsonl")
            costs = {}
            for name, url in urls.items():
                with sources(options.without if name == "without" else None):
                    costs[name] = cost_of(
                        [sys.executable, "-m", "artemis_loader", "load", "--database-url", url], folder
                    )
            ratios[title][0].append(costs["without"].seconds / costs["with"].seconds)
            ratios[title][1].append(costs["without"].processor / costs["with"].processor)
    for title, (rates, processors) in ratios.items():
        print_line(f"{engine}: {title}, {options.records:,}", GOALS["load"], rates, processors)


def print_line(title: str, goal: float, rates: Sequence[float], processors: Sequence[float]) -> None:
    """Prints a line of the table: medians and ranges."""
    cells = (f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in (rates, processors))
    print(f"{title:<32}{goal:>6}   {'  '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
