"""The index of texts on a PostgreSQL that has pg_trgm: how it is made, and that it gives the answers of none."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import artemis_models
import psycopg
import pytest
from artemis_models import create_engine, text_index, upgrade
from artemis_server.db.events import EventStore
from artemis_server.db.listing.text_search import Search
from artemis_server.db.listing.trigram_paths import trigram_path
from artemis_server.db.statements import _DRIVER as DRIVER
from artemis_server.db.statements import Statement, driver_connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, Table, insert, text
from sqlalchemy.orm import Session

from tests.conftest import cloned
from tests.contrib import contrib_postgresql
from tests.storage.test_query_properties import TABLES, Filter, Row, has, owners, patterns, words
from tests.storage.test_query_properties import store as store_rows
from tests.tools import needs

pytestmark = needs("initdb")
STORE = EventStore()
EVENTS = cast("Table", artemis_models.Event.__table__)
STABLE = settings(max_examples=50, suppress_health_check=list(HealthCheck))
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_events_text')"
MISSING = "without an index, searches in text read all events"


@pytest.fixture(scope="module")
def contrib() -> Iterator[URL]:
    """The URL of the server."""
    with contrib_postgresql() as url:
        yield url


@pytest.fixture
def empty(contrib: URL) -> Iterator[Engine]:
    """A database without tables."""
    with cloned(contrib, "template1") as url:
        engine = create_engine(url.render_as_string(hide_password=False))
        yield engine
        engine.dispose()


def value(engine: Engine, statement: str) -> Any:
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).scalar()


def run(engine: Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="module")
def template(contrib: URL) -> Iterator[str]:
    """The name of a migrated database that no test opens."""
    with cloned(contrib, "template1") as url:
        engine = create_engine(url.render_as_string(hide_password=False))
        upgrade(engine)
        engine.dispose()
        yield str(url.database)


@pytest.fixture
def migrated(contrib: URL, template: str) -> Iterator[Engine]:
    """A migrated database."""
    with cloned(contrib, template) as url:
        engine = create_engine(url.render_as_string(hide_password=False))
        yield engine
        engine.dispose()


def test_migrate_makes_the_extension_and_the_index(migrated: Engine) -> None:
    assert value(migrated, VALID) is True
    assert text_index.lack(migrated) is None


def test_an_extension_in_a_schema_of_its_own_is_used(empty: Engine) -> None:
    run(empty, 'CREATE SCHEMA "of extensions"', 'CREATE EXTENSION pg_trgm SCHEMA "of extensions"')
    upgrade(empty)
    assert value(empty, VALID) is True


def test_an_index_that_was_not_finished_is_made_anew(migrated: Engine) -> None:
    run(migrated, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_events_text'::regclass")
    assert text_index.lack(migrated) == f"{MISSING}: the index ix_events_text is missing; run `migrate`"
    upgrade(migrated)
    assert value(migrated, VALID) is True


def test_an_index_that_was_not_analyzed_is_analyzed(migrated: Engine) -> None:
    """A build may be killed after the index, and before that."""
    run(
        migrated,
        "DELETE FROM pg_statistic WHERE starelid = 'ix_events_text'::regclass",
        "ALTER INDEX ix_events_text ALTER COLUMN 1 SET STATISTICS -1",
        f"INSERT INTO events (name, start_time, end_time, create_time, update_time) {ROBOTICS}",
    )
    upgrade(migrated)
    statistics = "SELECT attstattarget FROM pg_attribute WHERE attrelid = 'ix_events_text'::regclass"
    assert value(migrated, statistics) == text_index.STATISTICS
    assert value(migrated, "SELECT count(*) FROM pg_stats WHERE tablename = 'ix_events_text'") == 1


def test_a_user_who_may_not_make_the_extension_is_told_what_to_do(
    empty: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as later:
        run(empty, "CREATE ROLE artemis LOGIN", "GRANT ALL ON SCHEMA public TO artemis")
        later.callback(run, empty, "DROP OWNED BY artemis", "DROP ROLE artemis")
        user = create_engine(empty.url.set(username="artemis").render_as_string(hide_password=False))
        later.callback(user.dispose)
        upgrade(user)
        advice = f"{MISSING}: a superuser has to run CREATE EXTENSION pg_trgm in this database; then run `migrate`"
        assert advice in caplog.messages
        run(empty, "CREATE EXTENSION pg_trgm", "ALTER TABLE events OWNER TO postgres")
        upgrade(user)
        assert "the index ix_events_text cannot be made or analyzed: must be owner of table events" in caplog.messages
        run(empty, "ALTER TABLE events OWNER TO artemis")
        upgrade(user)
        assert value(empty, VALID) is True


@pytest.fixture
def session(migrated: Engine) -> Iterator[Session]:
    """One transaction, of which nothing is kept, and whose statements use an index if one can be used."""
    with Session(migrated) as session:
        session.execute(insert(artemis_models.User), owners())
        session.execute(text("SET LOCAL enable_seqscan = off"))
        yield session


@st.composite
def parts(draw: st.DrawFn) -> tuple[str, str]:
    """Returns a text, and a part of it or another one."""
    whole = draw(st.text("roboRO%_\\é\u0301😀 -", min_size=3, max_size=12))
    start = draw(st.integers(0, len(whole) - 3))
    part = draw(st.sampled_from([whole[start : start + 5], whole.swapcase()]))
    return whole, part


@STABLE
@given(rows=TABLES, drawn=parts(), searched=words() | has() | patterns())
def test_the_index_changes_no_answer(
    session: Session, rows: list[Row], drawn: tuple[str, str], searched: Filter
) -> None:
    whole, part = drawn
    rows[0]["name"] = whole
    store_rows(session, rows)
    quoted = part.replace("\\", "\\\\")
    for each in (searched, Filter(f'name:"{quoted}"', lambda row: part in row["name"])):
        found = STORE.query(each.text, "").scan(session, after=None, limit=1000)
        assert sorted(row["id"] for row in rows if each.holds(row)) == [row[0] for row in chain.from_iterable(found)]


@STABLE
@given(drawn=parts())
def test_marks_are_those_of_the_database_and_keep_parts(session: Session, drawn: tuple[str, str]) -> None:
    whole, part = drawn
    rows = session.execute(
        text(f"SELECT {text_index.MARKED} FROM (SELECT :name AS name, '' AS description, '' AS location) AS event"),  # noqa: S608
        {"name": whole},
    )
    assert rows.scalar_one() == f"{text_index.marked(whole)}  "
    assert part not in whole or text_index.marked(part) in text_index.marked(whole)


def test_a_search_looks_at_no_event_that_has_the_text_in_other_letters(session: Session) -> None:
    """pg_trgm itself has no regard to case."""
    session.execute(text("INSERT INTO events (name, start_time, end_time, create_time, update_time) " + ROBOTICS))
    found = {name: candidates(session, name) for name in ("Robotics", "robotics", "ROBOTICS", "obotics")}
    assert found == {"Robotics": 20, "robotics": 0, "ROBOTICS": 0, "obotics": 20}


ROBOTICS = "SELECT 'Robotics course ' || n, 0, 0, 0, 0 FROM generate_series(1, 20) AS n"


def candidates(session: Session, name: str) -> int:
    """Returns how many events the index finds for a text in names."""
    path = trigram_path((), (Search(("name",), name),))
    (found,) = Statement(path.count(EVENTS)).first(session, {**path.values({}, None), "max_rows": 100}) or (0,)
    return int(found)


@pytest.mark.parametrize("field", text_index.COLUMNS)
def test_a_search_uses_the_index(session: Session, field: str) -> None:
    """The plans are those of the statements that the server sends, of which the first asks for a plan itself."""
    sent: list[str] = []
    driver = cast("psycopg.Connection[Any]", driver_connection(session))

    def execute(sql: str, values: Sequence[Any], **options: Any) -> Any:
        if "regexp_replace" not in sql:
            return driver.execute(sql, values, **options)  # a look at the next rows
        assert options == {"prepare": False}  # the plan is for this text, also after many others
        if not sql.startswith("EXPLAIN"):
            sent.append(str(driver.execute(f"EXPLAIN {sql}", values).fetchall()))
        return driver.execute(sql, values)

    session.info[DRIVER] = SimpleNamespace(execute=execute), session.connection().dialect
    assert list(STORE.query(f'{field}:"Robotics"', "").scan(session, after=None, limit=1)) == []
    assert ["Bitmap Index Scan on ix_events_text" in plan for plan in sent] == [True]
