"""The index of texts on SQLite: whatever happened to events, and however many of them wait, a search finds them all."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from artemis_models import create_engine
from artemis_server.db.events import EventStore
from artemis_server.db.listing.text_search import SQLITE_CANDIDATES, Search, match, searches
from artemis_server.db.text_indexer import index_waiting, merge, waiting
from artemis_server.query.tree import Node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

STORE = EventStore()
STABLE = settings(suppress_health_check=list(HealthCheck))
LETTERS = "aAbB%_*\\'\"é\u0301e 😀\ud7ff\ue000\U0010ffff\ufffd\ufffe\uffff\x01-:(){}^+"
TEXTS = st.one_of(
    st.sampled_from(["", "robotics", "Robotics", "bot", "NEAR", 'a"b"c', "e\u0301e\u0301", "😀😀😀", "\uffff" * 3]),
    st.text(LETTERS, max_size=8),
)
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
    values: dict[str, Any] = {"id": draw(IDS), "other": draw(IDS)} | {field: draw(TEXTS) for field in FIELDS}
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
    """Returns searches, and what they mean."""
    drawn = draw(st.lists(st.tuples(st.sets(st.sampled_from(FIELDS), min_size=1), TEXTS), min_size=1, max_size=2))
    found = tuple(
        Search(tuple(sorted(fields)), part) for fields, part in drawn if searches(_contains(sorted(fields)[0], part))
    )
    return found, lambda row: all(any(each.text in row[field] for field in each.fields) for each in found)


def _contains(field: str, part: str) -> Node:
    from artemis_server.query.tree import Matches  # noqa: PLC0415

    return Matches(field, part, open_start=True, open_end=True)


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
            if found:
                expected = {row_id for row_id, row in table.items() if holds(row)}
                assert expected <= set(candidates(session, found))
        while index_waiting(session, max_rows=1):
            pass
        for found, holds in wanted:
            if found:
                expected = {row_id for row_id, row in table.items() if holds(row)}
                assert expected <= set(candidates(session, found))
        assert waiting(session) == 0
