"""What is measured beside Artemis: the service that people build today, FastAPI and an ORM session for each request.

It has the same table, the same SQLite settings (WAL, synchronous=FULL) and the same fields.
"""

import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import sqlalchemy
import uvicorn
from artemis_models import Event, create_engine, upgrade
from artemis_models.sqlite import SQLITE_PRAGMAS
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NewEvent(BaseModel):
    """What callers send."""

    name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=8192)
    category: str = Field(default="", max_length=100)
    location: str = Field(default="", max_length=300)
    publisher: str = Field(default="", max_length=100)
    start_time: datetime
    end_time: datetime
    owner_id: int | None = None


class StoredEvent(NewEvent):
    """What callers get."""

    id: int
    create_time: datetime
    update_time: datetime
    version: int


def to_micros(time: datetime) -> int:
    """Returns a time as it is stored."""
    return (time - EPOCH) // timedelta(microseconds=1)


def to_stored(event: Event) -> StoredEvent:
    """Returns an entity as callers get it."""
    fields = {name: getattr(event, name) for name in StoredEvent.model_fields}
    times = {name: EPOCH + timedelta(microseconds=value) for name, value in fields.items() if name.endswith("_time")}
    return StoredEvent.model_validate(fields | times)


def set_up(connection: sqlite3.Connection, _: object) -> None:
    """Gives a connection the settings that Artemis has."""
    for pragma, value in SQLITE_PRAGMAS.items():
        connection.execute(f"PRAGMA {pragma} = {value}")
    connection.execute("PRAGMA journal_mode = wal")


def make_app(url: str) -> FastAPI:
    """Returns the service on a database."""
    migrating = create_engine(url)
    upgrade(migrating)
    migrating.dispose()
    # With the default pool of 15, 40 threads that wait for a connection keep those who have one from giving it back.
    engine = sqlalchemy.create_engine(url, pool_size=64)
    event.listen(engine, "connect", set_up)
    sessions = sessionmaker(engine)
    app = FastAPI()

    def session() -> Iterator[Session]:
        with sessions() as session:
            yield session

    lent = Annotated[Session, Depends(session)]

    def create_event(new: NewEvent, session: lent) -> StoredEvent:
        now = to_micros(datetime.now(UTC))
        fields = new.model_dump() | {"start_time": to_micros(new.start_time), "end_time": to_micros(new.end_time)}
        stored = Event(**fields, create_time=now, update_time=now)
        session.add(stored)
        session.commit()
        session.refresh(stored)
        return to_stored(stored)

    def get_event(event_id: int, session: lent) -> StoredEvent:
        stored = session.get(Event, event_id)
        if stored is None:
            raise HTTPException(404)
        return to_stored(stored)

    def list_events(session: lent, limit: int = 100, offset: int = 0) -> list[StoredEvent]:
        chosen = select(Event).order_by(Event.id).limit(limit).offset(offset)
        return [to_stored(stored) for stored in session.scalars(chosen)]

    app.post("/events", response_model=StoredEvent)(create_event)
    app.get("/events/{event_id}", response_model=StoredEvent)(get_event)
    app.get("/events", response_model=list[StoredEvent])(list_events)
    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
