"""Waits for locks on PostgreSQL that keep nobody else waiting for long.

A statement that waits for a lock on a table makes all later ones wait behind it, also those that only read. So it gives
up soon, lets the others go first, and comes back.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from artemis_models.errors import AUTOCOMMIT, DatabaseError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED = "55P03", "40P01"
"""The codes of PostgreSQL for a lock that was not had in time, and for one of a circle of waiters."""
_OLDEST_TRANSACTION = """
    SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::bigint FROM pg_stat_activity
    WHERE datname = current_database() AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'relation')
    AND pid <> pg_backend_pid() AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """The waits for a lock. With the defaults, others wait for 1 of 5 seconds, and the last attempt ends after 146."""

    timeout: float = 1.0
    """Seconds that a statement waits for a lock (`lock_timeout`)."""
    attempts: int = 30
    pause: float = 4.0
    """Seconds between two attempts."""

    @property
    def statement(self) -> str:
        """The statement that sets the timeout until the end of the transaction."""
        return f"SET LOCAL lock_timeout = '{self.timeout * 1000:.0f}ms'"


PATIENCE = Patience()


def try_for_locks(engine: Engine, patience: Patience, name: str, work: Callable[[], None]) -> None:
    """Does the work, and again after it failed for want of a lock; `name` says what it is.

    Raises:
        DatabaseError: no attempt got its locks.
    """
    for attempt in range(1, patience.attempts + 1):
        try:
            return work()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in (LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED):
                raise
        if attempt < patience.attempts:
            log.warning(
                "%s does not get its locks; the next attempt is in %g s (%s of %s failed)%s",
                name,
                patience.pause,
                attempt,
                patience.attempts,
                _blocker(engine),
            )
            time.sleep(patience.pause)
    raise DatabaseError(
        f"{name} did not get its locks in {patience.attempts} attempts: run `migrate` again{_blocker(engine)}"
    )


def _blocker(engine: Engine) -> str:
    """Returns words about the oldest transaction, which most likely has the lock; none if there is no old one."""
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        found = connection.exec_driver_sql(_OLDEST_TRANSACTION).first()
    return f"; process {found[0]} ({found[1] or 'unnamed'}) has a transaction open for {found[2]} s" if found else ""
