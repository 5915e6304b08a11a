"""Prints how long creates over the API take while the loader refreshes a feed, every row of which has changed."""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from artemis_client import ArtemisClient, Event

from tests.benchmarks import samples
from tests.benchmarks.__main__ import serving
from tests.benchmarks.feeds import write
from tests.benchmarks.loads import CONFIG, cost_of, database

NEW_EVENT = Event.from_message(samples.NEW_EVENT)

WRITERS = 16
QUIET = 5.0
"""Seconds of the creates alone, for comparison."""


class Writers:
    """Threads that create events one after the other, and keep how long each create took, in seconds."""

    def __init__(self, target: str) -> None:
        self._client = ArtemisClient(target)
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(WRITERS)
        self._work = [self._pool.submit(self._create) for _ in range(WRITERS)]

    def stop(self) -> list[float]:
        """Ends the threads and returns the durations, the shortest first; raises the error of a create that failed."""
        self._stopping.set()
        durations = sorted(seconds for work in self._work for seconds in work.result())
        self._pool.shutdown()
        self._client.close()
        return durations

    def _create(self) -> list[float]:
        durations = []
        while not self._stopping.is_set():
            begin = time.perf_counter()
            self._client.events.create(NEW_EVENT)
            durations.append(time.perf_counter() - begin)
        return durations


def line(title: str, durations: Sequence[float]) -> str:
    """Returns a line of the table."""
    p99 = durations[len(durations) * 99 // 100]
    cells = (statistics.median(durations), p99, durations[-1])
    return f"{title:<26}{len(durations):>9,}" + "".join(f"{1000 * cell:>10.1f}" for cell in cells)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--engines", nargs="*", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    print(f"{WRITERS} writers, ms              creates    median       p99       max")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "feeds.toml").write_text(CONFIG, encoding="utf-8")
        for engine in options.engines:
            with database(engine, folder) as url, serving(url) as server:
                load = [sys.executable, "-m", "artemis_loader", "load", "--database-url", url]
                write(options.records, 0.0, folder / "talks.jsonl")
                cost_of(load, folder)
                writers = Writers(f"127.0.0.1:{server.port}")
                time.sleep(QUIET)
                print(line(f"{engine}: alone", writers.stop()), flush=True)
                write(options.records, 1.0, folder / "talks.jsonl")
                writers = Writers(f"127.0.0.1:{server.port}")
                cost = cost_of(load, folder)
                print(line(f"{engine}: refresh, {cost.seconds:.1f} s", writers.stop()), flush=True)


if __name__ == "__main__":
    main()
