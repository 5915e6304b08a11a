"""Schema revisions: the one that a database has, the one that this program needs, and the programs that may serve it.

Revisions are numbers of four digits, each one more than the one before, so that a program can tell that a revision is
newer without knowing it: "0012" > "0009", as text. See docs/adr/0032.
"""

import re
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, select

from artemis_models.errors import AUTOCOMMIT, DatabaseError, ReadOnlyError
from artemis_models.sqlite import check_exists
from artemis_models.tables import SchemaCompatibility

COMPATIBLE_SINCE = "0009"
"""The revision that made the table `schema_compatibility`. Programs before it serve their own revision only."""
FOLDER = Path(__file__).parent / "migrations"
_REVISION = re.compile(r"\d{4}", re.ASCII)


def config() -> Config:
    """Returns Alembic's configuration of the migrations in this package."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return made


@cache
def migrations() -> tuple[Script, ...]:
    """Returns the migrations that this program knows, the oldest first."""
    return tuple(reversed(list(ScriptDirectory.from_config(config()).walk_revisions())))


def head_revision() -> str:
    """Returns the revision that this program needs at least."""
    return migrations()[-1].revision


def oldest_revision(migration: Script) -> str | None:
    """Returns the oldest revision whose programs work with what the migration makes; None before COMPATIBLE_SINCE.

    Raises:
        ValueError: the migration does not declare its `oldest_revision`, or one that it cannot have.
    """
    if migration.revision < COMPATIBLE_SINCE:
        return None
    oldest = getattr(migration.module, "oldest_revision", None)
    if not isinstance(oldest, str) or not _REVISION.fullmatch(oldest):
        raise ValueError(f'{migration.path} must declare oldest_revision, such as "{COMPATIBLE_SINCE}"')
    if not COMPATIBLE_SINCE <= oldest <= migration.revision:
        raise ValueError(
            f"{migration.path}: oldest_revision must be from {COMPATIBLE_SINCE} to {migration.revision}, not {oldest}"
        )
    return oldest


def current_revision(connection: Connection) -> str | None:
    """Returns the revision of the database, None when it is empty."""
    try:
        return MigrationContext.configure(connection).get_current_revision()
    except CommandError as error:
        raise DatabaseError(f"cannot read the schema revision: {error}") from None


def served_revision(connection: Connection) -> str | None:
    """Returns the revision of the database, None when it is empty.

    Raises:
        DatabaseError: the database was migrated beyond what this program can serve, or says what no migration wrote.
    """
    revision = current_revision(connection)
    if revision is None:
        return None
    known = revision in {migration.revision for migration in migrations()}
    if not known and not (_REVISION.fullmatch(revision) and revision > head_revision()):
        raise DatabaseError(f"the database has schema revision {revision or repr('')}, which is not one of Artemis")
    if revision < COMPATIBLE_SINCE:
        return revision
    found = connection.execute(select(SchemaCompatibility.oldest_revision)).scalars().all()
    if not found:
        raise DatabaseError("the table schema_compatibility has lost its row: restore it from a backup")
    oldest = str(found[0])
    if len(found) > 1 or not _REVISION.fullmatch(oldest):
        raise DatabaseError(
            f"the table schema_compatibility must have one row with a revision such as {COMPATIBLE_SINCE}, "
            f"and has {', '.join(map(repr, found[:2]))}: restore it from a backup"
        )
    if oldest > head_revision():
        raise DatabaseError(
            f"the database has schema revision {revision}, which needs programs of revision {oldest} or newer, "
            f"and this program has {head_revision()}: install the newer version"
        )
    return revision


def check_reachable(engine: Engine, *, upgradable: bool = False) -> None:
    """Connects to the database, whatever its schema is.

    Raises:
        DatabaseError: the server is too old, or the database has another encoding; or with `upgradable`, the database
            was migrated beyond what this program can serve.
        sqlalchemy.exc.DBAPIError: the database cannot be reached, does not exist, or refuses the user.
    """
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        (served_revision if upgradable else current_revision)(connection)


def check_revision(engine: Engine, *, program: str = "artemis-server") -> str:
    """Returns the revision of the database. Raises DatabaseError when there is none that this program can serve.

    The text of the error says what to do, such as to run the command `migrate` of `program`.
    """
    if engine.dialect.name == "sqlite":
        check_exists(engine.url, program=program)
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        return check_connection(connection, program=program)


def check_connection(connection: Connection, *, program: str = "artemis-server") -> str:
    """Returns the revision of the database. Raises DatabaseError when this program cannot serve it."""
    revision = served_revision(connection)
    if revision is None or revision < head_revision():
        raise DatabaseError(
            f"the database has schema revision {revision or 'none'}, and this program needs {head_revision()}: "
            f"run `{program} migrate`"
        )
    return revision


def check_writable(connection: Connection) -> None:
    """Raises ReadOnlyError for a PostgreSQL that cannot be written."""
    if connection.dialect.name != "postgresql":
        return
    if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
        raise ReadOnlyError
