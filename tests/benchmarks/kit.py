"""Prints how long a server of the test kit takes to start, and what a test pays: a reset, and the first call after it.

Two columns are medians in milliseconds with their range, of the time that passes and of the server's processor time,
which a busy machine does not change.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from artemis_client import Event
from artemis_testing.process import ServerProcess
from artemis_testing.server import ArtemisServer

from tests.benchmarks.load import Target

SEEDED = 1000
"""Events of a test with much data."""


def processor_time(process: ServerProcess) -> float:
    """Returns the seconds of processor time that the server has used, in steps of the system, which are 10 ms."""
    return Target(process.port, process._process.pid).processor_seconds()


def timed(work: Callable[[], Any]) -> float:
    """Returns the seconds that the work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def line(title: str, *columns: Sequence[float]) -> str:
    """Returns a line of the table."""
    cells = []
    for each in columns:
        low, middle, high = (1000 * f(each) for f in (min, statistics.median, max))
        cells.append(f"{middle:8.1f} ({low:.1f} to {high:.1f})")
    return f"{title:<38}" + "".join(f"{cell:>28}" for cell in cells)


def measure_starts(rounds: int, folder: Path, *, kept: bool) -> str:
    """Returns the line of the starts, with a migrated database that was kept, or without."""
    seconds, processor = [], []
    for number in range(rounds):
        cache = folder / ("kept" if kept else f"new-{number}")
        cache.mkdir(exist_ok=True)
        begin = time.perf_counter()
        process = ServerProcess(cache)
        seconds.append(time.perf_counter() - begin)
        processor.append(processor_time(process))
        process.close()
    return line("start, database kept" if kept else "start", seconds, processor)


def measure_resets(rounds: int, artemis: ArtemisServer, process: ServerProcess, events: int) -> list[str]:
    """Returns the lines of the resets after tests with so many events, and of the first call that follows each."""
    resets, calls, processor = [], [], []
    for _ in range(rounds):
        artemis.add_events([Event()] * events)
        list(artemis.client.events.list(page_size=1000))
        before = processor_time(process)
        resets.append(timed(artemis.reset))
        processor.append(processor_time(process) - before)
        calls.append(timed(lambda: list(artemis.client.events.list())))
    return [line(f"reset after {events} events", resets, processor), line("first call after it", calls)]


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="resets of each kind, and a sixth as many starts")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'milliseconds':<38}{'passed':>28}{'processor, server':>28}")
        for kept in (False, True):
            print(measure_starts(max(1, rounds // 6), Path(folder), kept=kept))
        process = ServerProcess(Path(folder))
        artemis = ArtemisServer(process)
        for events in (1, SEEDED):
            print("\n".join(measure_resets(rounds, artemis, process, events)))
        artemis.close()


if __name__ == "__main__":
    main()
