"""The commands `serve`, `migrate` and `check`: what they say, and what they refuse in one line."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from artemis_client import ArtemisClient
from artemis_models import head_revision

from tests.certificates import DAY, Authority
from tests.e2e.conftest import Serve
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, contents, query, run, serving

LISTEN = ("--listen", "127.0.0.1:0")


def flags(command: str) -> tuple[str, ...]:
    return () if command == "migrate" else LISTEN


def assert_refused(command: str, database: Path, *more: str, code: int = 1) -> str:
    """Runs a command that must fail, and returns why: all that it prints is one line."""
    ended = run(command, database, *flags(command), *more)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("artemis-server: ")
    return ended.stderr.removeprefix("artemis-server: ").strip()


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"

    said = assert_refused("serve", folder / "artemis.db")

    assert said == f"cannot open {folder}/artemis.db: the folder {folder} does not exist"
    assert not folder.exists()


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert assert_refused("serve", tmp_path) == f"cannot use {tmp_path}: unable to open database file"


def test_a_file_that_is_no_database_is_refused_and_left_alone(database_path: Path) -> None:
    database_path.write_text("these are minutes of a meeting\n" * 100)

    assert assert_refused("serve", database_path) == f"cannot use {database_path}: file is not a database"
    assert database_path.read_text() == "these are minutes of a meeting\n" * 100


def migrated_further(database: Path, oldest: str) -> None:
    """Makes the database one that a later program has migrated."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_compatibility SET oldest_revision = ?", (oldest,))
        connection.commit()


def test_a_schema_that_needs_newer_programs_is_refused_and_left_alone(sqlite_file: Path) -> None:
    migrated_further(sqlite_file, "9998")

    said = (
        "the database has schema revision 9999, which needs programs of revision 9998 or newer, "
        f"and this program has {head_revision()}: install the newer version"
    )
    assert [said] * 3 == [assert_refused(command, sqlite_file) for command in ("serve", "migrate", "check")]
    assert query(sqlite_file, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_newer_schema_that_this_program_may_serve_is_served_and_left_alone(sqlite_file: Path) -> None:
    migrated_further(sqlite_file, head_revision())
    before = query(sqlite_file, "SELECT * FROM sqlite_master")

    migrated, checked = run("migrate", sqlite_file), run("check", sqlite_file)
    said = f"the schema is at revision 9999, newer than this program's {head_revision()}: nothing to do\n"
    assert (migrated.returncode, migrated.stdout) == (0, said)
    assert (checked.returncode, "at revision 9999: ready" in checked.stdout) == (0, True)
    with serving(sqlite_file) as server, ArtemisClient(server.target) as client:
        assert client.events.create(event()).id == 1
    assert before == query(sqlite_file, "SELECT * FROM sqlite_master")


def test_the_port_of_another_server_is_refused(serve: Serve) -> None:
    """And the other one goes on."""
    server = serve()

    said = assert_refused("serve", server.database, "--listen", server.target)

    assert said.startswith(f"cannot listen on {server.target}: Address already in use")
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        assert client.events.create(event()).id == 1


def test_an_address_that_others_can_reach_is_refused(sqlite_file: Path) -> None:
    said = assert_refused("serve", sqlite_file, "--listen", "0.0.0.0:0", code=2)

    assert said.startswith("refusing to listen on 0.0.0.0:0 without --tls-cert and --auth")


BAD_FILES = {
    "missing key": "cannot read {folder}/missing: No such file or directory",
    "key of another certificate": "{folder}/other.key is not the key of the first certificate in {folder}/server.crt",
    "expired certificate": "{folder}/past.crt expired on ",
    "tokens that others can read": "others can use {folder}/open.toml, whose mode is 0644: ",
    "bad keys": "{folder}/open.toml is not a JSON Web Key Set (RFC 7517)",
    "keys that nobody serves": "cannot get http://127.0.0.1:1/keys: Connection refused",
    "contradiction": "--auth jwt needs --auth-issuer",
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_bad_settings_of_access_control_are_refused_before_anything_is_done(
    database_path: Path, tmp_path: Path, command: str, name: str
) -> None:
    authority = Authority()
    cert, key = (str(path) for path in authority.server().write(tmp_path, "server"))
    _, other = (str(path) for path in authority.server().write(tmp_path, "other"))
    past, past_key = (str(path) for path in authority.server(-2 * DAY, -DAY).write(tmp_path, "past"))
    (tmp_path / "open.toml").touch(0o644)
    jwt = ("--auth", "jwt", "--auth-issuer", "i", "--auth-audience", "a", "--auth-jwks-url")
    bad = {
        "missing key": ("--tls-cert", cert, "--tls-key", str(tmp_path / "missing")),
        "key of another certificate": ("--tls-cert", cert, "--tls-key", other),
        "expired certificate": ("--tls-cert", past, "--tls-key", past_key),
        "tokens that others can read": ("--auth", "tokens", "--auth-tokens-file", str(tmp_path / "open.toml")),
        "bad keys": (*jwt, str(tmp_path / "open.toml")),
        "keys that nobody serves": (*jwt, "http://127.0.0.1:1/keys"),
        "contradiction": ("--auth", "jwt", "--auth-jwks-url", key),
    }

    said = assert_refused(command, database_path, *bad[name], code=2)

    assert said.startswith(BAD_FILES[name].format(folder=tmp_path))
    assert not database_path.exists()


def test_an_address_of_another_machine_is_refused(sqlite_file: Path) -> None:
    said = assert_refused("serve", sqlite_file, "--insecure", "--listen", "192.0.2.1:0")

    assert said.startswith("cannot listen on 192.0.2.1:0: Cannot assign requested address")


def test_a_database_in_memory_is_refused(database_path: Path) -> None:
    said = assert_refused("serve", database_path, "--database-url", "sqlite://")

    assert said.startswith("an in-memory database cannot be shared")


@pytest.mark.parametrize("arguments", [("serve", "--bogus"), ("serve", "--listen", "nowhere")])
def test_a_bad_flag_is_a_usage_error(database_path: Path, arguments: tuple[str, ...]) -> None:
    command, *more = arguments

    ended = run(command, database_path, *more)

    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("artemis-server")
    assert not database_path.exists()


def test_migrate_makes_the_schema_and_a_second_time_changes_nothing(database_path: Path) -> None:
    first = run("migrate", database_path)
    before = query(database_path, "SELECT * FROM sqlite_master"), query(database_path, "SELECT * FROM secrets")
    second = run("migrate", database_path)
    after = query(database_path, "SELECT * FROM sqlite_master"), query(database_path, "SELECT * FROM secrets")

    said = f"the schema is at revision {head_revision()}\n"
    assert [(0, said), (0, said)] == [(each.returncode, each.stdout) for each in (first, second)]
    assert "migrated the schema from revision none to" in first.stderr
    assert second.stderr == ""
    assert before == after
    assert before[1]


def test_a_server_makes_the_file_that_is_not_there(database_path: Path) -> None:
    with serving(database_path, new=True):
        assert query(database_path, "SELECT version_num FROM alembic_version") == [(head_revision(),)]


def test_printing_the_statements_makes_no_file(database_path: Path) -> None:
    printed = run("migrate", database_path, "--sql")
    assert printed.returncode == 0
    assert "CREATE TABLE events" in printed.stdout
    assert not database_path.exists()


def test_check_says_that_all_is_well_and_leaves_a_running_server_alone(serve: Serve) -> None:
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        stored = client.events.create(event())
        before = contents(server.database)

        ended = run("check", server.database, "--listen", "127.0.0.1:1234")

        assert (ended.returncode, ended.stderr) == (0, "")
        assert f"the database is at revision {head_revision()}: ready to listen on 127.0.0.1:1234" in ended.stdout
        assert before == contents(server.database)
        assert stored == client.events.get(stored.id)


def test_check_of_an_empty_database_says_what_to_do_and_does_not_do_it(database_path: Path) -> None:
    database_path.touch()

    assert assert_refused("check", database_path) == (
        f"the database has schema revision none, and this program needs {head_revision()}: run `artemis-server migrate`"
    )
    assert database_path.stat().st_size == 0


def test_check_of_a_missing_database_does_not_make_it(database_path: Path) -> None:
    assert_refused("check", database_path)

    assert not database_path.exists()


def test_check_after_a_crash_changes_nothing(serve: Serve) -> None:
    """The log that a killed server leaves is merged by any other program that opens the database."""
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        client.events.create(event())
    server.kill()
    files = sorted(server.database.parent.glob(f"{server.database.name}*"))
    before = [path.read_bytes() for path in files if not path.name.endswith("-shm")]
    assert run("check", server.database).returncode == 0
    assert before == [path.read_bytes() for path in files if not path.name.endswith("-shm")]


def test_a_host_that_does_not_resolve_is_refused(database_path: Path) -> None:
    refused = run("serve", database_path, "--insecure", "--listen", "nosuchhost.invalid:0")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("artemis-server: cannot listen on nosuchhost.invalid:0: ")
    assert not database_path.exists(), "nothing is changed before the address is known to be good"


@pytest.mark.parametrize("address", ["::1:50098", "[::1:50098", "127.0.0.1:\u0663", "127.0.0.1:65536", "[x]:1"])
def test_a_malformed_address_is_a_usage_error(database_path: Path, address: str) -> None:
    refused = run("serve", database_path, "--listen", address)
    assert refused.returncode == 2
    assert not database_path.exists()
