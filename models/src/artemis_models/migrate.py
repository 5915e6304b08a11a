"""Schema revisions: the one that a database has, the one that this code needs, and the upgrade between them."""

import logging
from functools import cache
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from artemis_models.errors import AUTOCOMMIT, DatabaseError, ReadOnlyError
from artemis_models.sqlite import check_exists

LOCK = 0x617274656D6973
"""The advisory lock that a migration of a PostgreSQL database holds."""

log = logging.getLogger(__name__)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@cache
def _revisions() -> tuple[str, ...]:
    """Returns the revisions that this code knows, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def head_revision() -> str:
    """Returns the revision that this code needs."""
    return _revisions()[0]


def current_revision(connection: Connection) -> str | None:
    """Returns the revision of the database, None when it is empty."""
    try:
        return MigrationContext.configure(connection).get_current_revision()
    except CommandError as error:
        raise DatabaseError(f"cannot read the schema revision: {error}") from None


def upgrade(engine: Engine) -> None:
    """Brings the database to `head_revision()` in one transaction; does nothing when it is there already.

    Raises:
        DatabaseError: the database has a newer schema, which this code does not know.
        sqlalchemy.exc.DBAPIError: the database failed; nothing was changed.
    """
    if _revision(engine) == head_revision():
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # where, unlike on SQLite, two transactions could both migrate
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        before = current_revision(connection)  # again: another process may have been first
        _check_not_newer(before)
        if before == head_revision():
            return
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    log.info("migrated the schema from revision %s to %s", before or "none", head_revision())


def upgrade_sql(engine: Engine) -> str:
    """Returns the statements that `upgrade` would execute, which changes nothing.

    Raises: as `upgrade`.
    """
    sqlite = engine.dialect.name == "sqlite"
    missing = sqlite and not Path(str(engine.url.database)).exists()  # connecting would create the file
    before = None if missing else _revision(engine)
    _check_not_newer(before)
    config = _config()
    config.output_buffer = StringIO()
    config.attributes["dialect"] = engine.dialect.name
    command.upgrade(config, f"{before or 'base'}:head", sql=True)
    return config.output_buffer.getvalue()


def _revision(engine: Engine) -> str | None:
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        return current_revision(connection)


def check_reachable(engine: Engine, *, upgradable: bool = False) -> None:
    """Connects to the database, whatever its schema is.

    Raises:
        DatabaseError: the server is too old, or the database has another encoding; or with `upgradable`, the database
            has a newer schema than this code knows.
        sqlalchemy.exc.DBAPIError: the database cannot be reached, does not exist, or refuses the user.
    """
    revision = _revision(engine)
    if upgradable:
        _check_not_newer(revision)


def check_revision(engine: Engine) -> None:
    """Raises DatabaseError when there is no database, or its schema is not the one that this code needs.

    The text of the error says what to do.
    """
    if engine.dialect.name == "sqlite":
        check_exists(engine.url)
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        check_connection(connection)


def check_connection(connection: Connection) -> None:
    """Raises DatabaseError when the schema is not the one that this code needs."""
    revision = current_revision(connection)
    _check_not_newer(revision)
    if revision != head_revision():
        raise DatabaseError(
            f"the database has schema revision {revision or 'none'}, and this program needs {head_revision()}: "
            "run `artemis-server migrate`"
        )


def check_writable(connection: Connection) -> None:
    """Raises ReadOnlyError for a PostgreSQL that cannot be written."""
    if connection.dialect.name != "postgresql":
        return
    if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
        raise ReadOnlyError


def _check_not_newer(revision: str | None) -> None:
    """Raises DatabaseError when the revision is one that this code does not know."""
    if revision is not None and revision not in _revisions():
        raise DatabaseError(
            f"the database has schema revision {revision}, which is newer than this program's "
            f"{head_revision()}; install the newer version"
        )
