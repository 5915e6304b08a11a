"""SQLite alone: how connections are set up, and the errors that a caller gets for its failures."""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from artemis.v1.events_pb2 import Event
from artemis_models import DatabaseError, check_revision, create_engine, describe
from artemis_models import sqlite as models_sqlite
from artemis_server.db.connection import sessions, sqlite_writer
from artemis_server.db.connection.database import Database
from artemis_server.db.connection.turn import SharedTurn
from artemis_server.db.events import EventStore
from artemis_server.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.storage.conftest import PATIENCE, Queueing
from tests.storage.samples import Waiting, new_event

STORE = EventStore()
ALL = STORE.query("", "")
LARGE = new_event(description="x" * 8192)
JOURNAL_LIMIT = 64 * 2**20
LARGEST_FILE = 1_073_741_823
"""The pages that a file may have if nobody sets a limit."""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite alone."""
    return sqlite_url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections wait for a lock a moment only."""
    monkeypatch.setitem(models_sqlite.SQLITE_PRAGMAS, "busy_timeout", 20)


def pragma(session: Session, name: str) -> object:
    return session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()


def limit_pages(database: Database, pages: int) -> None:
    """Lets the writer's file have so many pages; SQLite takes 1 for those that it has."""
    database.write(partial(pragma, name=f"max_page_count = {pages}"))


def create(database: Database) -> Event:
    return database.write(partial(STORE.create, message=new_event()))


def count(database: Database) -> int:
    def work(session: Session) -> int:
        return sum(len(chunk) for chunk in ALL.scan(session, after=None, limit=1000))

    return database.read(work)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the write lock, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


PRAGMAS = [
    ("journal_mode", "wal"),
    ("synchronous", 2),
    ("foreign_keys", 1),
    ("journal_size_limit", JOURNAL_LIMIT),
    ("busy_timeout", 5000),
]


@pytest.mark.parametrize(("name", "expected"), PRAGMAS)
def test_readers_are_set_up(database: Database, name: str, expected: object) -> None:
    assert expected == database.read(partial(pragma, name=name))


@pytest.mark.parametrize(("name", "expected"), [*PRAGMAS[:-1], ("busy_timeout", 100)])
def test_the_writer_is_set_up(database: Database, name: str, expected: object) -> None:
    assert expected == database.write(partial(pragma, name=name))


def test_a_writer_waits_for_a_lock_for_longer_than_sqlite_does(database: Database, sqlite_file: Path) -> None:
    """SQLite waits for a moment at a time, so that the writer sees who still waits for it."""
    with ThreadPoolExecutor(1) as executor:
        with locked(sqlite_file):
            call = executor.submit(create, database)
            with pytest.raises(TimeoutError):
                call.result(0.2)
        assert call.result(PATIENCE).id


def test_a_write_that_waits_for_a_lock_ends_with_the_server(database: Database, sqlite_file: Path) -> None:
    with ThreadPoolExecutor(2) as executor, locked(sqlite_file):
        calls = [executor.submit(create, database) for _ in range(2)]
        database.interrupt()
        for call in calls:
            error = call.exception(PATIENCE)
            assert isinstance(error, Unavailable)
            assert error.reason == "SHUTTING_DOWN"


def test_busy_timeout_is_set_first_so_that_the_others_can_wait() -> None:
    assert next(iter(models_sqlite.SQLITE_PRAGMAS)) == "busy_timeout"


@pytest.mark.usefixtures("impatient")
def test_a_write_begins_with_the_write_lock(engine: Engine, database: Database) -> None:
    def begin_another(_: Session) -> None:
        with engine.begin():
            pytest.fail("two transactions at once")

    with pytest.raises(Unavailable, match="another process holds the database"):
        database.write(begin_another)


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_another_process_keeps_is_unavailable(sqlite_file: Path, database: Database) -> None:
    with locked(sqlite_file), pytest.raises(Unavailable) as caught:
        create(database)
    assert caught.value.reason == "DATABASE_BUSY"
    assert create(database).id > 0, "the lock is free again"
    assert count(database) == 1


@pytest.mark.usefixtures("impatient")
def test_readers_read_while_another_process_writes(sqlite_file: Path, database: Database) -> None:
    created = create(database)
    with locked(sqlite_file):
        assert created == database.read(partial(STORE.get, row_id=created.id))


def test_a_full_disk_is_resource_exhausted(database: Database) -> None:
    limit_pages(database, 1)
    with pytest.raises(ResourceExhausted) as caught:
        database.write(partial(STORE.create, message=LARGE))
    assert caught.value.reason == "STORAGE_FULL"


def test_a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_space(database: Database) -> None:
    created = create(database)
    limit_pages(database, 1)
    with pytest.raises(Exception, match=r"full|space"):
        database.write(partial(STORE.create, message=LARGE))
    assert created == database.read(partial(STORE.get, row_id=created.id))
    limit_pages(database, LARGEST_FILE)
    assert database.write(partial(STORE.create, message=LARGE)).id > created.id
    assert count(database) == 2


def test_what_does_not_fit_on_the_disk_does_not_hurt_its_neighbours(database: Database, queueing: Queueing) -> None:
    """Either the neighbours are committed, or they are told that they are not."""
    limit_pages(database, 1)
    small = partial(STORE.create, message=new_event())
    before, large, after = queueing.group(small, partial(STORE.create, message=LARGE), small)
    assert isinstance(large.exception(), ResourceExhausted)
    stored = count(database)
    assert stored == sum(each.exception() is None for each in (before, after))


def test_a_database_that_cannot_be_written_is_unavailable(database: Database) -> None:
    def refuse_writes(session: Session) -> None:
        session.connection().exec_driver_sql("PRAGMA query_only = on").close()

    with pytest.raises(Unavailable) as caught:
        database.write(refuse_writes)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"


@pytest.mark.parametrize("use", [count, create], ids=["reading", "writing"])
def test_a_schema_that_lost_a_table_is_unavailable(
    sqlite_file: Path, database: Database, use: Callable[[Database], object]
) -> None:
    with closing(sqlite3.connect(sqlite_file)) as other:
        other.execute("DROP TABLE events")
    with pytest.raises(Unavailable) as caught:
        use(database)
    assert caught.value.reason == "SCHEMA_MISMATCH"


def test_a_reader_of_a_broken_file_is_told_so_without_the_drivers_words(sqlite_file: Path, database: Database) -> None:
    database.close()
    sqlite_file.write_bytes(b"not a database" * 1000)
    broken = Database(create_engine(f"sqlite:///{sqlite_file}"))
    try:
        with pytest.raises(Unavailable) as caught:
            count(broken)
        assert "file is not" not in caught.value.message
    finally:
        broken.close()


def connection_of(session: Session) -> Any:
    return session.connection().connection.dbapi_connection


def test_the_writer_keeps_its_connection_while_only_work_fails(database: Database, queueing: Queueing) -> None:
    first = database.write(connection_of)
    small = partial(STORE.create, message=new_event())
    queueing.group(small, partial(STORE.create, message=new_event(owner_id=404)), small)
    assert first is database.write(connection_of)


@pytest.mark.parametrize("sql", ["ROLLBACK", "SELECT 1 FROM missing"])
def test_the_writer_has_a_new_connection_after_the_database_failed(database: Database, sql: str) -> None:
    first = database.write(connection_of)
    with pytest.raises(Unavailable):
        database.write(lambda session: session.connection().exec_driver_sql(sql))
    assert first is not database.write(connection_of)


def test_the_writer_has_a_new_connection_after_the_last_one_was_closed(database: Database) -> None:
    def close(session: Session) -> None:
        connection_of(session).close()

    with pytest.raises(Exception, match="closed"):
        database.write(close)
    assert create(database).id > 0


def test_close_closes_every_connection(engine: Engine, sqlite_file: Path) -> None:
    opened: list[sqlite3.Connection] = []
    event.listen(engine, "connect", lambda connection, _: opened.append(connection))
    database = Database(engine)
    create(database)
    count(database)
    create(database)
    database.close()

    assert len(opened) > 1, "a reader's and the writer's"
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert not sqlite_file.with_name(f"{sqlite_file.name}-wal").exists(), "the last one to leave merges the log"


def test_opening_a_fresh_file_waits_for_a_process_that_is_writing_it(tmp_path: Path) -> None:
    """As when two processes upgrade a new file: the change to WAL does not heed busy_timeout by itself."""
    path = tmp_path / "fresh.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        releasing = Timer(0.2, other.execute, ["ROLLBACK"])
        releasing.start()
        try:
            create_engine(f"sqlite:///{path}").connect().close()
        finally:
            releasing.join()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="in-memory"):
        create_engine(url)


@pytest.mark.parametrize(
    "url", ["", "artemis.db", "://", "/var/lib/artemis.db", "sqlite:artemis.db", "sqlite://host:abc/a.db"]
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="malformed"):
        create_engine(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://host/a.db",
        "sqlite://user@/a.db",
        "sqlite:///a.db?timeout=abc",
        "sqlite:///file::memory:?uri=true",
        "sqlite:////a%00.db",
    ],
)
def test_a_url_with_more_than_a_path_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="a path and nothing else"):
        create_engine(url)


@pytest.mark.parametrize("url", ["mysql://localhost/a", "oracle+nothing://x", "sqlite+aiosqlite:///a.db", "nosql://x"])
def test_another_engine_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError):
        create_engine(url)


def test_a_refused_url_does_not_show_its_password() -> None:
    for url in ("mysql://ada:secret@localhost/a", "nosql://ada:secret@x", "ada:secret@localhost/x"):
        with pytest.raises(DatabaseError) as caught:
            create_engine(url)
        assert "secret" not in str(caught.value)


def test_a_file_in_a_folder_that_is_missing_is_described(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/missing/artemis.db")
    with pytest.raises(OperationalError) as caught:
        engine.connect()
    text = describe(caught.value, engine)
    assert f"the folder {tmp_path}/missing does not exist" in text
    assert "\n" not in text


def test_an_error_is_described_in_one_line_without_sql(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(OperationalError) as caught:
        connection.exec_driver_sql("SELECT secret FROM nowhere")
    text = describe(caught.value, engine)
    assert "no such table: nowhere" in text
    assert "SELECT" not in text
    assert "\n" not in text


@pytest.mark.acceptance
def test_the_log_shrinks_again_after_a_long_reader(database: Database, sqlite_file: Path) -> None:
    """While a reader keeps its snapshot, the log grows with every write; the next writes after it cut it back."""
    log = sqlite_file.with_name(f"{sqlite_file.name}-wal")
    with closing(sqlite3.connect(sqlite_file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        for _ in range(9):
            database.write(lambda session: create_large(session, 1000))
        assert log.stat().st_size > JOURNAL_LIMIT
        reader.execute("COMMIT")

    for _ in range(2):
        database.write(lambda session: create_large(session, 1))

    assert log.stat().st_size <= JOURNAL_LIMIT


def create_large(session: Session, count: int) -> None:
    STORE.create_many(session, [new_event(description="x" * 8192)] * count)


def test_reading_only_leaves_no_file_beside_the_database(engine: Engine, sqlite_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "backup" / "artemis.db"
    copy.parent.mkdir()
    engine.dispose()
    shutil.copy(sqlite_file, copy)

    check_revision(create_engine(f"sqlite:///{copy}", read_only=True))

    assert [copy] == list(copy.parent.iterdir())


def test_reading_only_sees_what_the_log_alone_has(database: Database, sqlite_file: Path) -> None:
    create(database)
    reading = create_engine(f"sqlite:///{sqlite_file}", read_only=True)

    with reading.execution_options(artemis_autocommit=True).connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 1


def test_new_ids_come_after_those_of_a_table_whose_sequence_was_lost(database: Database, sqlite_file: Path) -> None:
    """As after a restore from a dump that lacks `sqlite_sequence`, or has an old one."""
    for lose in ("DELETE FROM sqlite_sequence", "UPDATE sqlite_sequence SET seq = 1"):
        last = create(database).id
        with closing(sqlite3.connect(sqlite_file)) as connection:
            connection.execute(lose)
            connection.commit()

        database.write(lambda session: create_large(session, 2))

        with closing(sqlite3.connect(sqlite_file)) as connection:
            made = [row_id for (row_id,) in connection.execute("SELECT id FROM events WHERE id > ?", (last,))]
            assert connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone() == (last + 2,)
        assert made == [last + 1, last + 2]
        assert create(database).id == last + 3


SLOW = text(
    "WITH RECURSIVE number(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM number WHERE x < 1000000000) "
    "SELECT count(*) FROM number WHERE instr(:text, :part || x) > 0"
)
"""One step of SQLite takes milliseconds here, so the steps between two looks at a clock would take minutes."""


ENDLESS = text(
    "WITH RECURSIVE number(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM number WHERE x < 1000000000) "
    "SELECT count(*) FROM events, number"
)
"""A statement that holds a snapshot."""


def test_a_statement_of_slow_steps_ends_at_its_deadline(database: Database) -> None:
    before = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        database.read(lambda session: session.scalar(SLOW, {"text": "a" * 30_000, "part": "a" * 1000}), Waiting(0.1))
    assert time.monotonic() - before < PATIENCE


def look_at_small_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the writer cut the write-ahead log at 1 MiB, after any commit."""
    monkeypatch.setattr(sqlite_writer, "MAX_WAL", 2**20)
    monkeypatch.setattr(sqlite_writer, "_COMMITS_PER_LOOK", 1)


def test_a_long_read_does_not_keep_the_log_from_being_cut(
    database: Database, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at_small_logs(monkeypatch)
    monkeypatch.setattr(sessions, "MAX_HOLD", 0.0)
    create(database)
    reading = threading.Event()

    def read_for_ever(session: Session) -> None:
        reading.set()
        session.scalar(ENDLESS)

    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(database.read, read_for_ever)
        assert reading.wait(PATIENCE)
        database.write(lambda session: create_large(session, 500))
        error = call.exception(PATIENCE)
    assert isinstance(error, Unavailable)
    assert error.reason == "SNAPSHOT_ENDED"
    database.write(lambda session: create_large(session, 1))
    assert sqlite_file.with_name(f"{sqlite_file.name}-wal").stat().st_size <= 2**20


def test_a_long_read_of_another_worker_does_not_keep_the_log_from_being_cut(
    engine: Engine, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two databases stand for the two processes, which share the memory of a turn."""
    look_at_small_logs(monkeypatch)
    monkeypatch.setattr(sessions, "MAX_HOLD", 0.0)
    turn, reading = SharedTurn(), threading.Event()

    def read_for_ever(session: Session) -> None:
        reading.set()
        session.scalar(ENDLESS)

    with (
        ThreadPoolExecutor(1) as executor,
        closing(Database(engine, turn)) as writer,
        closing(Database(create_engine(f"sqlite:///{sqlite_file}"), turn)) as reader,
    ):
        create(writer)
        call = executor.submit(reader.read, read_for_ever)
        assert reading.wait(PATIENCE)
        writer.write(lambda session: create_large(session, 500))
        error = call.exception(PATIENCE)
        assert isinstance(error, Unavailable)
        assert error.reason == "SNAPSHOT_ENDED"


@contextmanager
def held(turn: SharedTurn) -> Iterator[None]:
    """Has the turn in another process."""
    program = f"import fcntl, sys; fcntl.lockf({turn._file}, fcntl.LOCK_EX, 1, 0); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[turn._file]) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
        holder.communicate()


@pytest.mark.usefixtures("impatient")
def test_a_write_waits_for_its_turn_and_no_longer_than_for_the_lock(engine: Engine) -> None:
    turn = SharedTurn()
    with closing(Database(engine, turn)) as database, held(turn):
        with pytest.raises(Unavailable) as caught:
            create(database)
        assert caught.value.reason == "DATABASE_BUSY"
        with pytest.raises(DeadlineExceeded):
            database.write(partial(STORE.create, message=new_event()), Waiting(0.0))


def test_a_write_that_waits_for_its_turn_ends_with_the_server_and_gets_it_from_a_process_that_ended(
    engine: Engine,
) -> None:
    turn = SharedTurn()
    with ThreadPoolExecutor(1) as executor, closing(Database(engine, turn)) as database:
        with held(turn):
            call = executor.submit(create, database)
        assert call.result(PATIENCE).id
        with held(turn):
            call = executor.submit(create, database)
            database.interrupt()
            error = call.exception(PATIENCE)
            assert isinstance(error, Unavailable)
            assert error.reason == "SHUTTING_DOWN"


def test_a_turn_is_not_kept_while_another_process_holds_the_lock(engine: Engine, sqlite_file: Path) -> None:
    turn = SharedTurn()
    with ThreadPoolExecutor(1) as executor, closing(Database(engine, turn)) as database:
        with locked(sqlite_file):
            call = executor.submit(create, database)
            with held(turn):
                assert not call.done()
        assert call.result(PATIENCE).id


def test_closing_does_not_wait_for_a_lock_that_another_process_keeps(database: Database, sqlite_file: Path) -> None:
    with ThreadPoolExecutor(1) as executor, locked(sqlite_file):
        call = executor.submit(create, database)
        with pytest.raises(TimeoutError):
            call.result(0.2)
        database.close(0.2)
        error = call.exception(PATIENCE)
        assert isinstance(error, Unavailable)
        assert error.reason == "SHUTTING_DOWN"


def test_an_engine_whose_file_must_exist_makes_none(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/artemis.db", must_exist=True)
    with pytest.raises(OperationalError, match="unable to open"):
        engine.connect()
    assert list(tmp_path.iterdir()) == []


def test_writes_go_on_while_another_process_holds_the_log(
    database: Database, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at_small_logs(monkeypatch)
    monkeypatch.setattr(sqlite_writer, "_MAX_CUT", 0.0)
    with closing(sqlite3.connect(sqlite_file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        for _ in range(3):
            database.write(lambda session: create_large(session, 200))
    assert count(database) == 600


def remove(file: Path) -> None:
    for name in ("", "-wal", "-shm"):
        file.with_name(file.name + name).unlink(missing_ok=True)


def test_a_deleted_file_is_told_and_not_made_anew_and_may_come_back(
    database: Database, sqlite_file: Path, sqlite_template: Path
) -> None:
    create(database)
    database.check()
    remove(sqlite_file)

    with pytest.raises(DatabaseError, match="is missing"):
        database.check()
    for use in (count, create):
        with pytest.raises(Unavailable) as caught:
            use(database)
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert not sqlite_file.exists()

    shutil.copyfile(sqlite_template, sqlite_file)
    database.check()
    assert count(database) == 0
    assert create(database).id == 1


def test_a_file_that_was_replaced_is_read_and_written(
    database: Database, sqlite_file: Path, sqlite_template: Path, tmp_path: Path
) -> None:
    create(database)
    assert count(database) == 1
    remove(sqlite_file)
    Path(shutil.copyfile(sqlite_template, tmp_path / "other.db")).rename(sqlite_file)

    database.check()

    assert count(database) == 0
    assert create(database).id == 1


def test_a_write_to_a_deleted_file_is_not_acknowledged(database: Database, sqlite_file: Path) -> None:
    create(database)
    remove(sqlite_file)
    with pytest.raises(Unavailable) as caught:
        create(database)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"


def test_a_file_that_may_only_be_read_is_told(engine: Engine, database: Database) -> None:
    create(database)
    database.check()

    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = on"))

    with pytest.raises(DatabaseError, match="readonly") as caught:
        database.check()
    assert "\n" not in str(caught.value)


def test_a_lock_that_another_process_keeps_is_no_outage(database: Database, sqlite_file: Path) -> None:
    with locked(sqlite_file):
        database.check()


def test_a_full_disk_is_told_once_a_write_failed_and_until_one_succeeds(engine: Engine, database: Database) -> None:
    """SQLite cannot tell before. The limit of pages stands for the disk: every user may set it."""
    free = [False]

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {LARGEST_FILE if free[0] else 1}").close()

    event.listen(engine, "connect", limit)
    database.check()
    with pytest.raises(ResourceExhausted):
        database.write(lambda session: create_large(session, 100))
    for _ in range(2):
        with pytest.raises(DatabaseError, match="no space left"):
            database.check()

    free[0] = True
    with suppress(DatabaseError):  # the writer's connection has the old limit
        database.check()
    database.check()
    database.write(lambda session: create_large(session, 100))


def test_a_damaged_page_is_told_once_somebody_read_it(sqlite_file: Path, sqlite_template: Path, engine: Engine) -> None:
    first = Database(create_engine(f"sqlite:///{sqlite_file}"))
    first.write(lambda session: create_large(session, 100))
    first.close()
    damage(sqlite_file)
    with closing(Database(engine)) as database:
        database.check()
        with pytest.raises(Unavailable) as caught:
            count(database)
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
        for _ in range(2):
            with pytest.raises(DatabaseError, match=r"damaged|malformed"):
                database.check()

        remove(sqlite_file)
        shutil.copyfile(sqlite_template, sqlite_file)
        database.check()


def damage(file: Path) -> None:
    """Overwrites the first page of the table of events."""
    raw = file.read_bytes()
    with closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    start = (page - 1) * size
    file.write_bytes(raw[:start] + b"\xff" * size + raw[start + size :])
