"""The migrations make the schema that the models describe."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from artemis_models import Base, create_engine
from artemis_models.tables import belongs
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SAWarning

from tests.migrations.databases import schema


@pytest.fixture
def migrated(database_url: str) -> Iterator[Engine]:
    """A database that migrations made."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def modelled(migrated: Engine, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database of the same engine, made from the models at once."""
    engine = create_engine(request.getfixturevalue(f"empty_{migrated.dialect.name}_url"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def normal(sql: str) -> str:
    """Returns the statement with the lines between its outer parentheses sorted, and blanks made one."""
    lines = [re.sub(r"\s+", " ", line).strip().rstrip(",").strip() for line in sql.strip().splitlines()]
    return "\n".join([lines[0], *sorted(lines[1:-1]), lines[-1]])


def parts(engine: Engine) -> dict[str, str]:
    """Returns what makes each part of the schema, with columns and constraints in any order."""
    return {name: normal(text) for name, text in schema(engine).items()}


@contextmanager
def without_expression_indexes() -> Iterator[None]:
    """Lets reflection pass over indexes on expressions, which it cannot read; `schema` compares those."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)
        warnings.filterwarnings(
            "ignore", "autogenerate skipping metadata-specified expression-based index", UserWarning
        )
        yield


def comparing(connection: Connection) -> MigrationContext:
    """Returns a context in which models and database are compared as they are for autogenerate."""
    include = lambda item, *_: belongs(item, connection.dialect.name)  # noqa: E731
    return MigrationContext.configure(connection, opts={"compare_type": True, "include_object": include})


def test_migrations_make_the_tables_and_indexes_of_the_models(migrated: Engine, modelled: Engine) -> None:
    expected = parts(modelled)
    assert {"ix_events_owner_id", "ux_users_email"} <= expected.keys()
    assert expected == parts(migrated)


def test_alembic_finds_nothing_to_migrate(migrated: Engine) -> None:
    with migrated.connect() as connection, without_expression_indexes():
        assert compare_metadata(comparing(connection), Base.metadata) == []


def test_a_table_that_the_models_lack_would_be_found(migrated: Engine) -> None:
    with migrated.begin() as connection, without_expression_indexes():
        connection.exec_driver_sql("CREATE TABLE extra (id INTEGER PRIMARY KEY)")
        differences = compare_metadata(comparing(connection), Base.metadata)
    assert [difference[0] for difference in differences] == ["remove_table"]


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_every_table_of_sqlite_is_strict(sqlite_url: str, table: str) -> None:
    engine = create_engine(sqlite_url)
    with engine.connect() as connection:
        strict = connection.exec_driver_sql("SELECT strict FROM pragma_table_list WHERE name = ?", (table,)).scalar()
    engine.dispose()
    assert strict == 1
