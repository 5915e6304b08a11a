"""Prints how fast the service is, as a share of a no-op method of the same grpcio server.

Server and load generator have a core each. Every round measures each method and its no-op one right
after the other, so that a ratio compares neighbours in time; what is quoted is the median of the rounds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from artemis_client import ArtemisClient
from google.protobuf.message import Message

from tests.benchmarks import load, samples


@dataclass(kw_only=True)
class Figure:
    """A method to measure, and what its rounds gave."""

    method: str
    request: Message
    goal: float
    events: int = 1
    """How many events a call makes."""
    rates: list[float] = field(default_factory=list)
    noop_rates: list[float] = field(default_factory=list)

    def row(self) -> str:
        """Returns the medians as a line of the table."""
        ratios = [rate / noop for rate, noop in zip(self.rates, self.noop_rates, strict=True)]
        rate, noop, ratio = map(statistics.median, (self.rates, self.noop_rates, ratios))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        return f"{self.method:<14}{rate:>10,.0f}{noop:>12,.0f}{ratio:>8.2f}  {spread:<14}{self.goal:>6.2f}"


BATCH = Figure(method="BatchCreateEvents", request=samples.BATCH, goal=samples.LEAST_BATCHED, events=samples.BATCH_SIZE)
FIGURES = (
    Figure(method="GetEvent", request=samples.GET, goal=0.80),
    Figure(method="CreateEvent", request=samples.CREATE, goal=0.45),
    Figure(method="ListEvents", request=samples.LIST, goal=0.35),
)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="of load for each figure in each round")
    options = parser.parse_args()
    load.find_h2load()
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch)) as port:
        prepare(port)
        for _ in range(options.rounds):
            measure(port, Path(scratch), options.seconds)
        check_rows(port, options.seconds)
    print(f"{'method':<14}{'calls/s':>10}{'no-op/s':>12}{'ratio':>8}  {'from to':<14}{'goal':>6}")
    for figure in FIGURES:
        print(figure.row())
    batched = [rate * BATCH.events for rate in BATCH.rates]
    print(
        f"{BATCH.method} of {BATCH.events}: {statistics.median(batched):,.0f} events/s "
        f"({min(batched):,.0f} to {max(batched):,.0f}), goal {BATCH.goal:,.0f}"
    )


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Runs the server on a core of its own and yields its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.server", f"sqlite:///{folder}/bench.db"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {load.SERVER_CORE}),
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=30)


def prepare(port: int) -> None:
    """Stores what Get and List read, and warms everything up."""
    with ArtemisClient(f"127.0.0.1:{port}") as client:
        for _ in range(2 * samples.PAGE_SIZE):
            client.events.create(samples.NEW_EVENT)


def measure(port: int, folder: Path, seconds: int) -> None:
    """Measures every figure once."""
    for figure in FIGURES:
        body = load.write_body(folder / figure.method, figure.request)
        figure.noop_rates.append(load.requests_per_second(port, f"noop/{figure.method}", body, seconds))
        path = f"artemis.v1.EventService/{figure.method}"
        figure.rates.append(load.requests_per_second(port, path, body, seconds))
    body = load.write_body(folder / BATCH.method, BATCH.request)
    path = f"artemis.v1.EventService/{BATCH.method}"
    BATCH.rates.append(load.requests_per_second(port, path, body, seconds, concurrent=2))


def check_rows(port: int, seconds: int) -> None:
    """Exits unless every create that was counted is there: h2load does not read gRPC's status."""
    creating = [BATCH, *(figure for figure in FIGURES if figure.method == "CreateEvent")]
    created = sum(rate * seconds * figure.events for figure in creating for rate in figure.rates)
    with ArtemisClient(f"127.0.0.1:{port}", timeout=120) as client:
        stored = next(client.events.list(order_by="id desc")).id  # none is ever deleted
    if stored < created:
        raise SystemExit(f"{created:.0f} creates were answered, and only {stored} events are there")


if __name__ == "__main__":
    main()
