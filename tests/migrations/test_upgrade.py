"""Upgrades from nothing: once, by whoever comes first, or not at all."""

from pathlib import Path

import pytest
from artemis_models import DatabaseError, check_revision, create_engine, current_revision, head_revision, upgrade
from artemis_models.tables import SchemaCompatibility
from artemis_server.db import secrets
from artemis_server.db.connection.database import Database
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.e2e.servers import PATIENCE
from tests.migrations.databases import contents, schema
from tests.programs import waiting


def revision_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return current_revision(connection)


def everything(engine: Engine) -> tuple[object, object]:
    return schema(engine), contents(engine)


def test_an_empty_database_is_brought_to_the_newest_revision(empty: Engine) -> None:
    assert revision_of(empty) is None
    upgrade(empty)
    assert head_revision() == revision_of(empty)
    check_revision(empty)


def test_upgrading_again_changes_nothing(empty: Engine) -> None:
    upgrade(empty)
    before = everything(empty)
    upgrade(empty)
    assert before == everything(empty)


def test_every_database_has_a_key_of_its_own(empty: Engine, database: Database) -> None:
    upgrade(empty)
    other = Database(empty)
    keys = {database.read(secrets.page_token_key), other.read(secrets.page_token_key)}
    other.close()
    assert [len(key) for key in keys] == [32, 32]


def test_a_database_without_tables_says_what_to_run(empty: Engine) -> None:
    empty.connect().close()  # SQLite makes the file
    with pytest.raises(DatabaseError, match=r"revision none.*needs .*artemis-server migrate"):
        check_revision(empty)


def test_processes_that_upgrade_one_empty_database_at_once_all_succeed(
    tmp_path: Path, empty_url: str, empty: Engine
) -> None:
    with waiting(tmp_path, "upgrade_the_database", empty_url, count=2) as (processes, start):
        start()
        outcomes = [(process.communicate(PATIENCE)[1], process.returncode) for process in processes]

    assert [code for _, code in outcomes] == [0, 0], outcomes
    check_revision(empty)


def set_revision(engine: Engine, revision: str, oldest: str) -> None:
    """Makes the database one that a later program has migrated."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        connection.execute(update(SchemaCompatibility).values(oldest_revision=oldest))


@pytest.mark.parametrize(
    ("revision", "oldest", "message"),
    [
        ("9999", "9998", "revision 9999, which needs programs of revision 9998 or newer, and this program has"),
        ("abc", "0009", "revision abc, which is not one of Artemis"),
        ("10000", "0009", "revision 10000, which is not one of Artemis"),
        ("0000", "0009", "revision 0000, which is not one of Artemis"),
        ("0004x", "0009", "revision 0004x, which is not one of Artemis"),
        ("-1", "0009", "revision -1, which is not one of Artemis"),  # relative to the newest one, for Alembic
        ("", "0009", "revision '', which is not one of Artemis"),
        ("0009", "", "one row with a revision such as 0009, and has ''"),
        ("0009", "banana", "one row with a revision such as 0009, and has 'banana'"),
    ],
)
def test_a_revision_that_this_program_cannot_serve_is_refused_and_left_alone(
    engine: Engine, revision: str, oldest: str, message: str
) -> None:
    set_revision(engine, revision, oldest)
    before = everything(engine)
    for use in (upgrade, check_revision):
        with pytest.raises(DatabaseError, match=message):
            use(engine)
    assert before == everything(engine)


def test_a_newer_revision_that_still_serves_this_program_is_taken_as_it_is(engine: Engine) -> None:
    set_revision(engine, "9999", head_revision())
    before = everything(engine)
    assert [upgrade(engine), check_revision(engine)] == ["9999", "9999"]
    assert before == everything(engine)


def test_a_table_of_compatible_programs_without_its_row_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM schema_compatibility")
    with pytest.raises(DatabaseError, match="has lost its row"):
        check_revision(engine)


@pytest.mark.parametrize(("revisions", "found"), [("9", "9"), ("'0009', '0010'", "'0009', '0010'")])
def test_a_table_of_compatible_programs_that_somebody_else_made_is_refused(
    engine: Engine, revisions: str, found: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE schema_compatibility")
        selected = " UNION ALL ".join(f"SELECT {each} AS oldest_revision" for each in revisions.split(", "))
        connection.exec_driver_sql(f"CREATE TABLE schema_compatibility AS {selected}")
    for use in (upgrade, check_revision):
        with pytest.raises(DatabaseError, match=f"must have one row with a revision such as 0009, and has {found}:"):
            use(engine)


def test_an_upgrade_that_fails_changes_nothing(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE events (somebody_elses TEXT)")
    before = everything(empty)
    with pytest.raises(DBAPIError, match="already exists"):
        upgrade(empty)
    assert before == everything(empty)


def test_a_folder_that_is_missing_is_a_database_error(tmp_path: Path) -> None:
    with pytest.raises(OperationalError):
        upgrade(create_engine(f"sqlite:///{tmp_path}/missing/artemis.db"))
