"""Writers that change events in every way there is, and say what they committed."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_loader.feeds import Feed, Limits
from artemis_loader.loading import Options, load
from artemis_loader.records import Record
from artemis_loader.report.progress import Reporter
from artemis_loader.summary import Status
from artemis_models import create_engine
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from tests.watching.history import Committed, Write

TIMEOUT = 30.0
"""Seconds of a call, at most."""
PAUSE = 0.004
"""Seconds between two transactions of a writer, on average."""
Marks = dict[int, str]
"""The mark of each event that a writer has, by the event's id."""
_INSERT = text(
    "INSERT INTO events (name, description, start_time, end_time, create_time, update_time)"
    " VALUES ('SQL', :mark, 1, 1, 1, 1) RETURNING id"
)
_UPDATE = text("UPDATE events SET description = :mark WHERE id = :id")
_DELETE = text("DELETE FROM events WHERE id = :id")


class Writer(threading.Thread, ABC):
    """A writer that goes on until it is told to stop. It has events of its own, so that it knows their marks."""

    def __init__(self, name: str, committed: Committed, stop: threading.Event, seed: int) -> None:
        super().__init__(name=name)
        self._committed = committed
        self._stop_event = stop
        self._count = 0
        self.random = random.Random(seed)  # noqa: S311, no secret
        self.marks: Marks = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        """Writes until it is told to stop."""
        try:
            while not self._stop_event.wait(self.random.random() * 2 * PAUSE):
                self.step()
        except BaseException as error:
            self.error = error
            raise

    @abstractmethod
    def step(self) -> None:
        """Makes one transaction, or one that is rolled back."""

    def mark(self) -> str:
        """Returns a mark that nobody else has."""
        self._count += 1
        return f"{self.name}-{self._count}"

    def pick(self) -> int:
        """Returns the id of one of its events."""
        return self.random.choice(list(self.marks))

    @contextmanager
    def transaction(self, *writes: Write, ids: Mapping[int, str] | None = None) -> Iterator[None]:
        """Adds these writes when the block ends; uncertain ones if a call fails. Then it gives up the events `ids`."""
        begin = time.monotonic()
        try:
            yield
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            for row_id in ids or ():
                self.marks.pop(row_id, None)
            self._committed.add(writes, begin, certain=False)
        else:
            self._committed.add(writes, begin)


def event(mark: str, row_id: int = 0) -> events_pb2.Event:
    """Returns an event to write."""
    made = events_pb2.Event(id=row_id, name="RPC", description=mark)
    made.start_time.FromSeconds(1)
    made.end_time.FromSeconds(2)
    return made


class Caller(Writer):
    """A writer that calls the server: one event at a time, or a batch."""

    def __init__(self, *arguments: Any, stub: events_pb2_grpc.EventServiceStub, batches: bool) -> None:
        super().__init__(*arguments)
        self._stub = stub
        self._batches = batches

    def step(self) -> None:
        """Creates, updates or deletes, or tries a batch that is refused."""
        kinds: list[Callable[[int], None]] = [self._create_some]
        if len(self.marks) > 20:
            kinds = [self._create_some, self._update_some, self._update_some, self._delete_some]
            if self._batches:
                kinds.append(self._fail_some)
        self.random.choice(kinds)(self.random.randint(2, 12) if self._batches else 1)

    def _create_some(self, count: int) -> None:
        marks = [self.mark() for _ in range(count)]
        requests = [events_pb2.CreateEventRequest(event=event(mark)) for mark in marks]
        with self.transaction(*(Write(mark) for mark in marks)):
            if self._batches:
                batch = events_pb2.BatchCreateEventsRequest(requests=requests)
                made = list(self._stub.BatchCreateEvents(batch, timeout=TIMEOUT).events)
            else:
                made = [self._stub.CreateEvent(requests[0], timeout=TIMEOUT)]
            self.marks |= {each.id: each.description for each in made}

    def _update_some(self, count: int) -> None:
        new = {row_id: self.mark() for row_id in self.random.sample(list(self.marks), count)}
        requests = [events_pb2.UpdateEventRequest(event=event(mark, row_id)) for row_id, mark in new.items()]
        with self.transaction(*map(Write, new.values()), ids=new):
            if self._batches:
                self._stub.BatchUpdateEvents(events_pb2.BatchUpdateEventsRequest(requests=requests), timeout=TIMEOUT)
            else:
                self._stub.UpdateEvent(requests[0], timeout=TIMEOUT)
            self.marks |= new

    def _delete_some(self, count: int) -> None:
        gone = {row_id: self.marks[row_id] for row_id in self.random.sample(list(self.marks), count)}
        requests = [events_pb2.DeleteEventRequest(id=row_id) for row_id in gone]
        with self.transaction(*(Write(mark, deletes=True) for mark in gone.values()), ids=gone):
            if self._batches:
                self._stub.BatchDeleteEvents(events_pb2.BatchDeleteEventsRequest(requests=requests), timeout=TIMEOUT)
            else:
                self._stub.DeleteEvent(requests[0], timeout=TIMEOUT)
            for row_id in gone:
                del self.marks[row_id]

    def _fail_some(self, _: int) -> None:
        """Updates events, and one that is not there: nothing is changed."""
        requests = [events_pb2.UpdateEventRequest(event=event(self.mark(), row_id)) for row_id in (self.pick(), 2**62)]
        with self.transaction():
            try:
                self._stub.BatchUpdateEvents(events_pb2.BatchUpdateEventsRequest(requests=requests), timeout=TIMEOUT)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise


class SqlWriter(Writer):
    """A writer that writes SQL past the server, several rows in a transaction, and rolls some back.

    With `hold`, it keeps each transaction open for a while, between its first and its last row.
    """

    def __init__(self, *arguments: Any, engine: Engine, rollbacks: float = 0.0, hold: float = 0.0) -> None:
        super().__init__(*arguments)
        self._engine = engine
        self._rollbacks = rollbacks
        self._hold = hold

    def step(self) -> None:
        """Makes one transaction, unless others keep SQLite's lock for too long."""
        try:
            self._write()
        except OperationalError as error:
            if error.statement != "BEGIN IMMEDIATE":
                raise

    def _write(self) -> None:
        before, writes, begin = dict(self.marks), list[Write](), time.monotonic()
        with self._engine.connect() as connection, connection.begin() as transaction:
            self._insert(connection, writes)
            if self._hold:
                self._stop_event.wait(self._hold * self.random.random())
            for _ in range(self.random.randint(0, 4)):
                self._change(connection, writes)
            if self.random.random() < self._rollbacks:
                transaction.rollback()
                self.marks = before
                return
        self._committed.add(writes, begin)

    def _insert(self, connection: Connection, writes: list[Write]) -> None:
        mark = self.mark()
        self.marks[connection.execute(_INSERT, {"mark": mark}).scalar_one()] = mark
        writes.append(Write(mark))

    def _change(self, connection: Connection, writes: list[Write]) -> None:
        row_id = self.pick()
        if self.random.random() < 1 / 3 and len(self.marks) > 1:
            connection.execute(_DELETE, {"id": row_id})
            writes.append(Write(self.marks.pop(row_id), deletes=True))
        else:
            self.marks[row_id] = self.mark()
            connection.execute(_UPDATE, {"mark": self.marks[row_id], "id": row_id})
            writes.append(Write(self.marks[row_id]))


class LoaderWriter(Writer):
    """A writer that loads a feed of which it changes some records each time."""

    def __init__(self, *arguments: Any, engine: Engine, folder: Path) -> None:
        super().__init__(*arguments)
        self._engine = engine
        self._folder = folder
        self._feed_marks: dict[str, str] = {}
        (folder / "feed.jsonl").touch()

    def step(self) -> None:
        """Loads the feed."""
        old, writes = self._feed_marks, list[Write]()
        new = {key: mark for key, mark in old.items() if self.random.random() < 0.9}
        for number in self.random.sample(range(60), 10):
            new[f"e{number}"] = self.mark()
        writes += [Write(mark) for key, mark in new.items() if old.get(key) != mark]
        writes += [Write(mark, deletes=True) for key, mark in old.items() if key not in new]
        feed = Feed(
            name=self.name,
            url=str(self._folder / "feed.jsonl"),
            format="jsonl",
            entity="events",
            mode="refresh",
            fields={},
            limits=Limits(),
        )
        records = [Record(key, ("Load", mark, "", "", "", 1, 1)) for key, mark in new.items()]
        options = Options(rejects=str(self._folder / "{feed}.jsonl"), force=True)
        begin = time.monotonic()
        summary = load(self._engine, feed, options, Reporter(), lambda *_: records)
        assert summary.status is Status.LOADED, summary.error
        self._committed.add(writes, begin)
        self._feed_marks = new


def writers(
    url: str,
    stub: events_pb2_grpc.EventServiceStub,
    folder: Path,
    committed: Committed,
    stop: threading.Event,
    stack: ExitStack,
) -> list[Writer]:
    """Returns the eight writers. They write to the database of the URL, and call the server behind the stub.

    The stack closes their connections.
    """
    hold = 0.05 if url.startswith("sqlite") else 0.6  # SQLite has one writer at a time

    def engine() -> Engine:
        made = create_engine(url, connections=4)
        stack.callback(made.dispose)
        return made

    return [
        Caller("single1", committed, stop, 1, stub=stub, batches=False),
        Caller("single2", committed, stop, 2, stub=stub, batches=False),
        Caller("batch1", committed, stop, 3, stub=stub, batches=True),
        Caller("batch2", committed, stop, 4, stub=stub, batches=True),
        LoaderWriter("load", committed, stop, 5, engine=engine(), folder=folder),
        SqlWriter("sql", committed, stop, 6, engine=engine()),
        SqlWriter("rollback", committed, stop, 7, engine=engine(), rollbacks=0.5),
        SqlWriter("long", committed, stop, 8, engine=engine(), hold=hold),
    ]
