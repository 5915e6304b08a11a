"""PostgreSQL alone: which servers are accepted, and the errors that a caller gets for its failures."""

import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from types import SimpleNamespace
from typing import Any, LiteralString, cast

import psycopg
import pytest
from artemis.v1.events_pb2 import CreateEventRequest, Event
from artemis_models import DatabaseError, check_sequences, create_engine, sequence_repair
from artemis_models.postgresql import _check as check_server
from artemis_server.db import secrets
from artemis_server.db.connection import cancellation, driver_errors
from artemis_server.db.connection.database import Database
from artemis_server.db.connection.driver_errors import Constraint, broken_constraint, is_transient, translate
from artemis_server.db.events import EventStore
from artemis_server.db.idempotency import RequestKey
from artemis_server.db.ids import BLOCK, SPARE_IDS
from artemis_server.db.statements import driver_connection
from artemis_server.db.users import UserStore
from artemis_server.errors import Cancelled, DeadlineExceeded, ResourceExhausted, ServerError, Unavailable
from psycopg import errors
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from tests.storage.conftest import PATIENCE
from tests.storage.samples import Waiting, new_event, new_user


def connection_to(version: int, encoding: str) -> Any:
    status = {"server_encoding": encoding}
    return SimpleNamespace(info=SimpleNamespace(server_version=version, parameter_status=status.get))


ENTRY: ConnectionPoolEntry = SimpleNamespace()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("version", "encoding", "said"),
    [(130_012, "UTF8", "PostgreSQL 14 or later is needed; the server has 13"), (180_000, "LATIN1", "it has LATIN1")],
)
def test_a_server_that_cannot_keep_what_sqlite_keeps_is_refused(version: int, encoding: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        check_server(connection_to(version, encoding), ENTRY)


def test_a_server_that_can_is_taken() -> None:
    check_server(connection_to(140_000, "UTF8"), ENTRY)


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseError, match=r"pip install 'artemis-models\[postgresql\]'"):
        create_engine("postgresql://localhost/artemis")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (errors.DiskFull(), ResourceExhausted, "STORAGE_FULL"),
        (errors.QueryCanceled(), Unavailable, "STATEMENT_CANCELLED"),
        (errors.LockNotAvailable(), Unavailable, "DATABASE_BUSY"),
        (errors.DatabaseDropped(), Unavailable, "DATABASE_UNAVAILABLE"),
        (errors.IdleInTransactionSessionTimeout(), Unavailable, "DATABASE_UNAVAILABLE"),
        (errors.InsufficientPrivilege(), Unavailable, "DATABASE_UNAVAILABLE"),
        (errors.DeadlockDetected(), Unavailable, "DATABASE_BUSY"),
        (errors.SerializationFailure(), Unavailable, "DATABASE_BUSY"),
        (errors.AdminShutdown(), Unavailable, "DATABASE_UNAVAILABLE"),
        (errors.CannotConnectNow(), Unavailable, "DATABASE_UNAVAILABLE"),
        (errors.TooManyConnections(), Unavailable, "DATABASE_UNAVAILABLE"),
        (errors.ReadOnlySqlTransaction(), Unavailable, "DATABASE_UNAVAILABLE"),
        (errors.UndefinedTable(), Unavailable, "SCHEMA_MISMATCH"),
        (psycopg.OperationalError("connection to secret failed"), Unavailable, "DATABASE_UNAVAILABLE"),
    ],
)
def test_a_failing_server_is_told_without_the_drivers_words(
    error: psycopg.Error, kind: type[ServerError], reason: str
) -> None:
    found = translate(error)
    assert isinstance(found, kind)
    assert reason == found.reason
    assert "secret" not in found.message


@pytest.mark.parametrize("error", [errors.SyntaxError(), psycopg.ProgrammingError(), errors.DatatypeMismatch()])
def test_a_mistake_of_ours_stays_what_it_is(error: psycopg.Error) -> None:
    assert error is translate(error)


@pytest.mark.parametrize(
    ("error", "constraint"),
    [
        (errors.UniqueViolation(), Constraint.UNIQUE),
        (errors.ForeignKeyViolation(), Constraint.FOREIGN_KEY),
        (errors.CheckViolation(), Constraint.CHECK),
        (errors.NotNullViolation(), Constraint.OTHER),
    ],
)
def test_a_broken_constraint_is_known(error: psycopg.Error, constraint: Constraint) -> None:
    assert constraint is broken_constraint(error)


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


def test_work_that_collides_is_done_again(database: Database) -> None:
    tries: list[None] = []

    def collide_once(session: Session) -> int:
        tries.append(None)
        if len(tries) == 1:
            session.execute(text("DO $$ BEGIN RAISE serialization_failure; END $$"))
        return session.scalar(text("SELECT 1")) or 0

    assert database.write(collide_once) == 1
    assert len(tries) == 2


def test_work_that_always_collides_is_given_up(database: Database) -> None:
    tries: list[None] = []

    def collide(session: Session) -> None:
        tries.append(None)
        session.execute(text("DO $$ BEGIN RAISE deadlock_detected; END $$"))

    with pytest.raises(Unavailable):
        database.write(collide)
    assert 1 < len(tries) < 10
    assert is_transient(errors.DeadlockDetected())


def test_a_connection_that_was_ended_while_idle_is_replaced(database: Database) -> None:
    def end_others(session: Session) -> None:
        session.execute(text("SELECT pg_terminate_backend(:mine)"), {"mine": mine})

    mine = database.read(lambda session: session.scalar(text("SELECT pg_backend_pid()")))
    other = Database(create_engine(database._engine.url.render_as_string(hide_password=False)))
    other.read(end_others)
    other.close()
    assert database.write(lambda session: session.scalar(text("SELECT 1"))) == 1
    assert mine != database.read(lambda session: session.scalar(text("SELECT pg_backend_pid()")))


def end_connections(url: str) -> None:
    """Ends the connections that a `Database` has, as a PostgreSQL that starts again does."""
    with closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'artemis' AND datname = current_database()"
        )


def die_silently(session: Session) -> None:
    """Makes the connection one that a router has forgotten: it looks open, and breaks when something is sent."""
    ours, theirs = socket.socketpair()
    os.dup2(ours.fileno(), cast("Any", driver_connection(session)).fileno())
    ours.close()

    def break_when_used() -> None:
        theirs.recv(1)
        theirs.close()

    threading.Thread(target=break_when_used).start()


def create_once() -> Callable[[Session], Event]:
    """Returns the work of a request that was not made before."""
    key = RequestKey(CreateEventRequest(event=new_event()), str(uuid.uuid4()))
    return partial(EventStore().create, message=new_event(), key=key)


USES: list[Callable[[Database], object]] = [
    lambda database: database.read(lambda session: session.scalar(text("SELECT 1"))),
    lambda database: database.read(secrets.page_token_key),
    lambda database: database.read(partial(EventStore().find_many, ids=[1], field="ids")),
    lambda database: database.write(partial(EventStore().lock_many, ids=[1])),
    lambda database: database.write_statement(partial(EventStore().create, message=new_event())).name,
    lambda database: database.write_statement(create_once()).name,
    Database.check,
]


@pytest.mark.parametrize("use", USES)
def test_a_connection_that_ended_while_idle_is_not_noticed(
    database: Database, database_url: str, use: Callable[[Database], object]
) -> None:
    before = use(database)
    end_connections(database_url)
    assert before == use(database)


def test_a_create_notices_an_idle_connection_that_died_silently(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancellation, "MAX_UNPROBED", 0.0)
    database.read(die_silently)
    assert database.write_statement(create_once()).id


def test_a_create_notices_a_dead_connection_after_another_one_broke(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancellation, "MAX_UNPROBED", 1000.0)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        for thread in (first, second):
            thread.submit(database.read, die_silently).result()
        assert isinstance(first.submit(database.write_statement, create_once()).exception(), Unavailable)
        assert second.submit(database.write_statement, create_once()).result().id


@pytest.mark.parametrize("condition", ["serialization_failure", "check_violation"])
def test_an_error_that_leaves_a_connection_whole_does_not_cost_it(database: Database, condition: str) -> None:
    def fail(session: Session) -> None:
        session.execute(text(f"DO $$ BEGIN RAISE {condition}; END $$"))

    backend: Callable[[Session], int | None] = lambda session: session.scalar(text("SELECT pg_backend_pid()"))  # noqa: E731
    before = database.read(backend)
    with pytest.raises((Unavailable, IntegrityError)):
        database.write_statement(fail)
    assert before == database.read(backend)


def test_work_whose_connection_ends_is_unavailable_and_leaves_nothing(database: Database, database_url: str) -> None:
    def lose(session: Session) -> None:
        end_connections(database_url)
        session.execute(text("SELECT 1"))

    for _ in range(3):
        with pytest.raises(Unavailable):
            database.write(lose)
    assert database.write(lambda session: session.scalar(text("SELECT 1"))) == 1
    assert cast("QueuePool", database._engine.pool).checkedout() == 1


def test_a_statement_whose_connection_ends_is_not_repeated(database: Database, database_url: str) -> None:
    """It may have been committed."""
    runs: list[None] = []

    def lose(session: Session) -> None:
        runs.append(None)
        end_connections(database_url)
        session.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        database.write_statement(lose)
    assert len(runs) == 1
    assert database.write_statement(lambda session: session.scalar(text("SELECT 1"))) == 1
    assert cast("QueuePool", database._engine.pool).checkedout() == 1


def test_a_statement_that_collides_is_executed_again(database: Database) -> None:
    tries: list[None] = []

    def collide_once(session: Session) -> int:
        tries.append(None)
        if len(tries) == 1:
            session.execute(text("DO $$ BEGIN RAISE serialization_failure; END $$"))
        return session.scalar(text("SELECT 1")) or 0

    assert database.write_statement(collide_once) == 1
    assert len(tries) == 2


def test_a_create_with_a_request_id_is_one_statement(database: Database) -> None:
    """Not even BEGIN and COMMIT are sent, once the ids of a block are there."""
    database.write_statement(create_once())
    sent: list[str] = []

    def create_and_listen(session: Session) -> None:
        driver: Any = session.connection().connection.dbapi_connection
        execute = driver.execute

        def listen(sql: str, values: Sequence[Any] = ()) -> Any:
            sent.append(sql)
            return execute(sql, values)

        driver.execute = listen
        create_once()(session)

    database.write_statement(create_and_listen)
    assert len(sent) == 1
    assert "INSERT INTO events" in sent[0]


def test_ids_are_not_those_of_a_sequence_that_went_back(database: Database, database_url: str) -> None:
    """As when a copy of the database takes over that lacks the last changes: no connection survives that."""
    create = partial(EventStore().create, message=new_event())
    first = database.write_statement(create)
    spare = database.read(lambda session: session.info[SPARE_IDS])
    assert spare.take(None, EventStore.model.__table__, 1) == [first.id + 1]
    end_connections(database_url)
    assert database.write_statement(create).id > first.id + BLOCK - 1


def time_out(database: Database) -> None:
    with pytest.raises(DeadlineExceeded):
        database.read(sleep, Waiting(0.2))


@pytest.mark.parametrize("give_up", [Database.disconnect, time_out])
def test_ids_are_not_kept_when_the_server_may_be_another_one(
    database: Database, give_up: Callable[[Database], None]
) -> None:
    create = partial(EventStore().create, message=new_event())
    first = database.write_statement(create)
    give_up(database)
    assert database.write_statement(create).id > first.id + BLOCK - 1


def test_a_create_waits_for_the_ids_of_another_no_longer_than_its_deadline(
    database: Database, database_url: str
) -> None:
    create = partial(EventStore().create, message=new_event())
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    url = database_url.replace("+psycopg", "")
    with (
        closing(psycopg.connect(url)) as holder,
        closing(psycopg.connect(url, autocommit=True)) as observer,
        ThreadPoolExecutor(2) as executor,
    ):
        holder.execute("ALTER SEQUENCE events_id_seq CACHE 1")
        slow = executor.submit(database.write_statement, create)
        end = time.monotonic() + PATIENCE
        while not observer.execute(waiting).fetchall():
            assert time.monotonic() < end, "nothing waits for the sequence"
        hasty = executor.submit(database.write_statement, create, Waiting(0.2))
        try:
            assert isinstance(hasty.exception(PATIENCE), DeadlineExceeded)
        finally:
            holder.rollback()
        assert slow.result(PATIENCE).id


Use = Callable[[Database, Callable[[Session], object], Waiting], object]
WAYS: list[Use] = [Database.read, Database.write, Database.write_statement, Database.dry_run]


def stop_when_it_sleeps(url: str, function: str) -> None:
    """Calls a function of PostgreSQL on the connection that executes `sleep`, as an operator does."""
    end = time.monotonic() + PATIENCE
    with closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as connection:
        while not connection.execute(SQL(STOP).format(Identifier(function))).fetchall():
            assert time.monotonic() < end, "nothing sleeps"


STOP: LiteralString = (
    "SELECT {}(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
)


def sleep(session: Session) -> None:
    session.execute(text("SELECT pg_sleep(60)"))


@pytest.mark.parametrize("use", WAYS)
@pytest.mark.parametrize("seconds", [None, 50.0])
def test_a_statement_that_an_operator_cancels_is_unavailable(
    database: Database, database_url: str, use: Use, seconds: float | None
) -> None:
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(use, database, sleep, Waiting(seconds))
        stop_when_it_sleeps(database_url, "pg_cancel_backend")
        with pytest.raises(Unavailable) as caught:
            call.result(PATIENCE)
        assert caught.value.reason == "STATEMENT_CANCELLED"
        assert executor.submit(use, database, lambda session: session.scalar(text("SELECT 1")), Waiting()).result() == 1


@pytest.mark.parametrize("use", WAYS)
def test_a_statement_that_takes_longer_than_its_caller_waits_is_late(database: Database, use: Use) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        use(database, sleep, Waiting(0.2))
    assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_statements_are_cancelled_at_the_same_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes a request to cancel slowly delays none of the other requests."""
    barrier, met, cancel = threading.Barrier(4), threading.Event(), psycopg.Connection.cancel_safe

    def meet_and_cancel(connection: "psycopg.Connection[Any]", **options: Any) -> None:
        if not met.is_set():
            barrier.wait(PATIENCE)
            met.set()
        cancel(connection, **options)

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", meet_and_cancel)
    callers = [Waiting() for _ in range(4)]
    with ThreadPoolExecutor(4) as executor:
        calls = [executor.submit(database.read, sleep, caller) for caller in callers]
        for caller in callers:
            caller.go_away()
        for call in calls:
            assert isinstance(call.exception(PATIENCE), Cancelled)
    assert met.is_set()
    assert not barrier.broken


@pytest.mark.parametrize("use", WAYS)
def test_statements_that_take_longer_together_than_their_caller_waits_are_late(database: Database, use: Use) -> None:
    """Each of them alone is short enough."""

    def sleep_on_and_on(session: Session) -> None:
        for _ in range(1000):
            session.execute(text("SELECT pg_sleep(0.1)"))

    with pytest.raises(DeadlineExceeded):
        use(database, sleep_on_and_on, Waiting(0.2))


@pytest.mark.parametrize("use", WAYS)
def test_a_statement_whose_caller_goes_away_is_cancelled(database: Database, use: Use) -> None:
    caller = Waiting()

    def go_away_and_sleep(session: Session) -> None:
        caller.go_away()
        sleep(session)

    with pytest.raises(Cancelled):
        use(database, go_away_and_sleep, caller)


@pytest.mark.parametrize("use", WAYS[1:])
def test_a_write_whose_connection_an_operator_ends_is_unavailable(
    database: Database, database_url: str, use: Use
) -> None:
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(use, database, sleep, Waiting())
        stop_when_it_sleeps(database_url, "pg_terminate_backend")
        with pytest.raises(Unavailable) as caught:
            call.result(PATIENCE)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"


@pytest.mark.parametrize(
    ("setting", "reason"), [("lock_timeout", "DATABASE_BUSY"), ("transaction_timeout", "DATABASE_UNAVAILABLE")]
)
def test_a_timeout_that_an_operator_sets_is_unavailable(database_url: str, setting: str, reason: str) -> None:
    url = make_url(database_url).update_query_dict({"options": f"-c {setting}=200ms"})
    with closing(psycopg.connect(database_url.replace("+psycopg", ""))) as connection:
        if setting == "transaction_timeout" and connection.info.server_version < 170_000:
            pytest.skip("PostgreSQL 17 has it first")
        connection.execute("LOCK TABLE events")
        database = Database(create_engine(url.render_as_string(hide_password=False)))
        try:
            with pytest.raises(Unavailable) as caught:
                database.write(partial(EventStore().create, message=new_event()))
        finally:
            database.close()
    assert caught.value.reason == reason


def test_a_server_without_a_connection_left_is_told_in_one_line(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    driver_errors._logged.clear()
    name = f"limited_{uuid.uuid4().hex}"
    with closing(psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)) as connection:
        connection.execute(SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 0").format(Identifier(name)))
        try:
            limited = make_url(database_url).set(username=name).render_as_string(hide_password=False)
            with closing(Database(create_engine(limited))) as database:
                for use in (database.read, database.write, database.read):
                    with pytest.raises(Unavailable) as caught:
                        use(lambda session: session.scalar(text("SELECT 1")), Waiting())
                    assert caught.value.reason == "DATABASE_UNAVAILABLE"
        finally:
            connection.execute(SQL("DROP ROLE {}").format(Identifier(name)))
    (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert "no connection left" in line


def move_sequence(database: Database, table: str, last: int) -> None:
    statement = text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), :last)")
    database.write(lambda session: session.execute(statement, {"last": last}))


def create_event(database: Database, _: int) -> int:
    return database.write_statement(create_once()).id


def create_events(database: Database, _: int) -> int:
    work = partial(EventStore().create_many, messages=[new_event()] * 3)
    return database.write(work)[-1].id


def create_user(database: Database, number: int) -> int:
    return database.write_statement(partial(UserStore().create, message=new_user(number))).id


@pytest.mark.parametrize(
    ("table", "create"), [("events", create_event), ("events", create_events), ("users", create_user)]
)
def test_a_sequence_behind_its_table_is_told_with_what_mends_it(
    database_url: str, caplog: pytest.LogCaptureFixture, table: str, create: Callable[[Database, int], int]
) -> None:
    driver_errors._logged.clear()
    with closing(Database(create_engine(database_url))) as before:
        last = [create(before, number) for number in range(5)][-1]
        check_sequences(before._engine)

    with closing(Database(create_engine(database_url))) as database:  # on what was restored
        for number in range(5, 8):
            move_sequence(database, table, 1)
            with pytest.raises(Unavailable) as caught:
                create(database, number)
            assert caught.value.reason == "DATABASE_INCONSISTENT"
        (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert sequence_repair(table) in line
        move_sequence(database, table, 1)
        with pytest.raises(DatabaseError, match=re.escape(sequence_repair(table))):
            check_sequences(database._engine)

        database.write(lambda session: session.execute(text(sequence_repair(table))))

        check_sequences(database._engine)
        assert last < create(database, 5)


def test_a_sequence_that_was_never_used_is_behind_a_table_that_has_rows(database: Database, database_url: str) -> None:
    """As when rows are copied into a fresh schema."""
    check_sequences(database._engine)
    with closing(psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)) as connection:
        connection.execute("INSERT INTO users (id, email, create_time, update_time) VALUES (1, 'a@b.example', 0, 0)")
        with pytest.raises(DatabaseError, match="users"):
            check_sequences(database._engine)
        connection.execute("SELECT setval(pg_get_serial_sequence('users', 'id'), 2, false)")
    check_sequences(database._engine)


def test_a_missing_sequence_is_told_in_one_line(database: Database, database_url: str) -> None:
    with closing(psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)) as connection:
        connection.execute("ALTER TABLE events ALTER id DROP DEFAULT")
        connection.execute("DROP SEQUENCE events_id_seq")
    with pytest.raises(DatabaseError, match="no sequence numbers the rows of table events"):
        check_sequences(database._engine)


def test_what_waits_when_all_is_closed_is_given_up(database: Database) -> None:
    waiting = threading.Event()

    def wait(session: Session) -> None:
        waiting.set()
        session.execute(text("SELECT pg_sleep(60)"))

    begin = time.monotonic()
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(database.write, wait)
        assert waiting.wait(PATIENCE)
        database.close()
        with pytest.raises(Unavailable):
            call.result(PATIENCE)
    assert time.monotonic() - begin < PATIENCE


def test_a_silent_database_is_not_asked_until_it_answers(database: Database) -> None:
    work: Callable[[Session], int | None] = lambda session: session.scalar(text("SELECT 1"))  # noqa: E731
    assert database.read(work, Waiting()) == 1
    database.disconnect()
    for use in (database.read, database.write):
        with pytest.raises(Unavailable):
            use(work, Waiting())
    database.check()
    assert database.read(work, Waiting()) == 1


def test_a_database_that_answers_with_another_schema_is_not_silent(database: Database) -> None:
    database.disconnect()
    database.write(lambda session: session.execute(text("UPDATE schema_compatibility SET oldest_revision = '9999'")))
    with pytest.raises(DatabaseError, match="9999"):
        database.check()
    assert database.read(lambda session: session.scalar(text("SELECT 1")), Waiting()) == 1


def test_a_check_that_takes_too_long_is_told_in_one_line_and_ends(database: Database, database_url: str) -> None:
    """An answer all the same: calls go on."""
    database.disconnect()
    with closing(psycopg.connect(database_url.replace("+psycopg", ""))) as connection:
        connection.execute("LOCK TABLE alembic_version")
        with pytest.raises(DatabaseError, match=r"statement timeout|user request") as caught:
            database.check()
    assert "\n" not in str(caught.value)
    assert database.read(lambda session: session.scalar(text("SELECT 1")), Waiting()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT id FROM events WHERE owner_id IS NOT NULL AND owner_id = $1",
        b"SELECT 1 FROM ONLY events WHERE $1 = owner_id FOR KEY SHARE",
    ],
)
def test_events_are_found_by_their_owner_in_the_partial_index(postgresql_url: str, statement: bytes) -> None:
    """The first is what a filter becomes, the second how PostgreSQL looks for the events of a user who is deleted."""
    with psycopg.connect(make_url(postgresql_url).set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(b"PREPARE found(bigint) AS " + statement)
        plan = [step for (step,) in connection.execute("EXPLAIN EXECUTE found(1)")]
    assert any("ix_events_owner_id" in step for step in plan), plan


def test_a_database_that_may_only_be_read_is_told(database_url: str) -> None:
    """A standby is one as well."""
    url = make_url(database_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    with closing(Database(create_engine(url.render_as_string(hide_password=False)))) as database:
        with pytest.raises(DatabaseError, match="read-only"):
            database.check()
        assert database.read(lambda session: session.scalar(text("SELECT 1")), Waiting()) == 1
