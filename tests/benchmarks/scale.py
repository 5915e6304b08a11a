"""Prints how long a call takes with many events in the file, beside one with few.

Calls take turns, so that all see the same machine, and both files are asked for as many different events. What is
quoted are medians.
"""

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_models import create_engine, upgrade
from artemis_server.rpc.pages import PageTokens

from tests.benchmarks.__main__ import serving
from tests.benchmarks.generate import fill
from tests.benchmarks.samples import PAGE_SIZE

FEW = 10_000
PLACES = 50
"""Different events, or pages, that are asked for."""


class List(NamedTuple):
    """A list: its filter and order, and the same in SQL."""

    filter: str
    order_by: str
    where: str
    keys: str


LISTS = (
    List("", "", "TRUE", "id"),
    List("", "start_time desc", "TRUE", "start_time, id"),
    List('category = "workshop"', "", "category = 'workshop'", "id"),
    List('category = "course"', "start_time desc", "category = 'course'", "start_time, id"),
)


class Files(NamedTuple):
    """A file of events, and the server on it."""

    path: Path
    rows: int
    stub: "events_pb2_grpc.EventServiceStub"

    def gets(self) -> list[Callable[[], object]]:
        """Returns calls for events anywhere."""
        requests = (events_pb2.GetEventRequest(id=row_id) for row_id in self._anywhere())
        return [partial(self.stub.GetEvent, request) for request in requests]

    def first(self, query: List) -> list[Callable[[], object]]:
        """Returns the call for the first page of a list."""
        return [partial(self.stub.ListEvents, self._request(query))]

    def pages(self, query: List) -> list[Callable[[], object]]:
        """Returns calls for pages anywhere in a list."""
        sql = f"SELECT {query.keys} FROM events WHERE {query.where} AND id >= ? ORDER BY id LIMIT 1"  # noqa: S608, ours
        with closing(sqlite3.connect(self.path)) as connection:
            (key,) = connection.execute("SELECT value FROM secrets WHERE name = 'page_token'").fetchone()
            found = (connection.execute(sql, (row_id,)).fetchone() for row_id in self._anywhere())
            positions = [row for row in found if row is not None]
        tokens, listing = PageTokens(lambda: key), json.dumps(["event", query.filter, query.order_by])
        requests = (self._request(query, tokens.encode(position, listing)) for position in positions)
        return [partial(self.stub.ListEvents, request) for request in requests]

    def _anywhere(self) -> list[int]:
        return [random.randint(1, self.rows) for _ in range(PLACES)]  # noqa: S311, not for secrets

    def _request(self, query: List, token: str = "") -> events_pb2.ListEventsRequest:
        return events_pb2.ListEventsRequest(
            page_size=PAGE_SIZE, filter=query.filter, order_by=query.order_by, page_token=token
        )


@contextmanager
def events(count: int) -> Iterator[Files]:
    """Makes a file of that many events, and serves it."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "scale.db"
        engine = create_engine(f"sqlite:///{path}")
        upgrade(engine)
        engine.dispose()
        fill(path, count)
        server = stack.enter_context(serving(f"sqlite:///{path}"))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}"))
        yield Files(path, count, events_pb2_grpc.EventServiceStub(channel))


def median_seconds(kinds: Sequence[Sequence[Callable[[], object]]], rounds: int) -> list[float]:
    """Returns the median duration of each kind of call, each made once before; the kinds take turns."""
    for kind in kinds:
        for call in kind:
            call()
    seconds: list[list[float]] = [[] for _ in kinds]
    turns = [cycle(kind) for kind in kinds]
    for _ in range(rounds):
        for turn, taken in zip(turns, seconds, strict=True):
            call = next(turn)
            begin = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begin)
    return [statistics.median(taken) for taken in seconds]


def line(title: str, few: Sequence[Callable[[], object]], many: Sequence[Callable[[], object]], rounds: int) -> str:
    """Measures a kind of call and returns a line of the table."""
    small, large = median_seconds([few, many], rounds)
    return f"{title:<52}{small * 1e3:>8.2f}{large * 1e3:>8.2f}{large / small:>7.2f}"


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=501)
    options = parser.parse_args()
    with events(FEW) as few, events(options.rows) as many:
        print(f"milliseconds with {FEW:,} events, with {options.rows:,}, and their ratio; pages of {PAGE_SIZE}")
        print(line("GetEvent", few.gets(), many.gets(), options.rounds))
        for query in LISTS:
            title = f"{query.filter or 'all'}, by {query.order_by or 'id'}"
            print(line(f"{title}: first page", few.first(query), many.first(query), options.rounds), flush=True)
            print(line(f"{title}: any page", few.pages(query), many.pages(query), options.rounds), flush=True)


if __name__ == "__main__":
    main()
