"""The writer: what was acknowledged is committed, what failed has left nothing, and neighbours do not matter."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest
from artemis.v1.events_pb2 import Event
from artemis_server.db.connection.cancellation import INTERNAL
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    RequestError,
    ResourceExhausted,
    Unavailable,
)
from sqlalchemy.orm import Session

from tests.storage.conftest import PATIENCE, Queueing
from tests.storage.samples import Waiting, new_event

STORE = EventStore()
ALL = STORE.query("", "")


def creating(name: str) -> "partial[Event]":
    return partial(STORE.create, message=new_event(name=name))


def creating_then_failing(session: Session) -> None:
    STORE.create(session, new_event(name="Half done"))
    raise ValueError("after a change")


def names(database: Database) -> list[str]:
    def work(session: Session) -> list[str]:
        return [row[1] for chunk in ALL.scan(session, after=None, limit=10_000) for row in chunk]

    return database.read(work)


def statements_of(database: Database) -> list[str]:
    """Returns a list to which the writer's connection adds every statement from now on."""
    seen: list[str] = []

    def trace(session: Session) -> None:
        driver: Any = session.connection().connection.dbapi_connection
        driver.set_trace_callback(seen.append)

    database.write(trace)
    seen.clear()
    return seen


def test_work_that_queued_up_is_committed_together(database: Database, queueing: Queueing) -> None:
    statements = statements_of(database)
    written = queueing.group(*(creating(f"Event {number}") for number in range(8)))
    assert [each.result().name for each in written] == names(database)
    assert statements.count("COMMIT") == 2, "one for the work that blocked, one for the group"


def test_work_is_done_in_the_order_in_which_it_came(database: Database, queueing: Queueing) -> None:
    queueing.group(*(creating(f"Event {number}") for number in range(8)))
    assert [f"Event {number}" for number in range(8)] == names(database)


def test_failing_work_does_not_hurt_its_neighbours(database: Database, queueing: Queueing) -> None:
    statements = statements_of(database)
    before, failing, refused, missing, after = queueing.group(
        creating("Before"),
        creating_then_failing,
        partial(STORE.create, message=new_event(owner_id=404)),
        partial(STORE.delete, row_id=404, etag=""),
        creating("After"),
    )
    assert statements.count("COMMIT") == 2
    assert before.result().name == "Before"
    assert isinstance(failing.exception(), ValueError)
    assert isinstance(refused.exception(), FailedPrecondition)
    assert isinstance(missing.exception(), NotFound)
    assert after.result().name == "After"
    assert names(database) == ["Before", "After"]


def test_only_a_group_in_which_something_fails_has_savepoints(database: Database, queueing: Queueing) -> None:
    statements = statements_of(database)
    queueing.group(creating("First"), creating("Second"))
    assert "SAVEPOINT ticket" not in statements
    queueing.group(creating("Before"), creating_then_failing, creating("After"))
    assert statements.count("SAVEPOINT ticket") == 3


def test_work_that_fails_alone_is_run_once(database: Database) -> None:
    runs: list[str] = []

    def failing(_: Session) -> None:
        runs.append("run")
        raise ValueError("again and again")

    with pytest.raises(ValueError, match="again and again"):
        database.write(failing)
    assert runs == ["run"]


@pytest.mark.parametrize("dry", [lambda _: None, creating_then_failing])
def test_a_dry_run_does_not_make_its_neighbours_run_twice(
    database: Database, queueing: Queueing, dry: Callable[[Session], None]
) -> None:
    """The rule holds for a dry run that succeeds and for one that fails."""
    runs: list[str] = []

    def work(session: Session) -> Event:
        runs.append("run")
        return STORE.create(session, new_event())

    with ThreadPoolExecutor(3) as executor, queueing.blocked():
        before = queueing.write(executor, work)
        undone = queueing.submit(executor, lambda: database.dry_run(dry))
        after = queueing.write(executor, work)
    assert isinstance(undone.exception(), ValueError | None)
    assert len(names(database)) == len({before.result().id, after.result().id}) == len(runs)


def test_later_work_of_a_group_sees_the_earlier(queueing: Queueing) -> None:
    def count(session: Session) -> int:
        return sum(len(chunk) for chunk in ALL.scan(session, after=None, limit=100))

    first, _, second = queueing.group(count, creating("Between"), count)
    assert first.result() == 0
    assert second.result() == 1


def test_an_error_of_the_whole_transaction_reaches_everybody(database: Database, queueing: Queueing) -> None:
    def end_transaction(session: Session) -> None:
        session.connection().exec_driver_sql("ROLLBACK")

    outcomes = queueing.group(creating("Before"), end_transaction, creating("After"))
    assert [Unavailable] * 3 == [type(each.exception()) for each in outcomes]
    assert names(database) == []


def test_a_failing_commit_reaches_everybody(database: Database, queueing: Queueing) -> None:
    def owe_an_owner(session: Session) -> None:
        connection = session.connection()
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = on")
        connection.exec_driver_sql(
            "INSERT INTO events (name, start_time, end_time, owner_id, create_time, update_time)"
            " VALUES ('Orphan', 0, 0, 404, 0, 0)"
        )

    outcomes = queueing.group(creating("Before"), owe_an_owner, creating("After"))
    assert all(each.exception() is not None for each in outcomes)
    assert names(database) == []


def test_the_writer_goes_on_after_a_transaction_failed(database: Database, queueing: Queueing) -> None:
    def end_transaction(session: Session) -> None:
        session.connection().exec_driver_sql("ROLLBACK")

    queueing.group(end_transaction, creating("Lost"))
    assert database.write(creating("Kept")).name == "Kept"
    assert names(database) == ["Kept"]


def test_failing_work_raises_its_own_error_and_leaves_nothing(database: Database) -> None:
    with pytest.raises(ValueError, match="after a change"):
        database.write(creating_then_failing)
    assert names(database) == []


def test_a_write_that_waits_too_long_is_told_so(database: Database, queueing: Queueing) -> None:
    with queueing.blocked(), pytest.raises(DeadlineExceeded):
        database.write(creating("Late"), Waiting(0.001))


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_deadline_that_has_passed_is_no_deadline_to_wait_for(
    database: Database, queueing: Queueing, timeout: float
) -> None:
    with queueing.blocked(), pytest.raises(DeadlineExceeded):
        database.write(creating("Late"), Waiting(timeout))


@pytest.mark.parametrize("timeout", [None, 1e18, float("inf")])
def test_a_deadline_far_away_is_waited_for(database: Database, timeout: float | None) -> None:
    assert database.write(creating("In time"), Waiting(timeout)).name == "In time"


def test_abandoned_work_is_not_run(database: Database, queueing: Queueing) -> None:
    with ThreadPoolExecutor(1) as executor:
        with queueing.blocked():
            with pytest.raises(DeadlineExceeded):
                database.write(creating("Abandoned"), Waiting(0))
            after = queueing.write(executor, creating("After"))
        assert after.result(PATIENCE).name == "After"
    assert names(database) == ["After"]


def test_work_whose_caller_went_away_while_it_was_queued_is_not_run(database: Database, queueing: Queueing) -> None:
    caller = Waiting()
    with ThreadPoolExecutor(2) as executor:
        with queueing.blocked():
            gone = queueing.submit(executor, lambda: database.write(creating("Gone"), caller))
            after = queueing.write(executor, creating("After"))
            caller.go_away()
        assert isinstance(gone.exception(PATIENCE), Cancelled)
        assert after.result(PATIENCE).name == "After"
    assert names(database) == ["After"]


def test_writes_that_are_cancelled_keep_nothing_of_each_other(database: Database) -> None:
    """An error that is raised twice would keep what both calls had in memory."""
    caller = Waiting()
    caller.go_away()
    errors = []
    for _ in range(2):
        with pytest.raises(Cancelled) as caught:
            database.write(creating("Gone"), caller)
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_a_write_after_close_is_unavailable(database: Database) -> None:
    database.close()
    with pytest.raises(Unavailable) as caught:
        database.write(creating("Too late"))
    assert caught.value.reason == "SHUTTING_DOWN"


def test_close_commits_what_was_accepted(database: Database, queueing: Queueing) -> None:
    with ThreadPoolExecutor(3) as executor:
        with queueing.blocked():
            accepted = [queueing.write(executor, creating(f"Event {number}")) for number in range(2)]
            closing = queueing.submit(executor, database.close)
        closing.result(PATIENCE)
        assert [each.result(PATIENCE).name for each in accepted] == ["Event 0", "Event 1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_work_that_is_interrupted_does_not_end_the_writer(database: Database, error: BaseException) -> None:
    def interrupt(_: Session) -> None:
        raise error

    with pytest.raises(type(error)):
        database.write(interrupt)
    assert database.write(creating("After")).name == "After"


def test_no_error_is_answered_by_a_driver_error(queueing: Queueing) -> None:
    """A failure of the whole group reaches each caller as one of `artemis_server.errors`."""

    def end_transaction(session: Session) -> None:
        session.connection().exec_driver_sql("ROLLBACK")

    for outcome in queueing.group(end_transaction, creating("Neighbour")):
        assert isinstance(outcome.exception(), RequestError)


def test_what_ended_the_transaction_is_what_everybody_is_told(database: Database, queueing: Queueing) -> None:
    """As when SQLite undoes a transaction by itself because the disk is full."""
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = "SQLITE_FULL"

    def fill_the_disk(session: Session) -> None:
        session.connection().exec_driver_sql("ROLLBACK")
        raise full

    outcomes = queueing.group(creating("Before"), fill_the_disk, creating("After"))
    errors = [each.exception() for each in outcomes]
    assert [error.reason for error in errors if isinstance(error, ResourceExhausted)] == ["STORAGE_FULL"] * 3
    assert names(database) == []


def test_an_answer_that_fails_keeps_no_other_from_being_given(database: Database, queueing: Queueing) -> None:
    submit = database.submitter()
    assert submit is not None
    answered: SimpleQueue[Any] = SimpleQueue()

    def fail(_: object) -> None:
        raise ValueError("nobody is there")

    with queueing.blocked():
        for answer in (fail, answered.put):
            submit(lambda: database.write(creating("Event")).name, INTERNAL, answer, answered.put)
    assert answered.get(timeout=PATIENCE) == "Event"
    assert names(database) == ["Event", "Event"]
