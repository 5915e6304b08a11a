"""Both engines find what people ask for every day by an index, and read about as many rows as they return.

The questions are those of `tests/questions.py`, on ten thousand events. The statements are those that a store sends,
as the drivers tell them: there may be several, if the server first looks how many rows there are. A plan alone does
not show how much of an index is read, nor how many rows are sorted. So the work is counted as well: SQLite's in
instructions of its virtual machine, PostgreSQL's in rows that scans have read.
"""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import psycopg
import pytest
from artemis_models import create_engine, upgrade
from artemis_server.db.events import EventStore
from artemis_server.db.listing import list_query, plans
from artemis_server.db.text_indexer import index_waiting
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.benchmarks.generate import fill, fill_postgresql
from tests.conftest import BACKENDS, cloned
from tests.contrib import contrib_postgresql
from tests.questions import FEW_CHANGED, FIRST, MANY_CHANGED, QUESTIONS, TEXT, Asked, Facts, Question
from tests.tools import find

ROWS, PAGE = 10_000, 50
MAX_STEPS = 40_000
"""Instructions of SQLite for a page. A page from an index takes 2,000, and to read every row takes 70,000 and more."""
MAX_READ = 6000
"""Rows that PostgreSQL's scans may read for a page."""
COUNTS = "SELECT count(*) FROM (SELECT"
"""The begin of statements that count rows up to a limit, so that their scans are none of a whole table."""
MAX_COST = 2000
"""The most that collecting rows may cost here: as small a share of the events as the server's is of ten million."""
DRAWS = 3
"""Different values that a question is asked with."""
STEP = 100
"""Instructions that are counted at once."""
EVENTS = EventStore()
NEWEST = "SELECT update_time FROM events ORDER BY update_time DESC LIMIT 1 OFFSET "
NAMES = "SELECT name FROM events WHERE id > 1000 ORDER BY id LIMIT 5000"


@dataclass
class Work:
    """The work of an engine for a page: `steps` of its plans, and those that are `scans` of a whole table or index."""

    steps: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    amount: int = 0
    """Instructions, or rows that were read."""


class Engine(Protocol):
    """A database with ten thousand events."""

    facts: Facts
    max_amount: int
    has_text: bool
    """Tells whether it has an index of texts."""

    def work(self, asked: Asked, after: list[Any] | None) -> Work:
        """Returns the work for a page."""


def read_page(session: Session, asked: Asked, after: list[Any] | None) -> None:
    query = EVENTS.query(asked.filter, asked.order_by)
    with closing(query.scan(session, after=after, limit=PAGE + 1)) as chunks:
        for _ in chunks:
            pass


def facts(execute: Any) -> Facts:
    changed = {
        count: execute(f"{NEWEST}{min(count, ROWS - 1)}").fetchone()[0] for count in (0, FEW_CHANGED, MANY_CHANGED)
    }
    names = [row[0] for row in execute(NAMES)]
    return Facts(rows=ROWS, changed=changed, last_update=changed[0], names=names)


class SQLite:
    """A file, which has no statistics to choose by."""

    max_amount = MAX_STEPS
    has_text = True

    def __init__(self, session: Session) -> None:
        self._session = session
        self._driver = cast("sqlite3.Connection", session.connection().connection.dbapi_connection)
        self.facts = facts(self._driver.execute)

    def work(self, asked: Asked, after: list[Any] | None) -> Work:
        work, sent = Work(), list[str]()

        def count() -> None:
            work.amount += STEP

        self._driver.set_trace_callback(sent.append)
        self._driver.set_progress_handler(count, STEP)
        read_page(self._session, asked, after)
        self._driver.set_progress_handler(None, 0)
        self._driver.set_trace_callback(None)
        for sql in (each for each in sent if not each.startswith("--")):  # which FTS5 executes itself
            steps = [row[3] for row in self._driver.execute("EXPLAIN QUERY PLAN " + sql)]
            work.steps += steps
            if not sql.startswith(COUNTS):
                work.scans += [step for step in steps if step.startswith("SCAN events")]
        return work


class PostgreSQL:
    """A database that was analyzed, and reads no table from its begin to its end if it has another way."""

    max_amount = MAX_READ

    def __init__(self, session: Session) -> None:
        self._session = session
        self._driver = cast("Any", session.connection().connection.dbapi_connection)
        self.facts = facts(self._driver.execute)
        self.has_text = bool(self._driver.execute("SELECT to_regclass('ix_events_text')").fetchone()[0])
        self._driver.execute("SET enable_seqscan = off")
        self._driver.execute("SET random_page_cost = 1.1")  # with 4, it is cheaper to sort ten thousand rows
        self._driver.execute("SET enable_mergejoin = off")  # from the begin of an index, which is short here

    def work(self, asked: Asked, after: list[Any] | None) -> Work:
        sent: list[tuple[Any, Any]] = []

        class Recording(psycopg.Cursor[Any]):
            def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                sent.append((query, params))
                return super().execute(query, params, **options)

        self._driver.cursor_factory = Recording
        read_page(self._session, asked, after)
        self._driver.cursor_factory = psycopg.Cursor
        work = Work()
        for sql, values in (each for each in sent if not each[0].startswith("EXPLAIN")):
            explained = self._driver.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + sql, values).fetchone()
            self._add(work, explained[0][0]["Plan"])
        return work

    def _add(self, work: Work, node: dict[str, Any]) -> None:
        kind, loops = node["Node Type"], node["Actual Loops"]
        work.steps.append(f"{kind} {node.get('Index Name', '')}")
        if kind == "Seq Scan" and node["Relation Name"] == "events":
            work.scans.append(kind)
        if "Scan" in kind and "Relation Name" in node:
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            work.amount += loops * (node["Actual Rows"] + removed)
        for child in node.get("Plans", ()):
            self._add(work, child)


@pytest.fixture(scope="module")
def sqlite_events(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> str:
    """The URL of a file with ten thousand events."""
    path = Path(shutil.copyfile(sqlite_template, tmp_path_factory.mktemp("questions") / "artemis.db"))
    fill(path, ROWS)
    engine = create_engine(f"sqlite:///{path}")
    with Session(engine) as session:
        while index_waiting(session):
            pass
        session.commit()
    engine.dispose()
    return f"sqlite:///{path}"


@pytest.fixture
def sqlite_copy(sqlite_events: str, tmp_path: Path) -> str:
    """The URL of a copy of it. The session of `engine` is a transaction that writes, and so no other one can begin."""
    path = shutil.copyfile(sqlite_events.removeprefix("sqlite:///"), tmp_path / "artemis.db")
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def postgresql_events(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database with ten thousand events, on a server with pg_trgm where the machine has one."""
    with ExitStack() as stack:
        if find("initdb"):
            server = stack.enter_context(contrib_postgresql())
        else:
            server = request.getfixturevalue("postgresql_server")
        url = stack.enter_context(cloned(server, "template1"))
        text = url.render_as_string(hide_password=False)
        engine = create_engine(text)
        upgrade(engine)
        engine.dispose()
        fill_postgresql(text.replace("+psycopg", ""), ROWS)
        yield text


@pytest.fixture(scope="module", params=BACKENDS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine, with ten thousand events."""
    made = create_engine(request.getfixturevalue(f"{request.param}_events"))
    with Session(made) as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "MAX_COST", MAX_COST)
        yield SQLite(session) if request.param == "sqlite" else PostgreSQL(session)
    made.dispose()


def problems(question: Question, work: Work, limit: int) -> list[str]:
    """Returns what is wrong with the plans of a question."""
    found = []
    if work.scans and question.filter and not question.walks:
        found += work.scans
    if work.amount > limit:
        found.append(f"the work is {work.amount}, and at most {limit} may be")
    if question.indexes and not any(index in step for index in question.indexes for step in work.steps):
        found.append(f"no step uses one of {', '.join(question.indexes)}")
    return found


@pytest.mark.parametrize("question", [each for each in QUESTIONS if not each.bounded], ids=str)
def test_a_page_is_found_by_an_index(engine: Engine, question: Question) -> None:
    if question.indexes == TEXT and not engine.has_text:
        pytest.skip("no PostgreSQL with pg_trgm is installed")
    chance = random.Random(question.title)  # noqa: S311, not for secrets
    for asked in (question.draw(engine.facts, chance) for _ in range(DRAWS)):
        for after in (None, asked.position):
            work = engine.work(asked, after)
            assert problems(question, work, engine.max_amount) == [], (asked, after, work.steps)


def test_a_look_in_the_order_of_the_list_ends_with_the_page(sqlite_copy: str) -> None:
    """It may go on for 500 rows, and every third event has this text."""
    made = create_engine(sqlite_copy)
    with Session(made) as session:
        work = SQLite(session).work(Asked(filter='"laptop"', order_by="start_time", position=[]), None)
    made.dispose()
    assert work.amount < 20_000, work.steps


def test_no_path_is_counted_that_costs_more_than_a_look_has_shown(sqlite_copy: str) -> None:
    """Every tenth event has such a name, so a page of 51 takes the next 500 rows, and the index has 1,000 entries."""
    made, taken = create_engine(sqlite_copy), list[str]()
    with Session(made) as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_query, "_STAGES", ((10, 100), (40_000, 100), (None, 10_000)))
        for row_cost in (1, 100):
            patch.setattr(list_query, "ROW_COST", row_cost)
            chunks = EVENTS.query('name = "Storage*"', "").scan(
                session, after=None, limit=PAGE + 1, on_path=taken.append
            )
            assert sum(map(len, chunks)) == PAGE + 1
    made.dispose()
    assert taken == ["primary key, in order", "ix_events_name, sorted"]


@pytest.mark.parametrize("after", [None, [2_000_000_000_000_000, 1]], ids=["first", "deep"])
def test_many_rows_with_one_key_are_not_sorted_for_a_page_of_them(sqlite_copy: str, after: list[Any] | None) -> None:
    """A load gives its rows one time of update, and the list has them in the order of their ids, also backwards."""
    made = create_engine(sqlite_copy)
    with Session(made) as session:
        session.execute(text("UPDATE events SET update_time = 1000000 + (id > 9990)"))
        work = SQLite(session).work(Asked(filter="", order_by="update_time desc", position=[]), after)
    made.dispose()
    assert work.amount < 5_000, work.steps


def test_postgresql_plans_a_list_of_many_ranges_for_a_page_also_if_it_plans_for_any_values(
    postgresql_events: str,
) -> None:
    """So it finds that one plan is as good for all pages. To plan each takes longer than to read it."""
    limits = [node["Plan Rows"] for node in plan_for_any_values(postgresql_events) if node["Node Type"] == "Limit"]
    assert limits
    assert max(limits) <= 2 * PAGE


def test_no_range_is_sorted_whole_to_be_merged_with_the_others(postgresql_events: str) -> None:
    """PostgreSQL prefers that for ranges of many rows, unless each is limited."""
    merges = [node for node in plan_for_any_values(postgresql_events) if node["Node Type"] == "Merge Append"]
    ranges = [each for node in merges for each in node["Plans"] if each["Node Type"] != "Merge Append"]
    assert ranges
    assert max(each["Plan Rows"] for each in ranges) <= 2 * PAGE


def plan_for_any_values(url: str) -> list[dict[str, Any]]:
    """Returns the steps of PostgreSQL's plan for a deep page of a list of many ranges."""
    engine = create_engine(url)
    with Session(engine) as session:
        driver = cast("Any", session.connection().connection.dbapi_connection)
        driver.prepare_threshold = 0
        driver.execute("SET plan_cache_mode = force_generic_plan")
        read_page(session, Asked(filter="", order_by="start_time", position=[]), [FIRST, 1])
        ((name, types),) = driver.execute(
            "SELECT name, parameter_types FROM pg_prepared_statements WHERE statement LIKE 'SELECT events.%'"
        ).fetchall()
        values = ", ".join("NULL" for _ in types)
        ((explained,),) = driver.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {name}({values})").fetchall()
    engine.dispose()
    return list(steps_of(explained[0]["Plan"]))


def steps_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields each step of a plan."""
    yield node
    for child in node.get("Plans", ()):
        yield from steps_of(child)
