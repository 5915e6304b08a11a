"""The log of changes has every committed change of an event once, whoever made it, in the order of commits."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from artemis.v1.events_pb2 import Event, EventChange
from artemis_models import create_engine
from artemis_server.db.changes import log
from artemis_server.db.changes.records import CODEC, Change, Page, Position, fill
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.errors import InvalidArgument, NotFound, OutOfRange
from artemis_server.pruning import Pruner
from artemis_server.rpc.pages import ResumeTokens
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tests.storage.conftest import PATIENCE, Queueing
from tests.storage.samples import new_event, new_user
from tests.storage.test_loader_merge import Loads, event, events
from tests.storage.test_principal import caller

STORE = EventStore()
C, U, D = EventChange.TYPE_CREATED, EventChange.TYPE_UPDATED, EventChange.TYPE_DELETED
INSERT = (
    "INSERT INTO events (id, name, start_time, end_time, create_time, update_time)"
    " VALUES (:id, :name, 1000, 2000, 5, 6)"
)
TOKENS = ResumeTokens(lambda: bytes(32))
Brief = tuple[int, int, str]


class Reader:
    """Reads the log from a position on, as a watch does: it passes each position through a token where it can."""

    def __init__(self, database: Database, position: Position | None = None, max_rows: int = 1000) -> None:
        self._database = database
        self._max_rows = max_rows
        self.position = position or database.read(log.current_position)

    def page(self) -> Page:
        if self.position.whole:
            self.position = TOKENS.decode(TOKENS.encode(self.position))
        page = self._database.read(partial(log.read_changes, position=self.position, max_rows=self._max_rows))
        self.position = page.position
        return page

    def transactions(self) -> list[list[Change]]:
        """Returns all transactions up to the end of the log, each put together of its parts."""
        wait_for_others(self._database)
        found: list[list[Change]] = [[]]
        while not (page := self.page()).at_end or page.transactions:
            for part in page.transactions:
                found[-1] += part.changes
                if part.position.whole:
                    found.append([])
            if page.at_end:
                break
        assert not found.pop(), "the log ends within a transaction"
        return found

    def brief(self) -> list[list[Brief]]:
        return [[(each.type, each.event_id, each.principal) for each in changes] for changes in self.transactions()]


def wait_for_others(database: Database) -> None:
    """Waits for the transactions that run in other databases of the cluster, those of other tests: they hold back."""
    if database.dialect == "sqlite":
        return
    query = text(
        "SELECT backend_xid::text FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
        " AND (datname <> current_database() OR backend_type <> 'client backend')"
    )

    def running() -> set[str]:
        return set(database.read(lambda session: session.scalars(query).all()))

    others = running()
    while others & running():
        pass


def position_after(database: Database, change_id: int) -> Position:
    """Returns the current position, once nothing holds back a change any more."""
    while (position := database.read(log.current_position)).mark is None or position.mark.id < change_id:
        pass
    return position


@pytest.fixture
def reader(database: Database) -> Reader:
    """A reader that begins at the end of the log of a new database."""
    return Reader(database)


def name_of(change: Change) -> str:
    return message_of(change).name


def message_of(change: Change) -> Event:
    return CODEC.to_message(change.state)


def write(database: Database, work: Callable[[Session], Any], principal: str = "ada") -> Any:
    return database.write(work, caller(principal))


def create(database: Database, name: str = "Party", principal: str = "ada") -> Event:
    made: Event = write(database, partial(STORE.create, message=new_event(name=name)), principal)
    return made


def rename(database: Database, row_id: int, name: str, principal: str = "ada") -> Event:
    work = partial(STORE.update, row_id=row_id, message=Event(name=name), paths=["name"], etag="")
    changed: Event = write(database, work, principal)
    return changed


@contextmanager
def by_hand(engine: Engine) -> Iterator[Callable[..., object]]:
    """A person with the plain driver; each statement is a transaction."""
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as connection:
            yield lambda sql, **values: connection.execute(sql, values)
        return
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        yield lambda sql, **values: connection.execute(text(sql).compile(dialect=engine.dialect).string, values)


# every writer is in the log


def test_a_change_has_the_event_its_time_and_who_made_it(database: Database, reader: Reader) -> None:
    made = create(database, principal="it's \\ quoted")
    changed = rename(database, made.id, "Later")
    gone = write(database, partial(STORE.delete, row_id=made.id, etag=""), "eve")
    changes = [change for (change,) in reader.transactions()]
    assert [(C, made), (U, changed), (D, gone)] == [(each.type, message_of(each)) for each in changes]
    assert [each.principal for each in changes] == ["it's \\ quoted", "ada", "eve"]
    assert changes[1].previous is not None
    assert [None, made, None] == [each.previous and CODEC.to_message(each.previous) for each in changes]
    assert all(abs(each.time - made.create_time.ToMicroseconds()) < 60_000_000 for each in changes)


def test_a_change_becomes_a_message(database: Database) -> None:
    made = create(database)
    (change,) = database.read(partial(log.list_changes, event_id=made.id, before=log.NEWEST, max_rows=9))
    message = EventChange()
    fill(message, change)
    assert message.change_time.ToMicroseconds() == change.time
    message.ClearField("change_time")
    assert message == EventChange(type=C, event=made, principal="ada")


def test_a_single_statement_and_a_repeated_request_name_their_caller(database: Database, reader: Reader) -> None:
    made = database.write_statement(partial(STORE.create, message=new_event()), caller("ada"))
    database.write_statement(partial(STORE.create, message=new_event()))
    assert [[(C, made.id, "ada")], [(C, made.id + 1, "")]] == reader.brief()


def test_a_batch_is_one_transaction(database: Database, reader: Reader) -> None:
    def batch(session: Session) -> None:
        made = STORE.create_many(session, [new_event() for _ in range(3)])
        STORE.delete_many(session, made[:1])

    write(database, batch)
    assert reader.brief() == [[(C, 1, "ada"), (C, 2, "ada"), (C, 3, "ada"), (D, 1, "ada")]]


def test_a_load_is_one_transaction_and_the_same_again_none(database: Database, engine: Engine, tmp_path: Path) -> None:
    loads = Loads(engine, tmp_path, name="conferences")
    reader = Reader(database, max_rows=100)
    loads(events(250))
    (first,) = reader.transactions()
    assert [(each.type, each.principal) for each in first] == [(C, "feed:conferences")] * 250
    loads(events(250), force=True)
    assert reader.transactions() == []
    loads([*events(249)[1:], event("e00000", "Moved"), event("new")], force=True)
    (second,) = reader.transactions()
    assert sorted([(D, "Picnic"), (U, "Moved"), (C, "Picnic")]) == sorted((each.type, name_of(each)) for each in second)
    assert {"feed:conferences"} == {each.principal for each in second}
    create(database)
    with by_hand(engine) as execute:
        execute("UPDATE events SET name = 'By hand' WHERE id = :id", id=1)
    assert [change.principal for (change,) in reader.transactions()] == ["ada", ""]


def test_a_person_in_sql_is_logged_without_a_name(engine: Engine, database: Database, reader: Reader) -> None:
    create(database)
    with by_hand(engine) as execute:
        execute(INSERT, id=70, name="by hand")
        create(database)
        execute("UPDATE events SET name = 'Other' WHERE id = 70")
        create(database)
        execute("DELETE FROM events WHERE id = 70")
    changes = [change for (change,) in reader.transactions()]
    assert [each.principal for each in changes] == ["ada", "", "ada", "", "ada", ""]
    assert [(each.type, message_of(each).etag and each.state[-1]) for each in changes[1::2]] == [(C, 1), (U, 2), (D, 2)]
    previous = changes[3].previous
    assert previous is not None
    assert (CODEC.to_message(previous).name, name_of(changes[3])) == ("by hand", "Other")


def test_a_change_of_an_id_is_a_create_and_a_delete(engine: Engine, database: Database, reader: Reader) -> None:
    create(database)
    with by_hand(engine) as execute:
        execute("UPDATE events SET id = 7 WHERE id = 1")
    _, moved = reader.brief()
    assert sorted(moved) == [(C, 7, ""), (D, 1, "")]


def test_deleting_all_rows_is_logged(engine: Engine, database: Database, reader: Reader) -> None:
    for _ in range(3):
        create(database)
    with by_hand(engine) as execute:
        execute("DELETE FROM events" if engine.dialect.name == "sqlite" else "TRUNCATE users CASCADE")
    assert sorted(reader.brief()[-1]) == [(D, 1, ""), (D, 2, ""), (D, 3, "")]


def test_an_event_is_replayed_as_the_table_has_it(engine: Engine, reader: Reader) -> None:
    """OR REPLACE on SQLite deletes rows without telling triggers for deletes."""
    if engine.dialect.name != "sqlite":
        pytest.skip("only SQLite has OR REPLACE and OR IGNORE")
    insert = INSERT.replace("INSERT", "INSERT OR {}")
    with by_hand(engine) as execute:
        execute(INSERT, id=5, name="a")
        execute(insert.format("REPLACE"), id=5, name="b")
        execute(insert.format("IGNORE"), id=5, name="c")
        execute("DELETE FROM events WHERE id = 5")
        execute(INSERT, id=5, name="d")
        execute(INSERT, id=6, name="e")
        execute("UPDATE OR REPLACE events SET id = 5 WHERE id = 6")
        execute(INSERT + " ON CONFLICT (id) DO UPDATE SET name = 'f'", id=5, name="g")
        execute("PRAGMA recursive_triggers = on")
        execute(insert.format("REPLACE"), id=5, name="h")
    changes = [change for changes in reader.transactions() for change in changes]
    expected = [(C, 5, "a"), (U, 5, "b"), (D, 5, "b"), (C, 5, "d"), (C, 6, "e"), (U, 5, "e"), (D, 6, "e"), (U, 5, "f")]
    assert [*expected, (D, 5, "f"), (C, 5, "h")] == [(each.type, each.event_id, name_of(each)) for each in changes]
    assert [each.previous and CODEC.to_message(each.previous).name for each in changes[:2]] == [None, "a"]


@pytest.mark.parametrize("statement", ["DELETE FROM change_context", "INSERT INTO change_context (id) VALUES (2)"])
def test_changes_are_logged_once_whatever_rows_their_context_has(
    engine: Engine, database: Database, reader: Reader, statement: str
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("only SQLite's triggers read the context")
    with by_hand(engine) as execute:
        execute(statement)
        create(database)
        execute("UPDATE events SET name = 'by hand' WHERE id = 1")
        execute("DELETE FROM events")
    changes = [change for changes in reader.transactions() for change in changes]
    assert [(each.type, each.event_id) for each in changes] == [(C, 1), (U, 1), (D, 1)]


@pytest.mark.parametrize("name", ["rowid", "_rowid_", "oid"])
def test_a_change_of_an_id_by_another_name_is_logged(sqlite_url: str, name: str) -> None:
    engine = create_engine(sqlite_url)
    with closing(Database(engine)) as database, by_hand(engine) as execute:
        for _ in range(2):
            create(database)
        reader = Reader(database)
        execute("UPDATE OR REPLACE events SET id = 2 WHERE id = 1".replace("SET id", f"SET {name}"))
        execute("UPDATE events SET id = 7".replace("id", name))
        assert reader.brief() == [[(U, 2, ""), (D, 1, ""), (C, 7, ""), (D, 2, "")]]


@pytest.mark.parametrize("path", ["''", "other, public"])
def test_the_search_path_of_a_session_does_not_matter(postgresql_url: str, path: str) -> None:
    """It is empty when the data of a pg_dump is loaded."""
    engine = create_engine(postgresql_url)
    with closing(Database(engine)) as database, by_hand(engine) as execute:
        reader = Reader(database)
        execute("CREATE SCHEMA other")
        execute("CREATE TABLE other.event_changes (LIKE public.event_changes INCLUDING ALL)")
        execute("CREATE TEMPORARY TABLE events (LIKE public.events)")
        execute(f"SET search_path = {path}")
        execute(INSERT.replace("events", "public.events"), id=5, name="by hand")
        execute("TRUNCATE public.events")
        assert reader.brief() == [[(C, 5, "")], [(D, 5, "")]]


def test_an_id_that_one_statement_takes_and_gives_is_logged_as_it_is_left(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    with closing(Database(engine)) as database, by_hand(engine) as execute:
        for _ in range(2):
            create(database)
        reader = Reader(database)
        execute(
            "WITH gone AS (DELETE FROM events WHERE id = 1 RETURNING id)"
            " UPDATE events SET id = 1 WHERE id = 2 AND EXISTS (SELECT FROM gone)"
        )
        assert sorted(reader.brief()[0]) == [(C, 1, ""), (D, 2, "")]


def test_a_statement_that_writes_many_rows_pairs_them(engine: Engine, database: Database, reader: Reader) -> None:
    create(database)
    rename(database, 1, "first")  # a plan for one row must not be used for many
    write(database, lambda session: STORE.create_many(session, [new_event() for _ in range(999)]))
    with by_hand(engine) as execute:
        execute("UPDATE events SET location = name")
    *_, last = reader.transactions()
    assert [(each.event_id, "first" if each.event_id == 1 else "Release party") for each in last] == sorted(
        (each.event_id, message_of(each).location) for each in last
    )
    assert all(each.previous and each.previous[0] == each.event_id for each in last)


# nothing else is in the log


def test_what_is_undone_is_not_logged(database: Database, reader: Reader) -> None:
    def fail(session: Session) -> None:
        STORE.create(session, new_event())
        STORE.get(session, 2**62)

    with pytest.raises(NotFound):
        write(database, fail)
    database.dry_run(partial(STORE.create, message=new_event()), caller("ada"))
    assert reader.brief() == []


def test_in_a_group_each_call_is_a_transaction_and_a_failed_one_is_none(queueing: Queueing, reader: Reader) -> None:
    def fail(session: Session) -> None:
        STORE.create(session, new_event())
        STORE.get(session, 2**62)

    def two(session: Session) -> None:
        STORE.create_many(session, [new_event(), new_event()])

    one = partial(STORE.create, message=new_event())
    queueing.group(one, fail, two, one)
    assert [[kind for kind, _, _ in changes] for changes in reader.brief()] == [[C], [C, C], [C]]


def test_users_are_not_logged(database: Database, reader: Reader) -> None:
    from artemis_server.db.users import UserStore  # noqa: PLC0415

    database.write(partial(UserStore().create, message=new_user()))
    assert reader.brief() == []


def test_an_event_that_was_logged_before_a_column_was_added_has_its_default() -> None:
    change = Change(1, 1, C, 0, "", 1, json.dumps({"id": 1, "name": "Old", "version": 2}), None)
    assert message_of(change).name == "Old"
    assert not message_of(change).HasField("owner_id")


# positions


@pytest.mark.parametrize("max_rows", [1, 2, 3, 7, 1000])
def test_pages_of_any_size_have_the_same_transactions(database: Database, max_rows: int) -> None:
    begin = database.read(log.current_position)
    for count in (1, 3, 1, 5):
        new_events = [new_event() for _ in range(count)]
        write(database, partial(STORE.create_many, messages=new_events))
    reader = Reader(database, begin, max_rows)
    assert [[each.id for each in t] for t in reader.transactions()] == [[1], [2, 3, 4], [5], [6, 7, 8, 9, 10]]
    create(database)
    assert [[each.id for each in t] for t in reader.transactions()] == [[11]]


def test_a_position_is_after_what_was_committed(database: Database) -> None:
    create(database)
    reader = Reader(database)
    create(database)
    assert reader.brief() == [[(C, 2, "ada")]]
    assert reader.brief() == []


def test_a_token_from_another_database_is_refused(database: Database) -> None:
    token = TOKENS.encode(database.read(log.current_position))
    for bad in (ResumeTokens(lambda: bytes([1] * 32)).encode(database.read(log.current_position)), token[:-1], "x"):
        with pytest.raises(InvalidArgument) as refused:
            TOKENS.decode(bad)
        assert refused.value.reason == "INVALID_RESUME_TOKEN"


def expect_expired(database: Database, position: Position) -> None:
    for use in (log.check_position, log.read_changes):
        with pytest.raises(OutOfRange) as expired:
            database.read(partial(use, position=position))
        assert (expired.value.reason, expired.value.field) == ("RESUME_TOKEN_EXPIRED", "resume_token")


def test_a_position_expires_when_a_change_after_it_is_pruned(database: Database) -> None:
    begin = database.read(log.current_position)
    positions = []
    for number in range(1, 4):
        create(database)
        positions.append(position_after(database, number))
    assert database.write(partial(log.prune, before=2**62, max_rows=2)) == 2
    expect_expired(database, begin)
    expect_expired(database, positions[0])
    assert Reader(database, positions[1]).brief() == [[(C, 3, "ada")]]
    assert [database.write(partial(log.prune, before=2**62)) for _ in range(2)] == [1, 0]
    expect_expired(database, positions[1])
    assert Reader(database, positions[2]).brief() == []
    create(database)
    assert Reader(database, positions[2]).brief() == [[(C, 4, "ada")]], "the newest change of a quiet log stays"


def test_the_thread_that_prunes_keeps_what_is_younger_than_the_retention(database: Database) -> None:
    begin = database.read(log.current_position)
    for _ in range(3):
        create(database)
    Pruner(database, retention=3600).prune()
    database.read(partial(log.check_position, position=begin))
    pruner = Pruner(database, retention=0)
    pruner.start()
    while database.read(log.size):
        pass
    pruner.stop(PATIENCE)
    expect_expired(database, begin)


def test_what_is_new_is_not_pruned(database: Database, reader: Reader) -> None:
    made = create(database)
    create(database)
    before = made.create_time.ToMicroseconds() - 3_600_000_000
    assert database.write(partial(log.prune, before=before)) == 0
    assert len(reader.brief()) == 2


def test_the_log_tells_about_its_size(database: Database) -> None:
    for _ in range(3):
        create(database)
    assert database.read(log.size) == 3


def test_the_history_of_an_event_is_newest_first(database: Database) -> None:
    made = create(database)
    create(database)
    rename(database, made.id, "Later")
    write(database, partial(STORE.delete, row_id=made.id, etag=""))
    history = partial(log.list_changes, event_id=made.id)
    changes: Sequence[Change] = database.read(partial(history, before=log.NEWEST, max_rows=9))
    assert [each.type for each in changes] == [D, U, C]
    assert changes[1:2] == database.read(partial(history, before=changes[0].id, max_rows=1))
    assert database.read(partial(log.list_changes, event_id=0, before=log.NEWEST, max_rows=9)) == []


def test_a_position_from_before_a_restore_is_expired(sqlite_file: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    backup.write_bytes(sqlite_file.read_bytes())
    with closing(Database(create_engine(f"sqlite:///{sqlite_file}"))) as database:
        create(database)
        position = database.read(log.current_position)
    with closing(Database(create_engine(f"sqlite:///{backup}"))) as restored:
        expect_expired(restored, position)
        create(restored)
        create(restored)
        expect_expired(restored, position)


# PostgreSQL: neither ids nor transaction ids are in the order of commits


@contextmanager
def sessions(engine: Engine, count: int) -> Iterator[list["psycopg.Connection[Any]"]]:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    opened = [psycopg.connect(url) for _ in range(count)]
    yield opened
    for each in opened:
        each.close()


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[tuple[Engine, Database, Reader]]:
    """A database with the events 1, 2 and 3, and a reader after them."""
    engine = create_engine(postgresql_url)
    with closing(Database(engine)) as database:
        write(database, lambda session: STORE.create_many(session, [new_event() for _ in range(3)]))
        yield engine, database, Reader(database)


def names(transactions: list[list[Change]]) -> list[list[str]]:
    return [[name_of(each) for each in changes] for changes in transactions]


BEGIN = "SELECT pg_current_xact_id()"
RENAME = "UPDATE events SET name = %s WHERE id = %s"


def test_changes_of_one_event_come_in_the_order_of_commits(postgresql: tuple[Engine, Database, Reader]) -> None:
    """`early` begins first and changes the event last; a third transaction keeps the horizon between the two."""
    engine, _, reader = postgresql
    with sessions(engine, 3) as (early, long, late):
        for each in (early, long, late):
            each.execute(BEGIN)
        late.execute(RENAME, ("late", 1))
        late.commit()
        early.execute(RENAME, ("early", 1))
        early.commit()
        assert names(reader.transactions()) == [], "early is below the horizon, and comes after late, which is not"
        long.execute(RENAME, ("long", 2))
        long.commit()
    assert names(reader.transactions()) == [["late"], ["early"], ["long"]]


def test_a_transaction_that_runs_holds_back_those_after_it(postgresql: tuple[Engine, Database, Reader]) -> None:
    engine, database, reader = postgresql
    with sessions(engine, 1) as (long,):
        long.execute(RENAME, ("long", 1))
        rename(database, 2, "other")
        assert names(reader.transactions()) == []
        long.execute(RENAME, ("long again", 3))
        long.commit()
    assert names(reader.transactions()) == [["other"], ["long", "long again"]]


def test_a_position_shows_what_its_snapshot_did_not(postgresql: tuple[Engine, Database, Reader]) -> None:
    """Others commit while a transaction runs: a list shows them, and a watch from its token does not repeat them."""
    engine, database, _ = postgresql
    with sessions(engine, 1) as (long,):
        long.execute(RENAME, ("long", 1))
        rename(database, 2, "seen")
        reader = Reader(database)
        rename(database, 2, "not seen")
        long.commit()
    rename(database, 2, "next")
    assert names(reader.transactions()) == [["long"], ["not seen"], ["next"]]


def test_a_transaction_that_rolled_back_holds_nothing_back(postgresql: tuple[Engine, Database, Reader]) -> None:
    engine, database, reader = postgresql
    with sessions(engine, 1) as (gone,):
        gone.execute(RENAME, ("gone", 1))
        rename(database, 2, "kept")
        gone.rollback()
    assert names(reader.transactions()) == [["kept"]]


def test_a_batch_is_resumed_within(postgresql: tuple[Engine, Database, Reader]) -> None:
    engine, database, reader = postgresql
    with sessions(engine, 1) as (long,):
        long.execute(BEGIN)
        for number in range(5):
            rename(database, 1, str(number))
        long.commit()
    small = Reader(database, reader.position, max_rows=2)
    wait_for_others(database)
    found = []
    for _ in range(9):
        found += [name_of(each) for part in small.page().transactions for each in part.changes]
    assert found == ["0", "1", "2", "3", "4"]


def test_a_log_from_another_cluster_is_numbered_anew(postgresql: tuple[Engine, Database, Reader]) -> None:
    engine, database, reader = postgresql
    assert database.write(log.renumber) is False
    rename(database, 1, "before")
    before = reader.position
    with engine.begin() as connection:  # as a dump has them that came from a cluster with more transactions
        connection.execute(text("UPDATE event_changes SET transaction_id = transaction_id + 1000000000"))
    shifted = replace(before, lower=before.lower + 10**9, upper=before.upper + 10**9)
    expect_expired(database, shifted)
    assert [database.write(log.renumber) for _ in range(2)] == [True, False]
    expect_expired(database, before)
    fresh = Reader(database)
    rename(database, 1, "after")
    assert names(fresh.transactions()) == [["after"]]
