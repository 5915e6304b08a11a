"""Migrations that come after the newest one: each test adds one to a copy, and runs it on a database that is in use."""

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest
from artemis_loader.config.reader import read_config
from artemis_loader.loading import Options, load
from artemis_loader.report.progress import LogReporter
from artemis_loader.summary import Status
from artemis_models import DatabaseError, create_engine, head_revision, revisions, upgrade, upgrade_sql
from artemis_models.migrations.locks import Patience
from sqlalchemy import Connection, Engine

from tests.e2e.loaders import Loader
from tests.e2e.servers import PATIENCE
from tests.e2e.test_postgresql import eventually

Add = Callable[..., str]
HASTY = Patience(timeout=0.05, attempts=2, pause=0.0)
STUBBORN = Patience(timeout=0.05, attempts=1000, pause=0.0)
COLUMN = "op.execute(\"ALTER TABLE events ADD COLUMN url TEXT DEFAULT '' NOT NULL\")"
INDEX = 'steps.create_index("ix_events_location", "events", ["location", "id"])'
BATCHES = (
    'steps.update_in_batches("events", "UPDATE events SET location = name WHERE id BETWEEN :first AND :last'
    " AND location = ''\", size=2)"
)
MIGRATION = '''"""{name}.

Revision ID: {revision}
Revises: {before}
"""

from alembic import op
from artemis_models.migrations import steps

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
{declared}


def upgrade() -> None:
    """Change the schema."""
    {body}
'''


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Adds a migration to those that this program knows, until the end of the test, and returns its revision."""
    folder = tmp_path / "migrations"
    shutil.copytree(revisions.FOLDER, folder)
    monkeypatch.setattr(revisions, "FOLDER", folder)

    def make(body: str, declared: str = 'oldest_revision = "0009"', name: str = "Later") -> str:
        before = head_revision()
        revision = f"{int(before) + 1:04}"
        text = MIGRATION.format(name=name, revision=revision, before=before, declared=declared, body=body)
        (folder / "versions" / f"{revision}_later.py").write_text(text, encoding="utf-8")
        revisions.migrations.cache_clear()
        return revision

    yield make
    revisions.migrations.cache_clear()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a database of the newest revision that has five events."""
    made = create_engine(database_url)
    with made.begin() as connection:
        for number in range(5):
            insert(connection, f"event {number}")
    yield made
    made.dispose()


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Engine]:
    """An engine on a database of the newest revision that has two events."""
    made = create_engine(postgresql_url)
    with made.begin() as connection:
        insert(connection, "first")
        insert(connection, "second")
    yield made
    made.dispose()


@pytest.fixture
def warnings() -> Iterator[SimpleQueue[str]]:
    """The warnings about locks, as they come."""
    lines: SimpleQueue[str] = SimpleQueue()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.put(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("artemis_models.migrations.locks")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def insert(connection: Connection, name: str) -> None:
    connection.exec_driver_sql(
        "INSERT INTO events (name, start_time, end_time, create_time, update_time)"  # noqa: S608, names of this test
        f" VALUES ('{name}', 0, 0, 0, 0)"
    )


def oldest(engine: Engine) -> object:
    return values(engine, "SELECT oldest_revision FROM schema_compatibility")[0]


def values(engine: Engine, statement: str) -> list[object]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(statement).scalars())


@pytest.mark.parametrize("declared", ["", "in_transaction = False"], ids=["transaction", "steps"])
def test_a_migration_raises_the_row_to_what_it_declares_and_never_lowers_it(
    engine: Engine, add: Add, declared: str
) -> None:
    raising = add("pass", f"oldest_revision = revision\n{declared}")
    assert upgrade(engine) == raising
    assert oldest(engine) == raising
    lower = add("pass", f'oldest_revision = "0009"\n{declared}')
    assert upgrade(engine) == lower
    assert oldest(engine) == raising


def test_a_migration_that_declares_nothing_is_named_and_changes_nothing(engine: Engine, add: Add) -> None:
    before = head_revision()
    revision = add(COLUMN, declared="")
    with pytest.raises(ValueError, match=rf"{revision}_later.py must declare oldest_revision"):
        upgrade(engine)
    assert values(engine, "SELECT version_num FROM alembic_version") == [before]


def test_each_revision_is_a_line_of_the_log(engine: Engine, add: Add, caplog: pytest.LogCaptureFixture) -> None:
    before = head_revision()
    revision = add("pass", name="Add nothing")
    with caplog.at_level(logging.INFO, "artemis_models"):
        upgrade(engine)
    # The wheel's PostgreSQL has no pg_trgm, which has a line of its own.
    assert [record.getMessage() for record in caplog.records if record.module == "migrate"] == [
        f"revision {revision} of {revision}: Add nothing.",
        f"migrated the schema from revision {before} to {revision}",
    ]


def test_the_printed_statements_are_those_of_the_migration(engine: Engine, add: Add) -> None:
    revision = add(COLUMN, "oldest_revision = revision")
    raised = f"SET oldest_revision = '{revision}' WHERE oldest_revision < '{revision}'"
    add(INDEX, 'oldest_revision = "0009"\nin_transaction = False')
    add(BATCHES, 'oldest_revision = "0009"\nin_transaction = False')
    printed = upgrade_sql(engine)
    begin, _, rest = printed.partition("COMMIT;")
    assert raised in begin
    assert "ADD COLUMN url" in begin
    assert ("SET LOCAL lock_timeout = '1000ms'" in begin) is (engine.dialect.name == "postgresql")
    assert ("CREATE INDEX CONCURRENTLY" in rest) is (engine.dialect.name == "postgresql")
    assert f"BETWEEN 0 AND {2**63 - 1}" in rest
    assert "BEGIN" not in rest


def test_the_loader_of_this_release_works_on_a_newer_schema_until_the_row_is_raised(
    engine: Engine, database_url: str, add: Add, tmp_path: Path
) -> None:
    """Its programs are other processes, which know no migration of this test."""
    loader = Loader(tmp_path, database_url)
    add(COLUMN)
    upgrade(engine)
    loader.load()
    loader.publish(3, "Second")
    loader.load()
    assert loader.state() == {"Second": 3}
    raising = add("pass", "oldest_revision = revision")
    upgrade(engine)
    refused = loader.run("load")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert f"needs programs of revision {raising} or newer" in refused.stderr


def test_a_loader_that_runs_loads_no_more_when_the_row_is_raised(engine: Engine, tmp_path: Path) -> None:
    feed = read_config(Loader(tmp_path, "").folder / "feeds.toml").feeds["talks"]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE schema_compatibility SET oldest_revision = '9999'")
    summary = load(engine, feed, Options(), LogReporter())
    assert (summary.status, summary.error.endswith("install the newer version")) == (Status.FAILED, True)


def test_an_update_in_batches_changes_every_row(engine: Engine, add: Add, caplog: pytest.LogCaptureFixture) -> None:
    add(BATCHES, 'oldest_revision = "0009"\nin_transaction = False\nsteps.PROGRESS = 0.0')
    with caplog.at_level(logging.INFO, "artemis_models.migrations.steps"):
        upgrade(engine)
    assert values(engine, "SELECT location FROM events ORDER BY id") == [f"event {number}" for number in range(5)]
    assert [record.getMessage() for record in caplog.records if record.module == "steps"] == [
        f"updating events: {share} % of the ids are done" for share in (0, 40, 80)
    ]


def test_a_migration_that_does_not_get_its_lock_lets_the_others_go_on_and_comes_back(
    postgresql: Engine, add: Add, warnings: SimpleQueue[str]
) -> None:
    revision = add(COLUMN)
    with ThreadPoolExecutor() as pool, postgresql.connect() as reader:
        reader.exec_driver_sql("SELECT * FROM events")  # its transaction stays open
        migrated = pool.submit(upgrade, postgresql, STUBBORN)
        for _ in range(3):
            assert warnings.get(timeout=PATIENCE).startswith(f"the migration to revision {revision} does not get its")
            with postgresql.begin() as connection:
                insert(connection, "meanwhile")
        assert not migrated.done()
        reader.rollback()
        assert revision == migrated.result(PATIENCE)
    assert values(postgresql, "SELECT DISTINCT url FROM events") == [""]


def test_a_migration_that_never_gets_its_lock_ends_with_one_line_and_can_be_run_again(
    postgresql: Engine, add: Add
) -> None:
    before = head_revision()
    revision = add(COLUMN)
    with postgresql.connect() as reader:
        process = reader.exec_driver_sql("SELECT pg_backend_pid() FROM events").scalar()
        with pytest.raises(DatabaseError) as failed:
            upgrade(postgresql, HASTY)
    assert re.fullmatch(
        f"the migration to revision {revision} did not get its locks in 2 attempts: run `migrate` again"
        rf"; process {process} \(artemis\) has a transaction open for \d+ s",
        str(failed.value),
    )
    assert values(postgresql, "SELECT version_num FROM alembic_version") == [before]
    assert upgrade(postgresql, HASTY) == revision


def test_an_index_is_built_beside_writes_in_the_place_of_one_that_a_crash_left(postgresql: Engine, add: Add) -> None:
    with postgresql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, pytest.raises(Exception):  # noqa: B017, PT011
        connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY ix_events_location ON events (location)")
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_events_location'::regclass"
    building = (
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%% INDEX CONCURRENTLY %%' AND wait_event_type = 'Lock'"
    )
    assert values(postgresql, valid) == [False]
    revision = add(INDEX, 'oldest_revision = "0009"\nin_transaction = False')

    with ThreadPoolExecutor() as pool, postgresql.connect() as writer:
        insert(writer, "in a long transaction")  # which the index waits for
        migrated = pool.submit(upgrade, postgresql, HASTY)
        eventually(lambda: bool(values(postgresql, building)) or migrated.done())
        with postgresql.begin() as connection:
            insert(connection, "meanwhile")
        assert not migrated.done()
        writer.commit()
        assert revision == migrated.result(PATIENCE)
    assert values(postgresql, valid) == [True]


def test_a_batch_that_waits_for_a_row_lets_the_others_go_on_and_comes_back(
    postgresql: Engine, add: Add, warnings: SimpleQueue[str]
) -> None:
    revision = add(BATCHES, 'oldest_revision = "0009"\nin_transaction = False')
    with ThreadPoolExecutor() as pool, postgresql.connect() as writer:
        writer.exec_driver_sql("UPDATE events SET category = 'x' WHERE name = 'second'")
        migrated = pool.submit(upgrade, postgresql, STUBBORN)
        assert "the update of events from id 1 does not get its locks" in warnings.get(timeout=PATIENCE)
        with postgresql.begin() as connection:
            connection.exec_driver_sql("UPDATE events SET category = 'y' WHERE name = 'first'")
        writer.commit()
        assert revision == migrated.result(PATIENCE)
    assert values(postgresql, "SELECT location FROM events ORDER BY id") == ["first", "second"]
