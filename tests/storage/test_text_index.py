"""The index of texts on SQLite: whatever happened to events, and however many of them wait, a search finds them all."""

import contextlib
import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from artemis.v1.events_pb2 import Event
from artemis_models import create_engine, text_index, upgrade
from artemis_server.db.connection.database import Database
from artemis_server.db.connection.turn import SharedTurn, Turn
from artemis_server.db.events import EventStore
from artemis_server.db.listing import text_search
from artemis_server.db.listing.text_search import MIN_CHARACTERS, SQLITE_CANDIDATES, Search, match, searches
from artemis_server.db.text_indexer import TextIndexer, index_waiting, merge, waiting
from artemis_server.query.filters import filter_parser
from artemis_server.query.tree import Matches
from google.protobuf.descriptor import Descriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.storage.samples import new_event

PATIENCE = 60.0  # seconds after which a test is stuck
PARSE = filter_parser(cast("Descriptor", Event.DESCRIPTOR), EventStore.searched_fields)
STORE = EventStore()
STABLE = settings(suppress_health_check=list(HealthCheck))
LETTERS = "aAbB%_*\\'\"é\u0301e 😀\ud7ff\ue000\U0010ffff\ufffd\ufffe\uffff\x01-:(){}^+"
TEXTS = st.one_of(
    st.sampled_from(["", "robotics", "Robotics", "bot", "NEAR", 'a"b"c', "e\u0301e\u0301", "😀😀😀", "\uffff" * 3]),
    st.text(LETTERS, max_size=8),
)
FEW_TEXTS = st.sampled_from(["", "robot", "Robots", "obo\U0010ffff'\""])
FEW_PARTS = st.sampled_from(["rob", "obot", "Robo", "obo\U0010ffff", "\U0010ffff'\"", "ots"])
"""So few that changes and searches are about the same texts."""
IDS = st.integers(1, 4)
INSERT = "INTO events (id, name, description, location, start_time, end_time, create_time, update_time)"
ROW = "VALUES (:id, :name, :description, :location, 0, 0, 0, 0)"
CHANGES = {
    "insert": f"INSERT OR IGNORE {INSERT} {ROW}",
    "replace": f"INSERT OR REPLACE {INSERT} {ROW}",
    "upsert": f"INSERT {INSERT} {ROW} ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    "update": "UPDATE events SET name = :name, description = :description, location = :location WHERE id = :id",
    "update or replace": "UPDATE OR REPLACE events SET name = :name, rowid = :other WHERE id = :id",
    "move": "UPDATE OR IGNORE events SET id = :other WHERE id = :id",
    "move all": "UPDATE OR REPLACE events SET id = 5 - id",
    "delete": "DELETE FROM events WHERE id = :id",
    "delete all": "DELETE FROM events",
}
FIELDS = ("name", "description", "location")


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Returns a change, or a step of the indexer, and its values."""
    values: dict[str, Any] = {"id": draw(IDS), "other": draw(IDS)} | {field: draw(FEW_TEXTS) for field in FIELDS}
    return draw(st.sampled_from([*CHANGES, "index", "index one", "index in vain", "merge"])), values


def take(session: Session, name: str, values: dict[str, Any]) -> None:
    match_step: dict[str, Callable[[], Any]] = {
        "index": lambda: index_waiting(session),
        "index one": lambda: index_waiting(session, max_rows=1),
        "merge": lambda: merge(session),
    }
    if name == "index in vain":
        session.execute(text("SAVEPOINT vain"))
        index_waiting(session)
        session.execute(text("ROLLBACK TO vain"))
    elif name in match_step:
        match_step[name]()
    else:
        used = {key: value for key, value in values.items() if f":{key}" in CHANGES[name]}
        session.execute(text(CHANGES[name]), used)


@st.composite
def searched(draw: st.DrawFn) -> tuple[tuple[Search, ...], Callable[[dict[str, str]], bool]]:
    """Returns one or two searches, and what they mean."""
    drawn = draw(st.lists(st.tuples(st.sets(st.sampled_from(FIELDS), min_size=1), FEW_PARTS), min_size=1, max_size=2))
    found = tuple(Search(tuple(sorted(fields)), part) for fields, part in drawn)
    return found, lambda row: all(any(each.text in row[field] for field in each.fields) for each in found)


def copy(source: str, target: Path) -> None:
    """Copies a database as `artemis-server backup` does."""
    with closing(sqlite3.connect(source)) as connection, closing(sqlite3.connect(target)) as copied:
        connection.backup(copied)


def candidates(session: Session, found: tuple[Search, ...], after: int = 0, limit: int = -1) -> list[int]:
    values = {"match": match(found), "after": after, "max_candidates": limit}
    return list(session.execute(text(SQLITE_CANDIDATES), values).scalars())


def rows(session: Session) -> dict[int, dict[str, str]]:
    found = session.execute(text("SELECT id, name, description, location FROM events")).mappings()
    return {row["id"]: dict(row) for row in found}


@pytest.fixture
def session(sqlite_url: str) -> Iterator[Session]:
    """One transaction, of which nothing is kept."""
    engine = create_engine(sqlite_url)
    with Session(engine) as session:
        yield session
    engine.dispose()


@contextlib.contextmanager
def undone(session: Session) -> Iterator[None]:
    session.execute(text("SAVEPOINT history"))
    yield
    session.execute(text("ROLLBACK TO history"))


@STABLE
@given(history=st.lists(steps(), max_size=12), wanted=st.lists(searched(), min_size=1, max_size=3))
def test_candidates_are_all_events_that_match_whatever_happened_to_them(
    session: Session, history: list[Any], wanted: list[Any]
) -> None:
    with undone(session):
        for name, values in history:
            take(session, name, values)
        table = rows(session)
        for found, holds in wanted:
            assert {row_id for row_id, row in table.items() if holds(row)} <= set(candidates(session, found))
        while index_waiting(session, max_rows=1):
            pass
        assert waiting(session) == 0
        replaced = any("OR REPLACE" in CHANGES.get(name, "") for name, _ in history)
        for found, _ in wanted:
            expected = {row_id for row_id, row in table.items() if all(has_trigrams(row, each) for each in found)}
            indexed = set(candidates(session, found))
            assert expected <= indexed if replaced else expected == indexed


def has_trigrams(row: dict[str, str], each: Search) -> bool:
    """Tells whether each trigram of the text is in one of the fields."""
    trigrams = (each.text[start : start + 3] for start in range(len(each.text) - 2))
    return all(any(trigram in row[field] for field in each.fields) for trigram in trigrams)


@STABLE
@given(part=TEXTS.filter(lambda part: len(part) >= MIN_CHARACTERS), before=TEXTS, after=TEXTS)
def test_the_index_finds_every_text_that_has_trigrams(session: Session, part: str, before: str, after: str) -> None:
    found = searches(Matches("name", part, open_start=True, open_end=True))
    with undone(session):
        take(session, "insert", {"id": 1, "name": before + part + after, "description": "", "location": ""})
        index_waiting(session)
        assert [1] * bool(found) == (candidates(session, found) if found else [])


@pytest.mark.parametrize(
    ("filter_text", "expected"),
    [
        ('name:"robot"', [Search(("name",), "robot")]),
        ('name = "*robot"', [Search(("name",), "robot")]),
        ('location = "Lyon*" category = x', [Search(("location",), "Lyon")]),
        ('description = "talks"', [Search(("description",), "talks")]),
        ('robot "day 2"', [Search(("name", "description"), "robot"), Search(("name", "description"), "day 2")]),
        ('(name:robot AND (location:Lyon id > 5)) robots', [
            Search(("name",), "robot"), Search(("location",), "Lyon"), Search(("name", "description"), "robots"),
        ]),
        ("name:robot OR location:robot", [Search(("name", "location"), "robot")]),
        ("name:robot name:robot", [Search(("name",), "robot")]),
        ("name:robot OR name:robots", []),
        ("name:robot OR category:robot", []),
        ("name:robot OR id = 5", []),
        ("name:ab OR name:ab", []),
        ("NOT robot", []),
        ('name != "robot*"', []),
        ("name > robot", []),
        ("category:robot", []),
        ("ab", []),
        ('name:"\uffff\uffff\uffff"', []),
        ("", []),
    ],
)  # fmt: skip
def test_searches_are_those_that_must_hold_and_have_trigrams(filter_text: str, expected: list[Search]) -> None:
    assert tuple(expected) == searches(PARSE(filter_text))


def test_candidates_come_in_the_order_of_their_ids_as_they_are_asked_for(session: Session) -> None:
    for row_id, indexed in ((1, True), (3, True), (2, False), (4, False)):
        take(session, "insert", {"id": row_id, "name": "robots", "description": "", "location": ""})
        if indexed:
            index_waiting(session)
    found = (Search(("name",), "robot"),)
    assert candidates(session, found) == [1, 2, 3, 4]
    assert candidates(session, found, after=1, limit=2) == [2, 3]
    assert candidates(session, (Search(("location",), "robot"),)) == [2, 4], "those that wait are candidates as well"
    statement = f"SELECT e.id FROM ({SQLITE_CANDIDATES}) c CROSS JOIN events e ON e.id = c.id LIMIT 51"  # noqa: S608
    values = {"match": match(found), "after": 1, "max_candidates": -1}
    plan = [row.detail for row in session.execute(text(f"EXPLAIN QUERY PLAN {statement}"), values)]
    assert "MERGE (UNION)" in plan
    assert not [line for line in plan if "TEMP B-TREE" in line]
    assert [line for line in plan if line.startswith("SCAN event_texts VIRTUAL TABLE INDEX") and line.endswith(">")]


def test_a_change_of_other_columns_makes_nothing_wait(session: Session) -> None:
    take(session, "insert", {"id": 1, "name": "robots", "description": "", "location": ""})
    index_waiting(session)
    session.execute(text("UPDATE events SET category = 'x', start_time = -1"))
    assert waiting(session) == 0


def test_a_new_event_waits_without_a_row_in_the_queue(session: Session) -> None:
    for row_id in (1, 2):
        take(session, "insert", {"id": row_id, "name": "robots", "description": "", "location": ""})
    index_waiting(session, max_rows=1)
    take(session, "update", {"id": 2, "name": "robot", "description": "", "location": ""})
    take(session, "delete", {"id": 2})
    take(session, "insert", {"id": 3, "name": "robots", "description": "", "location": ""})
    assert session.execute(text("SELECT event_id FROM event_text_queue")).all() == []
    assert candidates(session, (Search(("name",), "robot"),)) == [1, 3]


def test_an_event_with_an_id_before_the_last_one_waits_in_the_queue(session: Session) -> None:
    """As one that somebody adds by hand in SQL."""
    for row_id in (7, 3, -(2**63)):
        take(session, "insert", {"id": row_id, "name": "robots", "description": "", "location": ""})
        index_waiting(session, max_rows=1)
    take(session, "insert", {"id": 5, "name": "robots", "description": "", "location": ""})
    found = (Search(("name",), "robot"),)
    assert candidates(session, found) == [3, 5, 7]
    while index_waiting(session):
        pass
    assert candidates(session, found) == [3, 5, 7]
    assert candidates(session, (Search(("location",), "robot"),)) == []


def test_long_texts_are_indexed_a_few_at_a_time(session: Session) -> None:
    for row_id in range(1, 4):
        take(session, "insert", {"id": row_id, "name": "x", "description": "long " * 9_000, "location": ""})
    assert [index_waiting(session) for _ in range(3)] == [2, 1, 0]


def test_an_index_that_contradicts_its_queue_is_made_anew(session: Session) -> None:
    """Such as after somebody has changed its tables by hand."""
    take(session, "insert", {"id": 1, "name": "robots", "description": "", "location": ""})
    session.execute(text("UPDATE event_text_progress SET last_id = 1"))
    take(session, "update", {"id": 1, "name": "robots of old", "description": "", "location": ""})
    index_waiting(session)
    assert waiting(session) == 1
    while index_waiting(session):
        pass
    assert candidates(session, (Search(("name",), "robot"),)) == [1]


@pytest.fixture
def indexer(sqlite_url: str) -> Iterator[tuple[Database, TextIndexer]]:
    """An indexer that looks at the queue all the time, and its database."""
    database = Database(create_engine(sqlite_url))
    indexer = TextIndexer(database, Turn(), interval=0.001)
    yield database, indexer
    indexer.stop(PATIENCE)
    database.close()


def test_the_indexer_indexes_what_waits(indexer: tuple[Database, TextIndexer]) -> None:
    database, thread = indexer
    names = [f"robot {number}" for number in range(1000)]
    database.write(lambda session: STORE.create_many(session, [new_event(name=name) for name in names]))
    assert database.read(waiting) == len(names)
    thread.start()
    end = time.monotonic() + PATIENCE
    while database.read(waiting) and time.monotonic() < end:
        pass
    assert len(database.read(lambda session: candidates(session, (Search(("name",), "robot"),)))) == len(names)


def test_one_process_of_those_that_share_a_turn_leads() -> None:
    turn = SharedTurn()
    assert turn.lead()
    other = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(turn.lead()))
    other.start()
    other.join(PATIENCE)
    assert other.exitcode == 0
    assert turn.lead()


KILLED = """
import sys
from artemis_models import create_engine
from artemis_server.db.connection.database import Database
from artemis_server.db.text_indexer import index_waiting
database = Database(create_engine(sys.argv[1]))
print("begun", flush=True)
while database.write(lambda session: index_waiting(session, 1)):
    print("indexed", flush=True)
"""


@pytest.mark.acceptance
def test_nothing_is_lost_when_the_process_is_killed(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    with Session(engine) as session:
        for row_id in range(1, 500):
            take(session, "insert", {"id": row_id, "name": f"robot {row_id}", "description": "", "location": ""})
        session.commit()
    with subprocess.Popen([sys.executable, "-c", KILLED, sqlite_url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    with Session(engine) as session:
        found = (Search(("name",), "robot"),)
        assert 0 < waiting(session) < 499
        assert candidates(session, found) == list(range(1, 500))
        while index_waiting(session):
            pass
        assert candidates(session, found) == list(range(1, 500))
    engine.dispose()


def test_a_sqlite_without_fts5_works_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/without.db")
    monkeypatch.setattr(text_index, "has_fts5", lambda _: False)
    upgrade(engine)
    with Session(engine) as session:
        assert not text_search.is_available(session)
        take(session, "insert", {"id": 1, "name": "robots", "description": "", "location": ""})
        session.commit()
    assert "without an index, searches in text read all events: SQLite" in caplog.text
    monkeypatch.undo()
    upgrade(engine)
    with Session(engine) as session:
        assert text_search.is_available(session)
        assert waiting(session) == 1
    engine.dispose()


def test_a_copy_has_the_index_and_its_queue(sqlite_url: str, tmp_path: Path) -> None:
    engine = create_engine(sqlite_url)
    with Session(engine) as session:
        take(session, "insert", {"id": 1, "name": "robots", "description": "", "location": ""})
        index_waiting(session)
        take(session, "insert", {"id": 2, "name": "robots", "description": "", "location": ""})
        session.commit()
    copy(str(engine.url.database), tmp_path / "copy.db")
    engine.dispose()
    copied = create_engine(f"sqlite:///{tmp_path}/copy.db")
    with Session(copied) as session:
        assert candidates(session, (Search(("name",), "robot"),)) == [1, 2]
    copied.dispose()
