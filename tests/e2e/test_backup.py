"""`artemis-server backup`: a snapshot of a database in use, complete on the disk or not there at all."""

import os
import re
import resource
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from artemis.v1.events_pb2 import ListEventsRequest
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis_client import ArtemisClient
from artemis_models import DatabaseError, create_engine
from artemis_server.cli import main
from artemis_server.commands import backup as module
from artemis_server.commands.backup import backup

from tests.e2e.conftest import Serve
from tests.e2e.load import load_on
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, query, run, serving

ROOT = Path(__file__).parents[2]


def ids(database: Path) -> set[int]:
    return {row[0] for row in query(database, "SELECT id FROM events")}


def left(folder: Path) -> list[str]:
    """Returns what a backup that failed may have left in a folder."""
    return sorted(path.name for path in folder.glob("*copy*"))


def filled(database: Path) -> str:
    """Makes a database larger than the pages that are copied at a time, and returns its URL."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE filling (bytes BLOB)")
        connection.execute("INSERT INTO filling VALUES (zeroblob(8000000))")
        connection.commit()
    return f"sqlite:///{database}"


@pytest.mark.acceptance
def test_a_backup_under_load_has_all_that_was_acknowledged_before_and_serves(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    copy = tmp_path / "copy.db"
    with load_on(server.target, threads=4) as load:
        load.wait_for(50)
        before = load.acknowledged()
        done = run("backup", server.database, str(copy))
        load.wait_for(load.count + 10)  # the server goes on
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"backed up {server.database} to {copy}: {copy.stat().st_size:,} bytes\n"
    assert left(tmp_path) == ["copy.db"]
    stored = ids(copy)
    assert before <= stored <= ids(server.database)
    assert query(copy, "PRAGMA integrity_check") == [("ok",)]
    with serving(copy) as restored, ArtemisClient(restored.target, timeout=PATIENCE) as client:
        assert stored == {each.id for each in client.events.list(page_size=1000)}
        assert client.events.create(event()).id > max(stored)


def test_the_page_restores_what_a_backup_has_and_gives_no_id_twice(serve: Serve, tmp_path: Path) -> None:
    """After a crash, which leaves a log that must not be merged into the backup. Page tokens stay valid."""
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client, grpc.insecure_channel(server.target) as channel:
        kept = [client.events.create(event()).id for _ in range(3)]
        first = EventServiceStub(channel).ListEvents(ListEventsRequest(page_size=1))
        assert run("backup", server.database, str(tmp_path / "backup.db")).returncode == 0
        lost = client.events.create(event()).id
    server.kill()
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.partition("## Back up and restore")[2], re.MULTILINE | re.DOTALL)
    (restore,) = [block for block in blocks if "backup.db" in block]
    (raise_ids,) = [block for block in blocks if "sqlite_sequence" in block]
    replace, check = restore.partition("artemis-server ")[::2]
    script = f"set -e\n{replace}{raise_ids}"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, timeout=PATIENCE)
    assert run(check.strip(), server.database).returncode == 0
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client, grpc.insecure_channel(server.target) as channel:
        assert kept == [each.id for each in client.events.list()]
        rest = EventServiceStub(channel).ListEvents(ListEventsRequest(page_token=first.next_page_token))
        assert kept[1:] == [each.id for each in rest.events]
        assert client.events.create(event()).id > lost + 1000


def test_writes_during_the_copy_do_not_wait_and_do_not_begin_it_anew(
    sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(filled(sqlite_file))
    left_to_copy = []
    with closing(sqlite3.connect(sqlite_file, timeout=0)) as writer:

        def write(status: int, remaining: int, total: int) -> None:  # noqa: ARG001, the signature is sqlite3's
            left_to_copy.append(remaining)
            writer.execute("INSERT INTO secrets (name, value) VALUES (?, x'00')", [f"late {remaining}"])
            writer.commit()

        monkeypatch.setattr(module, "_notice_signals", write)
        backup(engine, tmp_path / "copy.db")
    assert len(left_to_copy) > 1
    assert sorted(set(left_to_copy), reverse=True) == left_to_copy
    assert query(tmp_path / "copy.db", "SELECT name FROM secrets WHERE name LIKE 'late%'") == []


def test_a_backup_is_for_its_owner_alone_and_has_no_files_beside_it(sqlite_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    backup(create_engine(f"sqlite:///{sqlite_file}"), copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert left(tmp_path) == ["copy.db"]


def test_a_file_that_exists_is_kept_unless_it_may_be_overwritten(sqlite_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("the only copy of something else")
    refused = run("backup", sqlite_file, str(copy))
    assert (refused.returncode, refused.stderr) == (
        1,
        f"artemis-server: {copy} exists; name another file, or replace it with --overwrite\n",
    )
    assert copy.read_text() == "the only copy of something else"
    assert run("backup", sqlite_file, str(copy), "--overwrite").returncode == 0
    assert query(copy, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_the_database_is_not_replaced_by_its_own_copy(sqlite_file: Path, ending: str) -> None:
    target = sqlite_file.with_name(sqlite_file.name + ending)
    with pytest.raises(DatabaseError, match="is the database itself"):
        backup(create_engine(f"sqlite:///{sqlite_file}"), target, overwrite=True)


def test_a_log_beside_the_copy_would_be_merged_into_it(sqlite_file: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db-wal").touch()
    with pytest.raises(DatabaseError, match=r"copy\.db-wal exists"):
        backup(create_engine(f"sqlite:///{sqlite_file}"), tmp_path / "copy.db", overwrite=True)


def test_without_room_there_is_one_line_and_no_half_copy(sqlite_file: Path, tmp_path: Path) -> None:
    engine = create_engine(filled(sqlite_file))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, hard))
    try:
        with pytest.raises(DatabaseError, match=r"cannot copy .* to .*copy\.db: ") as refused:
            backup(engine, tmp_path / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(refused.value)
    assert left(tmp_path) == []


def test_a_damaged_database_is_no_backup(sqlite_file: Path, tmp_path: Path) -> None:
    url = filled(sqlite_file)
    with sqlite_file.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8 * 4096))
    with pytest.raises(DatabaseError, match=r"is damaged|malformed"):
        backup(create_engine(url), tmp_path / "copy.db")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("target", "why"),
    [("nowhere/copy.db", "the folder .*nowhere does not exist"), (".", "is a folder; name a file in it")],
)
def test_a_target_that_cannot_be_is_refused(sqlite_file: Path, tmp_path: Path, target: str, why: str) -> None:
    with pytest.raises(DatabaseError, match=why):
        backup(create_engine(f"sqlite:///{sqlite_file}"), tmp_path / target)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no database"):
        backup(create_engine(f"sqlite:///{tmp_path}/none.db"), tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are minutes of a meeting\n" * 100)
    with pytest.raises(DatabaseError, match="file is not a database"):
        backup(create_engine(f"sqlite:///{tmp_path}/notes.db"), tmp_path / "copy.db")
    assert left(tmp_path) == []


def test_sigterm_ends_it_in_one_line_without_a_half_copy(
    sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = filled(sqlite_file)
    monkeypatch.setattr(module, "_notice_signals", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["backup", "--database-url", url, str(tmp_path / "copy.db")]) == 1
    assert capsys.readouterr() == ("", "artemis-server: stopped: no backup was made\n")
    assert left(tmp_path) == []


def test_postgresql_has_its_own_tool(postgresql_url: str, tmp_path: Path) -> None:
    refused = run("backup", postgresql_url, str(tmp_path / "copy.db"))
    assert (refused.returncode, refused.stderr) == (
        1,
        "artemis-server: this backs up SQLite files; use pg_dump for PostgreSQL\n",
    )
