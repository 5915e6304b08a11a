"""Databases for the tests: migrated once for each engine, and a copy of that for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from artemis_models import create_engine, upgrade
from artemis_server.db.database import Database
from sqlalchemy import Engine

BACKENDS = ("sqlite",)


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


@pytest.fixture
def engine(database_url: str) -> Engine:
    """The engine that `database` owns, for tests that look at its connections."""
    return create_engine(database_url)


@pytest.fixture
def database(engine: Engine) -> Iterator[Database]:
    """An open database, empty but for its schema."""
    database = Database(engine)
    yield database
    database.close()
