"""Prints how long the questions of `tests/questions.py` take with many events, beside the same with ten thousand.

    python -m tests.benchmarks.questions --rows 10000000 --keep /data
    python -m tests.benchmarks.questions --rows 10000000 --engine postgresql --url postgresql://postgres@127.0.0.1:5432

Both servers are on one core, and calls take turns, so that all see the same machine. Each call has values of its own.
It was made once before, so that pages of the database are in memory. Times are milliseconds that a client sees: p50 and
p99 with ten thousand events, p50 and p99 with many, and the ratio of the p50.

A page of few events costs less than a full one. So the ratio has the goal only where both answers have about as many
rows in the mean, which the columns `rows` show.
"""

import argparse
import itertools
import json
import math
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import psycopg
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_models import create_engine, upgrade
from artemis_server.rpc.pages import PageTokens
from google.protobuf.message import Message
from psycopg.sql import SQL, Identifier

from tests.benchmarks import generate
from tests.benchmarks.__main__ import serving
from tests.benchmarks.deployment import deployed
from tests.questions import FEW_CHANGED, MANY_CHANGED, QUESTIONS, Facts, Question

FEW = 10_000
PAGE_SIZE = 50
FOLLOWED = 5
"""Pages that a list is followed for; the tokens of all other deep pages are made for positions anywhere."""
MAX_P50, MAX_P99, MAX_RATIO = 10.0, 50.0, 1.5
"""The goals: milliseconds, and the p50 with many events divided by that with few."""
SIMILAR = 0.8
"""The share from which on two numbers of rows are about equal."""
TIMEOUT = 120.0
Calls = list[Callable[[], Message]]


class Database(NamedTuple):
    """A database of many events: the URL for the server, the one that its driver takes, and its size."""

    url: str
    driver: str
    rows: int

    def connect(self) -> Any:
        """Returns a connection of the driver."""
        return psycopg.connect(self.driver) if "postgresql" in self.url else sqlite3.connect(self.driver)

    def waiting(self) -> int:
        """Returns how many events wait until their text is indexed."""
        return 0 if "postgresql" in self.url else generate.waits_for_text(Path(self.driver))

    def bytes(self) -> int:
        """Returns the size with all indexes."""
        if "postgresql" not in self.url:
            return Path(self.driver).stat().st_size
        with closing(self.connect()) as connection:
            return int(connection.execute("SELECT pg_database_size(current_database())").fetchone()[0])

    def facts(self) -> Facts:
        """Returns the numbers that values are drawn from."""
        newest = "SELECT update_time FROM events ORDER BY update_time DESC LIMIT 1 OFFSET "
        named = f"SELECT name FROM events WHERE id > {FEW // 10} AND id % {max(1, self.rows // FEW)} = 0 LIMIT 5000"  # noqa: S608
        with closing(self.connect()) as connection:
            found = {
                count: connection.execute(f"{newest}{count}").fetchone() for count in (0, FEW_CHANGED, MANY_CHANGED)
            }
            names = tuple(row[0] for row in connection.execute(named))
        changed = {count: row[0] if row else 0 for count, row in found.items()}
        return Facts(rows=self.rows, changed=changed, last_update=changed[0], names=names)


class Side:
    """A server on a database, and the calls that ask it."""

    def __init__(self, database: Database, target: str, channel: grpc.Channel) -> None:
        self.database = database
        self.target = target
        self._stub = events_pb2_grpc.EventServiceStub(channel)
        self._facts = database.facts()
        with closing(database.connect()) as connection:
            (key,) = connection.execute("SELECT value FROM secrets WHERE name = 'page_token'").fetchone()
        self._tokens = PageTokens(lambda: bytes(key))

    def gets(self, chance: random.Random, count: int) -> Calls:
        """Returns calls for events anywhere."""
        ids = (chance.randint(1, self.database.rows) for _ in range(count))
        return [partial(self._stub.GetEvent, events_pb2.GetEventRequest(id=each), timeout=TIMEOUT) for each in ids]

    def first(self, question: Question, chance: random.Random, count: int) -> Calls:
        """Returns calls for first pages."""
        return [self._call(self._request(question, chance)) for _ in range(count)]

    def deep(self, question: Question, chance: random.Random, count: int) -> Calls:
        """Returns calls for pages deep in a list: the first of them are followed from its begin."""
        followed = itertools.islice(self._follow(self._request(question, chance)), FOLLOWED)
        anywhere = (self._request(question, chance, deep=True) for _ in range(count))
        return [self._call(each) for each in itertools.islice(itertools.chain(followed, anywhere), count)]

    def _follow(self, request: events_pb2.ListEventsRequest) -> Iterator[events_pb2.ListEventsRequest]:
        while token := self._stub.ListEvents(request, timeout=TIMEOUT).next_page_token:
            following = events_pb2.ListEventsRequest()
            following.CopyFrom(request)
            following.page_token = token
            yield following
            request = following

    def _request(
        self, question: Question, chance: random.Random, *, deep: bool = False
    ) -> events_pb2.ListEventsRequest:
        asked = question.draw(self._facts, chance)
        listing = json.dumps(["event", asked.filter, asked.order_by])
        return events_pb2.ListEventsRequest(
            page_size=PAGE_SIZE,
            filter=asked.filter,
            order_by=asked.order_by,
            page_token=self._tokens.encode(asked.position, listing) if deep else "",
        )

    def _call(self, request: events_pb2.ListEventsRequest) -> Callable[[], Message]:
        return partial(self._stub.ListEvents, request, timeout=TIMEOUT)


class Times(NamedTuple):
    """The measured calls of a question on one side: milliseconds, and the number of rows of each answer."""

    milliseconds: list[float]
    rows: list[int]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.milliseconds)

    @property
    def p99(self) -> float:
        """The time that 99 of 100 calls do not exceed."""
        return sorted(self.milliseconds)[math.ceil(0.99 * len(self.milliseconds)) - 1]


def measure(sides: Sequence[Calls], seconds: float) -> list[Times]:
    """Makes each call once, and then measures each once; sides take turns. It starts no call after `seconds`."""
    end = time.monotonic() + seconds / 2
    warmed = []
    for calls in zip(*sides, strict=True):
        for call in calls:
            call()
        warmed.append(calls)
        if time.monotonic() > end:
            break
    end = time.monotonic() + seconds / 2
    measured = [Times([], []) for _ in sides]
    for calls in warmed:
        for call, times in zip(calls, measured, strict=True):
            begin = time.perf_counter()
            answer: Any = call()
            times.milliseconds.append(1000 * (time.perf_counter() - begin))
            times.rows.append(len(answer.events) if isinstance(answer, events_pb2.ListEventsResponse) else 1)
        if time.monotonic() > end:
            break
    return measured


HEAD = f"{'':<66}{'rows':>6}{'rows':>6}{'p50':>9}{'p99':>9}{'p50':>9}{'p99':>9}{'ratio':>8}  goals missed"


def line(title: str, few: Times, many: Times, *, bounded: bool = False) -> str:
    """Returns a line of the table."""
    cells = [f"{statistics.fmean(each.rows):>6.0f}" for each in (few, many)]
    cells += [f"{each:>9.2f}" for each in (few.p50, few.p99, many.p50, many.p99)]
    goals = "documented as slow" if bounded else ", ".join(missed(few, many)) or "-"
    calls = "" if len(many.milliseconds) >= MIN_CALLS else f" ({len(many.milliseconds)} calls)"
    return f"{title:<66}{''.join(cells)}{many.p50 / few.p50:>8.2f}  {goals}{calls}"


MIN_CALLS = 60
"""A smaller number of calls is told."""


def missed(few: Times, many: Times) -> list[str]:
    """Returns the goals that were missed."""
    rows = sorted(statistics.fmean(each.rows) for each in (few, many))
    similar = rows[0] >= SIMILAR * rows[1]
    reached = {
        "p50": many.p50 <= MAX_P50,
        "p99": many.p99 <= MAX_P99,
        "ratio": many.p50 / few.p50 <= MAX_RATIO or not similar,
    }
    return [name for name, holds in reached.items() if not holds]


@contextmanager
def sqlite(rows: int, keep: Path | None) -> Iterator[Database]:
    """Makes a file of that many events. One that was kept is used again."""
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = folder / f"questions-{rows}.db"
        database = Database(f"sqlite:///{path}", str(path), rows)
        if not path.exists():
            migrate(database)
            report(database, lambda: generate.fill(path, rows))
        yield database


@contextmanager
def postgresql(rows: int, url: str) -> Iterator[Database]:
    """Makes a database of that many events on a server, whose superuser the URL names. It stays, and is used again."""
    name = f"questions_{rows}"
    base, mark, options = url.partition("?")
    driver = f"{base.rstrip('/').removesuffix('/postgres')}/{name}{mark}{options}"
    database = Database(driver.replace("postgresql://", "postgresql+psycopg://", 1), driver, rows)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if not there:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    if not there:
        migrate(database)
        report(database, lambda: generate.fill_postgresql(driver, rows))
    yield database


def migrate(database: Database) -> None:
    """Brings the schema up to date."""
    engine = create_engine(database.url)
    upgrade(engine)
    engine.dispose()


def report(database: Database, fill: Callable[[], None]) -> None:
    """Fills a database and prints how long that took."""
    begin = time.monotonic()
    fill()
    print(f"filled with {database.rows:,} events in {time.monotonic() - begin:.0f} s", flush=True)


@contextmanager
def side(database: Database) -> Iterator[Side]:
    """Serves a database, and waits until its text is indexed."""
    with serving(database.url) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        begin = time.monotonic()
        while waiting := database.waiting():
            print(f"{time.monotonic() - begin:.0f} s: the text of {waiting:,} events waits for the index", flush=True)
            time.sleep(min(30, 1 + waiting / 100_000))
        events_pb2_grpc.EventServiceStub(channel).ListEvents(events_pb2.ListEventsRequest(), timeout=TIMEOUT)
        print(f"{database.rows:,} events: {database.bytes() / 2**20:,.0f} MiB", flush=True)
        yield Side(database, f"127.0.0.1:{server.port}", channel)


def ask(few: Side, many: Side, options: argparse.Namespace) -> None:
    """Measures and prints the table."""
    chance = random.Random(options.seed)  # noqa: S311, not for secrets
    sides = (few, many)
    print(f"{few.database.rows:,} and {many.database.rows:,} events, pages of {PAGE_SIZE}\n{HEAD}", flush=True)
    if not options.only:
        gets = measure([each.gets(chance, options.calls) for each in sides], options.seconds)
        print(line("GetEvent", *gets), flush=True)
    for question in QUESTIONS:
        if options.only not in question.title:
            continue
        for title, calls_of in (("first", Side.first), ("deep", Side.deep)):
            calls = [calls_of(each, question, chance, options.calls) for each in sides]
            times = measure(calls, options.seconds)
            print(line(f"{question.title}: {title}", *times, bounded=question.bounded), flush=True)


def main() -> None:
    """Makes the databases, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--url", help="of a PostgreSQL server, and its superuser; without it, one is started")
    parser.add_argument("--keep", type=Path, help="a folder for files of SQLite, which are used again")
    parser.add_argument("--calls", type=int, default=120, help="different calls for each line")
    parser.add_argument("--seconds", type=float, default=20, help="after which a line has fewer calls")
    parser.add_argument("--only", default="", help="questions whose title contains this")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.engine == "sqlite":
            databases = [stack.enter_context(sqlite(rows, options.keep)) for rows in (FEW, options.rows)]
        else:
            url = options.url or stack.enter_context(deployed()).get_uri()
            databases = [stack.enter_context(postgresql(rows, url)) for rows in (FEW, options.rows)]
        few, many = (stack.enter_context(side(each)) for each in databases)
        ask(few, many, options)


if __name__ == "__main__":
    main()
