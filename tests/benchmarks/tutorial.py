"""The same service as tutorials write it: grpcio, an ORM session for each request and an entity for each row.

It has the same table and the same SQLite settings (WAL, synchronous=FULL). It does not check requests, and its page
tokens are ids. `python -m tests.benchmarks.tutorial URL ROWS` makes a database of that many events and serves it.
"""

import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import grpc
import sqlalchemy
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_models import Event, create_engine, upgrade
from artemis_models.sqlite import SQLITE_PRAGMAS
from sqlalchemy import event, insert, select
from sqlalchemy.orm import Session, sessionmaker

from tests.benchmarks.noop import serve
from tests.benchmarks.samples import NEW_EVENT

THREADS = 10
"""As in the examples of grpcio; a connection of the default pool for each."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = ("name", "description", "category", "location", "publisher")


def columns(message: events_pb2.Event) -> dict[str, object]:
    """Returns the columns of a new event: times are microseconds since 1970."""
    now = (datetime.now(UTC) - EPOCH) // timedelta(microseconds=1)
    return {name: getattr(message, name) for name in TEXTS} | {
        "start_time": message.start_time.ToMicroseconds(),
        "end_time": message.end_time.ToMicroseconds(),
        "create_time": now,
        "update_time": now,
    }


def to_message(stored: Event) -> events_pb2.Event:
    """Returns an entity as callers get it."""
    message = events_pb2.Event(id=stored.id, etag=str(stored.version))
    for name in TEXTS:
        setattr(message, name, getattr(stored, name))
    for name in ("start_time", "end_time", "create_time", "update_time"):
        getattr(message, name).FromDatetime(EPOCH + timedelta(microseconds=getattr(stored, name)))
    return message


class Tutorial(events_pb2_grpc.EventServiceServicer):
    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def CreateEvent(self, request: events_pb2.CreateEventRequest, _: grpc.ServicerContext) -> events_pb2.Event:
        with self._sessions() as session:
            stored = Event(**columns(request.event))
            session.add(stored)
            session.commit()
            session.refresh(stored)
            return to_message(stored)

    def GetEvent(self, request: events_pb2.GetEventRequest, context: grpc.ServicerContext) -> events_pb2.Event:
        with self._sessions() as session:
            stored = session.get(Event, request.id)
            if stored is None:
                context.abort(grpc.StatusCode.NOT_FOUND, "no such event")
            return to_message(stored)

    def ListEvents(
        self, request: events_pb2.ListEventsRequest, _: grpc.ServicerContext
    ) -> events_pb2.ListEventsResponse:
        after = int(request.page_token or 0)
        statement = select(Event).where(Event.id > after).order_by(Event.id).limit(request.page_size)
        with self._sessions() as session:
            events = [to_message(stored) for stored in session.scalars(statement)]
        return events_pb2.ListEventsResponse(events=events, next_page_token=str(events[-1].id))


def set_up(connection: sqlite3.Connection, _: object) -> None:
    """Gives a connection the settings that Artemis has."""
    for pragma, value in SQLITE_PRAGMAS.items():
        connection.execute(f"PRAGMA {pragma} = {value}")
    connection.execute("PRAGMA journal_mode = wal")


def main(url: str, rows: int) -> None:
    migrating = create_engine(url)
    upgrade(migrating)
    migrating.dispose()
    engine = sqlalchemy.create_engine(url)
    event.listen(engine, "connect", set_up)
    sessions = sessionmaker(engine)
    with sessions.begin() as session:
        session.execute(insert(Event), [columns(NEW_EVENT)] * rows)
    serve(Tutorial(sessions), THREADS)  # type: ignore[abstract]  # of the methods, those that are measured


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
