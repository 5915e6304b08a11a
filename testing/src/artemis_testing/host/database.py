"""The database of the server: a copy of an empty one that was migrated once, and is written over to empty it again."""

import hashlib
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import artemis_models
from artemis_models import create_engine, head_revision, upgrade
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from artemis_testing.host.clock import Clock

_GENERATION = 1 << 32
"""Transactions of one generation of the change log at most. Tokens of an earlier generation are not found."""
_BEGIN_LOG = "UPDATE event_changes SET transaction_id = ?"
_BEGIN_TRANSACTIONS = "UPDATE change_context SET transaction_id = ?"
_FORGET = "DELETE FROM event_changes WHERE id < (SELECT max(id) FROM event_changes)"


class DatabaseFile:
    """The file that the server has open. `reset` empties it while the server runs."""

    def __init__(self, folder: Path, cache: Path | None, clock: Clock) -> None:
        """Makes the file in a folder. The migrated database is kept in the folder `cache`, if there is one."""
        self.path = folder / "artemis.db"
        self._clock = clock
        self._generation = 0
        self._empty = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(_template(cache or folder))) as template:
            template.backup(self._empty)
        self.reset()

    def make_engine(self) -> Engine:
        """Returns an engine whose connections have the clock in their triggers, and do not wait for the disk."""
        engine = create_engine(f"sqlite:///{self.path}")
        event.listen(engine, "connect", self._set_up)
        return engine

    def _set_up(self, connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.create_function("julianday", 1, self._clock.julian_day)
        connection.execute("PRAGMA synchronous = off").close()  # no test cuts the power

    def reset(self) -> None:
        """Makes the database empty, in one transaction. Resume tokens of what it had before are expired then."""
        first = self._next_generation()
        with self._empty:
            self._empty.execute(f"{_BEGIN_LOG}, time = ?", (first, self._clock.now()))
            self._empty.execute(_BEGIN_TRANSACTIONS, (first,))
        with closing(sqlite3.connect(self.path)) as connection:
            self._empty.backup(connection, sleep=0.001)

    def expire_log(self) -> None:
        """Makes every resume token expire that there is."""
        first = self._next_generation()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_FORGET)
            connection.execute(_BEGIN_LOG, (first,))
            connection.execute(_BEGIN_TRANSACTIONS, (first,))
            connection.execute("COMMIT")

    def _next_generation(self) -> int:
        self._generation += 1
        return self._generation * _GENERATION


def _template(folder: Path) -> Path:
    """Returns a database that was migrated and never used, which it makes unless the folder has one."""
    path = folder / f"artemis-{head_revision()}-{_digest()}.db"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as made:
            new = Path(made) / path.name
            engine = create_engine(f"sqlite:///{new}")
            upgrade(engine)
            engine.dispose()
            os.replace(new, path)  # another process may do the same
    return path


def _digest() -> str:
    """Returns a digest of what migrations are made of: whoever writes one gets a new template."""
    root = Path(artemis_models.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
