"""The pool of PostgreSQL databases: a test gets one that is like new, whatever the test before has done to it."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from tests.conftest import cloned
from tests.pool import Pool

INSERT = "INSERT INTO users (email, create_time, update_time) VALUES ('a@x.org', 0, 0) RETURNING id"


@pytest.fixture(scope="module")
def pool(postgresql_server: URL, postgresql_template: str) -> Iterator[Pool]:
    """A pool of the module's own: what a test has changed must not meet the next one either."""
    pool = Pool(partial(cloned, postgresql_server, postgresql_template))
    yield pool
    pool.close()


def use(pool: Pool, *statements: str) -> tuple[str | None, list[Any]]:
    """Borrows a database; returns its name, and the last row that each statement has returned."""
    with pool.lend() as url:
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with closing(psycopg.connect(dsn, autocommit=True)) as connection:
            found = [connection.execute(statement) for statement in statements]
            return url.database, [cursor.fetchone() if cursor.description else None for cursor in found]


def test_a_database_is_lent_again_without_its_rows_and_their_ids(pool: Pool) -> None:
    assert use(pool, INSERT) == use(pool, INSERT)


def test_two_tests_at_once_have_two_databases(pool: Pool) -> None:
    with pool.lend() as one, pool.lend() as other:
        assert one.database != other.database


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id INTEGER)",
        "DROP INDEX ix_events_category",
        "DROP TABLE secrets",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "ANALYZE users",
        "UPDATE secrets SET value = 'another'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''1MB''', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', current_database()); END $$",
        "INSERT INTO users (email, create_time, update_time) SELECT n, 0, 0 FROM generate_series(1, 9999) n",
    ],
)
def test_a_database_that_has_changed_in_more_than_a_few_rows_is_not_lent_again(pool: Pool, statement: str) -> None:
    changed, _ = use(pool, INSERT, statement)
    assert changed != use(pool, "SELECT 1")[0]
