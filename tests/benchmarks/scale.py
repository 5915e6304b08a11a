"""Prints how long a page takes in a large file: the first one, and one deep in the list.

The rounds take turns, so that both see the same machine; what is quoted is the median.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_models import create_engine, upgrade

from tests.benchmarks.__main__ import serving
from tests.benchmarks.generate import fill
from tests.benchmarks.samples import PAGE_SIZE

LISTS = (("", ""), ("", "start_time desc"), ('category = "workshop"', ""), ('category = "course"', "start_time desc"))


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=51)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch) / "bench.db", options.rows)
        with serving(f"sqlite:///{scratch}/bench.db") as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = events_pb2_grpc.EventServiceStub(channel)
            print(f"{options.rows:,} events, pages of {PAGE_SIZE}: median milliseconds of {options.rounds} rounds")
            print(f"{'filter':<26}{'order':<18}{'first':>8}{'deep':>8}{'ratio':>7}  pages of 1000 before")
            for chosen, order in LISTS:
                print(compare(stub, chosen, order, options.rounds))
            get = median_seconds([lambda: stub.GetEvent(events_pb2.GetEventRequest(id=options.rows // 2))], 501)[0]
            print(f"GetEvent: {get * 1000:.3f} ms")


def prepare(path: Path, count: int) -> None:
    """Makes a file with that many events."""
    engine = create_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    fill(path, count)


def compare(stub: "events_pb2_grpc.EventServiceStub", chosen: str, order: str, rounds: int) -> str:
    """Returns a line of the table."""
    request = events_pb2.ListEventsRequest(page_size=PAGE_SIZE, filter=chosen, order_by=order)
    deep, depth = events_pb2.ListEventsRequest(), 0
    deep.CopyFrom(request)
    walk = events_pb2.ListEventsRequest(page_size=1000, filter=chosen, order_by=order)
    while token := stub.ListEvents(walk).next_page_token:
        deep.page_token, walk.page_token, depth = walk.page_token, token, depth + 1
    first, last = median_seconds([lambda: stub.ListEvents(request), lambda: stub.ListEvents(deep)], rounds)
    return (
        f"{chosen or '-':<26}{order or '-':<18}{first * 1e3:>8.2f}{last * 1e3:>8.2f}{last / first:>7.2f}  {depth - 1}"
    )


def median_seconds(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Returns the median duration of each call; they take turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, seconds, strict=True):
            begin = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begin)
    return [statistics.median(taken) for taken in seconds]


if __name__ == "__main__":
    main()
