"""Upgrades: from nothing and from every past revision, once, by whoever comes first, or not at all."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_models import DatabaseError, check_revision, create_engine, current_revision, head_revision, upgrade
from artemis_server.db import etags, secrets
from artemis_server.db.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tests.storage.samples import new_event, new_user

FROZEN = Path(__file__).parent / "frozen"
REVISIONS = sorted(path.stem for path in FROZEN.glob("*.sql"))
EVENTS, USERS = EventStore(), UserStore()
UPGRADER = """
import sys
from artemis_models import create_engine, upgrade

engine = create_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade(engine)
"""


def micros(value: int) -> Timestamp:
    seconds, rest = divmod(value, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


FROZEN_USERS = [
    User(
        id=1,
        email="Ada@Example.com",
        first_name="Ada",
        last_name="Lovelace",
        create_time=micros(1767225600000001),
        update_time=micros(1767225600000002),
        etag=etags.from_version(3),
    ),
    User(
        id=2,
        email="grace@example.com",
        first_name="Grace",
        last_name="O'Hopper",
        source="staff",
        external_id="g-1",
        create_time=micros(1767225600000003),
        update_time=micros(1767225600000003),
        etag=etags.from_version(1),
    ),
]
FROZEN_EVENTS = [
    Event(
        id=1,
        name="Première 🎉",
        description='It\'s "quoted"; -- and\nof two lines',
        category="party",
        location="京都",
        publisher="Release team",
        start_time=Timestamp(seconds=-62135596800),
        end_time=Timestamp(seconds=253402300799, nanos=999_999_000),
        owner_id=1,
        create_time=micros(1767225600000005),
        update_time=micros(1767225600000009),
        etag=etags.from_version(5),
    ),
    Event(
        id=2,
        name="At the epoch",
        start_time=Timestamp(),
        end_time=Timestamp(),
        source="feed",
        external_id="x-1",
        create_time=micros(1767225600000006),
        update_time=micros(1767225600000006),
        etag=etags.from_version(1),
    ),
]
"""What is in every frozen database."""
NEWEST_USER, NEWEST_EVENT = 7, 9
"""Ids that were given out before the database was frozen, and whose rows were deleted."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where there is no database yet."""
    return tmp_path / "artemis.db"


@pytest.fixture
def fresh(path: Path) -> Engine:
    """An engine on that."""
    return create_engine(f"sqlite:///{path}")


def revision_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return current_revision(connection)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def thaw(path: Path, revision: str) -> None:
    """Makes the database that was frozen at the revision."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FROZEN / f"{revision}.sql").read_text(encoding="utf-8"))


def test_an_empty_file_is_brought_to_the_newest_revision(fresh: Engine) -> None:
    assert revision_of(fresh) is None
    upgrade(fresh)
    assert head_revision() == revision_of(fresh)
    check_revision(fresh)


def test_upgrading_again_changes_nothing(path: Path, fresh: Engine) -> None:
    upgrade(fresh)
    before = dump(path)
    upgrade(fresh)
    assert before == dump(path)


def test_every_database_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = set()
    for name in ("one", "other"):
        engine = create_engine(f"sqlite:///{tmp_path}/{name}.db")
        upgrade(engine)
        database = Database(engine)
        keys.add(database.read(secrets.page_token_key))
        database.close()
    assert [len(key) for key in keys] == [32, 32]


def test_a_database_without_tables_says_what_to_run(fresh: Engine) -> None:
    with pytest.raises(DatabaseError, match=r"revision none.*needs .*artemis-server migrate"):
        check_revision(fresh)


def test_processes_that_upgrade_one_fresh_file_at_once_all_succeed(path: Path, fresh: Engine) -> None:
    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", UPGRADER, f"sqlite:///{path}"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    processes = [start(), start()]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]

    assert [code for _, code in outcomes] == [0, 0], outcomes
    check_revision(fresh)


def test_a_newer_revision_is_refused_and_left_alone(path: Path, fresh: Engine) -> None:
    upgrade(fresh)
    with fresh.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = dump(path)
    for use in (upgrade, check_revision):
        with pytest.raises(DatabaseError, match="9999, which is newer than this program's"):
            use(fresh)
    assert before == dump(path)


def test_an_upgrade_that_fails_changes_nothing(path: Path, fresh: Engine) -> None:
    with fresh.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE events (somebody_elses TEXT)")
    before = dump(path)
    with pytest.raises(OperationalError, match="already exists"):
        upgrade(fresh)
    assert before == dump(path)


def test_a_folder_that_is_missing_is_a_database_error(tmp_path: Path) -> None:
    with pytest.raises(OperationalError):
        upgrade(create_engine(f"sqlite:///{tmp_path}/missing/artemis.db"))


def test_the_newest_revision_is_frozen_too() -> None:
    assert head_revision() in REVISIONS


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_frozen_database_is_of_its_revision(path: Path, fresh: Engine, revision: str) -> None:
    thaw(path, revision)
    assert revision == revision_of(fresh)


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_keeps_the_data(path: Path, fresh: Engine, revision: str) -> None:
    thaw(path, revision)
    upgrade(fresh)
    check_revision(fresh)
    database = Database(fresh)
    try:
        users = [database.read(partial(USERS.get, row_id=user.id)) for user in FROZEN_USERS]
        events = [database.read(partial(EVENTS.get, row_id=event.id)) for event in FROZEN_EVENTS]
        key = database.read(secrets.page_token_key)
    finally:
        database.close()
    assert users == FROZEN_USERS
    assert events == FROZEN_EVENTS
    assert key == bytes(range(32)), "tokens that were given out stay valid"


def rows_of(path: Path) -> dict[str, list[dict[str, object]]]:
    """Returns every row of every table by the names of its columns."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = [row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in tables}  # noqa: S608


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_keeps_every_row_of_every_table(path: Path, fresh: Engine, revision: str) -> None:
    thaw(path, revision)
    before = rows_of(path)
    upgrade(fresh)
    after = rows_of(path)
    for table in before.keys() - {"alembic_version"}:
        kept = [{name: row[name] for name in old} for old, row in zip(before[table], after[table], strict=True)]
        assert before[table] == kept, table


@pytest.mark.parametrize("revision", REVISIONS)
def test_after_an_upgrade_ids_are_still_not_reused(path: Path, fresh: Engine, revision: str) -> None:
    thaw(path, revision)
    upgrade(fresh)
    database = Database(fresh)
    try:
        user = database.write(partial(USERS.create, message=new_user()))
        event = database.write(partial(EVENTS.create, message=new_event(owner_id=user.id)))
    finally:
        database.close()
    assert user.id > NEWEST_USER
    assert event.id > NEWEST_EVENT


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgraded_database_has_the_schema_of_a_fresh_one(tmp_path: Path, fresh: Engine, revision: str) -> None:
    upgrade(fresh)
    thaw(tmp_path / "old.db", revision)
    old = create_engine(f"sqlite:///{tmp_path}/old.db")
    upgrade(old)
    statement = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    with fresh.connect() as one, old.connect() as other:
        assert one.exec_driver_sql(statement).all() == other.exec_driver_sql(statement).all()
