"""PgBouncer before PostgreSQL: no statement of one client ends another's, and each mode works or is told in a line."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import psycopg
import pytest
from artemis.v1.events_pb2 import CreateEventRequest, GetEventRequest, ListEventsRequest
from artemis_loader.cli import main as loader
from artemis_models import Pooler, create_engine, pooler_of
from artemis_server.cli import all_connections
from artemis_server.db.changes import log
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.errors import DeadlineExceeded
from artemis_server.settings import Settings
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from tests.benchmarks.load import Rate, Target, measure
from tests.e2e.poolers import keeps_prepared_statements, needs_pgbouncer, pooling
from tests.e2e.servers import run, serving
from tests.storage.samples import Waiting, new_event
from tests.storage.test_principal import caller

pytestmark = needs_pgbouncer
CALLERS, CALLS = 16, 10
CONFIG = """
[feeds.talks]
url = "talks.jsonl"
format = "jsonl"
entity = "events"

[feeds.talks.fields]
external_id = "id"
name = "id"
start_time = "start"
end_time = "start"
"""


@pytest.fixture(params=["200", "0"], ids=["prepared", "unprepared"])
def pooled_url(request: pytest.FixtureRequest, postgresql_url: str) -> Iterator[str]:
    """The URL of a pooler in transaction mode, with and without prepared statements, and with few connections."""
    if request.param != "0" and not keeps_prepared_statements():
        pytest.skip("this PgBouncer keeps no prepared statements: 1.22 has it first")
    with pooling(make_url(postgresql_url), default_pool_size="4", max_prepared_statements=request.param) as url:
        yield url


def sleep(session: Session) -> None:
    session.execute(text("SELECT pg_sleep(60)"))


@pytest.mark.acceptance
def test_callers_with_deadlines_share_the_pool_with_a_client_that_has_none(pooled_url: str) -> None:
    """Each caller reads and writes, and some are late. The other client's statements never end early."""
    database, store = Database(create_engine(pooled_url, connections=CALLERS)), EventStore()
    ended, failures, statements = threading.Event(), list[Exception](), Counter[str]()

    def use_pool() -> None:
        with closing(psycopg.connect(pooled_url, autocommit=True, prepare_threshold=None)) as other:
            while not ended.is_set():
                try:
                    other.execute("SELECT pg_sleep(0.05)")
                    (timeout,) = other.execute("SHOW statement_timeout").fetchone() or ()
                    statements[timeout] += 1
                except psycopg.Error as error:
                    failures.append(error)
                    return

    def call(number: int) -> None:
        for turn in range(CALLS):
            event = database.write_statement(partial(store.create, message=new_event(name=f"{number}")))
            changed = database.write(partial(store.lock_many, ids=[event.id]))
            assert [each.name for each in changed.values()] == [f"{number}"]
            found = database.read(partial(store.find_many, ids=[event.id], field="ids"))
            assert [each.name for each in found.values()] == [f"{number}"]
            if turn % 10 == number % 10:
                with pytest.raises(DeadlineExceeded):
                    database.read(sleep, Waiting(0.1))

    with ThreadPoolExecutor(CALLERS + 1) as executor:
        other = executor.submit(use_pool)
        try:
            list(executor.map(call, range(CALLERS)))
        finally:
            ended.set()
        other.result()
    database.close()
    assert failures == []
    assert set(statements) == {"0"}


@pytest.mark.acceptance
def test_no_call_of_64_callers_fails(pooled_url: str) -> None:
    """They share 4 connections, and get, create and list at once. `measure` raises unless every call ends with OK."""
    requests = {
        "GetEvent": GetEventRequest(id=1),
        "CreateEvent": CreateEventRequest(event=new_event()),
        "ListEvents": ListEventsRequest(page_size=10),
    }
    with serving(pooled_url) as server, ThreadPoolExecutor(len(requests)) as executor:
        target = Target(server.port, server.process.pid)

        def call(name: str, count: int) -> Rate:
            body = requests[name].SerializeToString()
            return measure(target, f"/artemis.v1.EventService/{name}", repeat(body), 0.5, count)

        call("CreateEvent", 1)
        rates = [executor.submit(call, name, count) for name, count in zip(requests, (24, 24, 16), strict=True)]
        assert all(rate.result().calls > 0 for rate in rates)


def test_a_statement_that_waits_in_the_pooler_ends_at_its_deadline(postgresql_url: str) -> None:
    """PgBouncer takes the requests to cancel it, and lets it wait."""
    with (
        pooling(make_url(postgresql_url), default_pool_size="1") as url,
        closing(Database(create_engine(url))) as database,
    ):
        database.read(lambda session: session.execute(text("SELECT 1")))
        with closing(psycopg.connect(url)) as other:
            other.execute("SELECT 1")  # begins a transaction
            with pytest.raises(DeadlineExceeded):
                database.read(lambda session: session.execute(text("SELECT 1")), Waiting(0.1))
        assert database.read(lambda session: session.scalar(text("SELECT 1"))) == 1


def test_the_principal_of_a_write_does_not_stay_on_a_connection(postgresql_url: str) -> None:
    """All share one connection: a person in SQL and a caller without a name come after a caller with one."""
    create = partial(EventStore().create, message=new_event())

    def authors(database: Database, event_id: int) -> list[str]:
        history = partial(log.list_changes, event_id=event_id, before=log.NEWEST, max_rows=9)
        return [change.principal for change in database.read(history)]

    with (
        pooling(make_url(postgresql_url), default_pool_size="1") as url,
        closing(Database(create_engine(url))) as database,
        closing(psycopg.connect(url, autocommit=True, prepare_threshold=None)) as other,
    ):
        for write in (database.write, database.write_statement):
            write(create, caller("ada"))
            other.execute("UPDATE events SET location = 'by hand'")
            write(create)
        found = [authors(database, event_id) for event_id in (1, 2, 3, 4)]
    assert found == [["", "", "ada"], ["", ""], ["", "ada"], [""]]


def seen_at(url: str) -> tuple[Pooler, bool]:
    """Returns the pooler that a connection has, and whether the driver prepares statements on it."""
    engine = create_engine(url)
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        seen = pooler_of(connection), driver.prepare_threshold is not None
    engine.dispose()
    return seen


def test_statements_are_prepared_only_where_that_works(postgresql_url: str) -> None:
    direct = make_url(postgresql_url)
    with (
        pooling(direct) as kept,
        pooling(direct, max_prepared_statements="0") as lost,
        pooling(direct, pool_mode="session") as session,
    ):
        assert seen_at(postgresql_url) == (Pooler.NONE, True)
        assert seen_at(lost) == (Pooler.UNKNOWN, False)
        assert seen_at(session) == (Pooler.UNKNOWN, False)
        if keeps_prepared_statements():
            assert seen_at(kept) == (Pooler.TRANSACTION, True)


def test_check_tells_statement_mode_in_a_line(postgresql_url: str) -> None:
    with pooling(make_url(postgresql_url), pool_mode="statement") as url:
        checked = run("check", url)
    assert checked.returncode == 1
    assert checked.stderr.count("\n") == 1
    assert "transaction blocks not allowed in statement pooling mode" in checked.stderr


def test_check_tells_how_many_connections_the_server_needs(postgresql_url: str) -> None:
    with pooling(make_url(postgresql_url)) as url:
        pooled = run("check", url, "--workers", "2")
    direct = run("check", postgresql_url, "--workers", "1000")
    needed = all_connections(Settings(command="check"), 2)
    assert pooled.stdout.splitlines()[-1] == f"connections: {needed} at most (workers: 2), to the pooler"
    assert direct.stdout.endswith("that PostgreSQL has for all its users\n")
    assert "raise max_connections" in direct.stderr


def test_warnings_that_the_pooler_would_hide_are_told_in_a_line(postgresql_url: str) -> None:
    hide = "SET client_min_messages = error"
    with pooling(make_url(postgresql_url), server_reset_query="") as url:
        with closing(psycopg.connect(url, autocommit=True)) as other:
            other.execute(hide)
        checked = run("check", url)
    assert checked.returncode == 1
    assert checked.stderr.count("\n") == 1
    assert "SET client_min_messages = warning" in checked.stderr


def load(url: str, folder: Path) -> int:
    (folder / "feeds.toml").write_text(CONFIG)
    (folder / "talks.jsonl").write_text('{"id": "1", "start": "2030-05-04T09:00:00Z"}\n')
    return loader(["load", "--config", str(folder / "feeds.toml"), "--database-url", url])


def test_a_load_in_transaction_mode_is_refused_in_a_line(
    pooled_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load(pooled_url, tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pool_mode = session" in line


@pytest.mark.acceptance
def test_a_load_in_session_mode_succeeds(
    postgresql_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pooling(make_url(postgresql_url), pool_mode="session") as url:
        assert load(url, tmp_path) == 0, capsys.readouterr().err
