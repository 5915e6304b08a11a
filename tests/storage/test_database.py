"""The promises of `Database` to threads that read and write at the same time."""

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from queue import SimpleQueue
from threading import Barrier
from threading import Event as Signal
from typing import Any, cast

import psycopg
import pytest
from artemis.v1.events_pb2 import Event
from artemis_models import create_engine
from artemis_server.db import secrets
from artemis_server.db.connection.cancellation import Caller
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.errors import Aborted, Cancelled, DeadlineExceeded, NotFound, Unavailable
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from tests.storage.conftest import PATIENCE, Queueing
from tests.storage.samples import Waiting, new_event

STORE = EventStore()
ALL = STORE.query("", "")
THREADS = 16


def create(database: Database, **fields: str) -> Event:
    return database.write(partial(STORE.create, message=new_event(**fields)))


def get(database: Database, row_id: int) -> Event:
    return database.read(partial(STORE.get, row_id=row_id))


def ids(database: Database) -> list[int]:
    def work(session: Session) -> list[int]:
        return [row[0] for chunk in ALL.scan(session, after=None, limit=10_000) for row in chunk]

    return database.read(work)


def test_concurrent_writers_lose_nothing(database: Database) -> None:
    barrier = Barrier(THREADS)

    def create_some(_: int) -> list[int]:
        barrier.wait(PATIENCE)
        return [create(database).id for _ in range(10)]

    with ThreadPoolExecutor(THREADS) as executor:
        created = [row_id for some in executor.map(create_some, range(THREADS)) for row_id in some]
    assert len(created) == 160
    assert sorted(created) == ids(database)


def test_concurrent_changes_of_one_row_are_one_after_the_other(database: Database) -> None:
    counter = create(database, description="0").id
    barrier = Barrier(THREADS)

    def add_one(session: Session) -> None:
        event = STORE.lock(session, counter)
        event.description = str(int(event.description) + 1)
        STORE.update(session, counter, event, ("description",), "")

    def add_some(_: int) -> None:
        barrier.wait(PATIENCE)
        for _ in range(10):
            database.write(add_one)

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(add_some, range(THREADS)))
    assert get(database, counter).description == "160"


def test_of_concurrent_changes_on_one_etag_one_is_made(database: Database) -> None:
    created = create(database)
    barrier = Barrier(THREADS)

    def change(number: int) -> str:
        sent = Event(id=created.id, name=f"By {number}")
        work = partial(STORE.update, row_id=created.id, message=sent, paths=("name",), etag=created.etag)
        barrier.wait(PATIENCE)
        try:
            return database.write(work).name
        except Aborted:
            return ""

    with ThreadPoolExecutor(THREADS) as executor:
        made = [name for name in executor.map(change, range(THREADS)) if name]
    assert [get(database, created.id).name] == made


def test_a_reader_sees_nothing_that_is_not_committed(database: Database) -> None:
    created = create(database, name="Committed")

    def change_and_look(session: Session) -> tuple[list[int], str]:
        STORE.update(session, created.id, new_event(name="Not yet"), ("name",), "")
        STORE.create(session, new_event())
        with ThreadPoolExecutor(1) as reader:
            seen = reader.submit(ids, database).result(PATIENCE)
            return seen, reader.submit(get, database, created.id).result(PATIENCE).name

    assert ([created.id], "Committed") == database.write(change_and_look)
    assert get(database, created.id).name == "Not yet"
    assert len(ids(database)) == 2


def test_a_reader_does_not_wait_for_the_writer(database: Database, queueing: Queueing) -> None:
    created = create(database)
    with queueing.blocked():
        assert created == get(database, created.id)


def test_an_acknowledged_write_is_seen_by_every_reader(database: Database) -> None:
    with ThreadPoolExecutor(4) as readers:
        for _ in range(20):
            created = create(database)
            seen = readers.map(partial(get, database), [created.id] * 4)
            assert [created] * 4 == list(seen)


def test_readers_keep_their_session_after_an_answer_that_is_an_error(database: Database) -> None:
    def session_of(session: Session) -> Session:
        return session

    before = database.read(session_of)
    with pytest.raises(NotFound):
        get(database, 1)
    assert before is database.read(session_of)


def test_readers_recover_from_work_that_broke_their_session(database: Database) -> None:
    created = create(database)

    def fail(session: Session) -> None:
        session.connection().exec_driver_sql("BEGIN")
        raise ValueError("in the middle of a transaction")

    with pytest.raises(ValueError, match="in the middle"):
        database.read(fail)
    changed = database.write(
        partial(STORE.update, row_id=created.id, message=new_event(name="Later"), paths=("name",), etag="")
    )
    assert changed == get(database, created.id)


def test_what_was_written_is_there_after_reopening(database: Database, database_url: str) -> None:
    created, newest = create(database), create(database)
    database.write(partial(STORE.delete, row_id=newest.id, etag=""))
    database.close()

    reopened = Database(create_engine(database_url))
    try:
        assert created == get(reopened, created.id)
        assert create(reopened).id > newest.id
    finally:
        reopened.close()


def test_two_databases_on_one_store_see_each_other(database: Database, database_url: str) -> None:
    other = Database(create_engine(database_url))
    try:
        created = create(database)
        assert created == get(other, created.id)
        assert create(other).id > created.id
        assert len(ids(database)) == 2
    finally:
        other.close()


def test_the_page_token_key_is_random_and_stays(database: Database) -> None:
    key = database.read(secrets.page_token_key)
    assert len(key) == 32
    assert len(set(key)) > 1
    assert key == database.read(secrets.page_token_key)


def test_closing_twice_is_closing_once(database: Database) -> None:
    database.close()
    database.close()


ENDLESS = text(
    "WITH RECURSIVE number(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM number WHERE x < 1000000000) "
    "SELECT count(*) FROM number"
)


def test_a_read_ends_at_its_deadline_and_the_next_is_answered(database: Database) -> None:
    created = create(database)
    before = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        database.read(lambda session: session.scalar(ENDLESS), Waiting(0.2))
    assert time.monotonic() - before < PATIENCE
    assert created == get(database, created.id)


def test_a_deadline_is_that_of_one_read(database: Database) -> None:
    created = create(database)
    work = partial(STORE.get, row_id=created.id)
    assert created == database.read(work, Waiting(0.001))
    assert created == database.read(work, Waiting(None))
    assert created == database.read(work, Waiting(float(2**40)))


def test_a_read_ends_when_its_caller_goes_away_and_the_next_is_answered(database: Database) -> None:
    created, caller = create(database), Waiting()

    def go_away_and_count(session: Session) -> None:
        caller.go_away()
        session.scalar(ENDLESS)

    before = time.monotonic()
    with pytest.raises(Cancelled):
        database.read(go_away_and_count, caller)
    assert time.monotonic() - before < PATIENCE
    assert created == get(database, created.id)


def test_a_write_whose_caller_has_gone_is_not_made(database: Database) -> None:
    caller = Waiting()
    caller.go_away()
    with pytest.raises(Cancelled):
        database.write(partial(STORE.create, message=new_event()), caller)
    assert ids(database) == []


def test_a_caller_who_goes_away_costs_no_connection(engine: Engine, database: Database) -> None:
    pool = cast("QueuePool", engine.pool)
    created = create(database)
    assert created == get(database, created.id)
    used = pool.checkedout()
    for _ in range(2):
        caller = Waiting()

        def give_up(session: Session, caller: Waiting = caller) -> None:
            caller.go_away()
            session.scalar(ENDLESS)

        with pytest.raises(Cancelled):
            database.read(give_up, caller)
        assert created == get(database, created.id)
        assert used == pool.checkedout()


def cancel(driver: Any) -> None:
    """Cancels what a driver's connection executes, as an operator does, without the server's knowledge."""
    with suppress(sqlite3.ProgrammingError, psycopg.OperationalError):  # the connection is closed by now
        (getattr(driver, "interrupt", None) or driver.cancel_safe)()


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_a_statement_that_somebody_else_cancels_is_not_late(database: Database, seconds: float | None) -> None:
    created = create(database)
    drivers: SimpleQueue[Any] = SimpleQueue()

    def count(session: Session) -> None:
        drivers.put(session.connection().connection.dbapi_connection)
        session.scalar(ENDLESS)

    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(database.read, count, Waiting(seconds))
        driver, end = drivers.get(timeout=PATIENCE), time.monotonic() + PATIENCE
        while not call.done() and time.monotonic() < end:  # the statement may not have begun yet
            cancel(driver)
        with pytest.raises(Unavailable) as caught:
            call.result(PATIENCE)
    assert caught.value.reason == "STATEMENT_CANCELLED"
    assert created == get(database, created.id)


def test_a_read_whose_deadline_has_passed_is_not_begun(database: Database) -> None:
    with pytest.raises(DeadlineExceeded):
        database.read(lambda _: pytest.fail("nobody waits for it"), Waiting(0))


@pytest.mark.parametrize("use", [Database.read, Database.write, Database.write_statement, Database.dry_run])
def test_an_interruption_ends_what_runs_and_refuses_the_rest(
    database: Database, use: Callable[[Database, Callable[[Session], object], Waiting], object]
) -> None:
    running = Signal()

    def count(session: Session) -> None:
        running.set()
        session.scalar(ENDLESS)

    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(use, database, count, Waiting(60))
        assert running.wait(PATIENCE)
        database.interrupt()
        database.interrupt()
        ended = call.exception(PATIENCE)
    assert isinstance(ended, Unavailable)
    assert ended.reason == "SHUTTING_DOWN"
    with pytest.raises(Unavailable) as refused:
        use(database, lambda _: None, Waiting())
    assert refused.value.reason == "SHUTTING_DOWN"


def test_closing_ends_what_runs(database: Database) -> None:
    running = Signal()

    def count(session: Session) -> None:
        running.set()
        session.scalar(ENDLESS)

    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(database.read, count)
        assert running.wait(PATIENCE)
        database.close()
        ended = call.exception(PATIENCE)
    assert isinstance(ended, Unavailable)
    assert ended.reason == "SHUTTING_DOWN"


def test_a_check_after_a_failure_leaves_nothing_in_the_database(database: Database) -> None:
    database._probe.note(Unavailable("DATABASE_UNAVAILABLE", "a call failed"))
    database.check()
    assert database.read(lambda session: session.scalar(text("SELECT count(*) FROM idempotency_keys"))) == 0


def test_checks_that_cannot_remove_what_they_wrote_leave_one_row(database: Database) -> None:
    probe, write, calls = database._probe, database._probe._write, count()

    def write_and_fail_to_remove(work: Callable[[Session], None], caller: Caller) -> None:
        if next(calls) % 2:
            raise Unavailable("DATABASE_BUSY", "another process holds the database")
        write(work, caller)

    probe._write = write_and_fail_to_remove
    probe.note(Unavailable("DATABASE_UNAVAILABLE", "a call failed"))
    for _ in range(3):
        database.check()
    assert database.read(lambda session: session.scalar(text("SELECT count(*) FROM idempotency_keys"))) == 1
