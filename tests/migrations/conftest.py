"""Databases without tables, on every engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from artemis_models import create_engine
from sqlalchemy import URL, Engine

from tests.conftest import BACKENDS, cloned


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path}/empty.db"


@pytest.fixture
def empty_postgresql_url(postgresql_server: URL) -> Iterator[str]:
    """The URL of a database that PostgreSQL has just made."""
    with cloned(postgresql_server, "template1") as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    """An engine on it."""
    engine = create_engine(empty_url)
    yield engine
    engine.dispose()
