"""The database: made once at start-up and shared by all servicers, to whom it lends sessions."""

import threading
from collections.abc import Callable
from typing import TypeVar

from artemis_models.engine import AUTOCOMMIT
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from artemis_server.db.failures import translate
from artemis_server.db.statements import keep_driver
from artemis_server.db.writer import GroupCommitWriter
from artemis_server.errors import RequestError

T = TypeVar("T")


class Database:
    """Lends sessions: for reading, one that each thread keeps; for writing, the one that all share.

    It owns the engine, and disposes of it when it is closed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = engine.execution_options(isolation_level="AUTOCOMMIT", **{AUTOCOMMIT: True})
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._writer = GroupCommitWriter(engine)

    def read(self, work: Callable[[Session], T]) -> T:
        """Returns what `work` returns. Each statement in it is one snapshot.

        Raises:
            RequestError: the database failed.
        """
        try:
            session: Session | None = getattr(self._local, "session", None)
            return work(session or self._open())
        except RequestError:
            raise
        except Exception as error:
            self._discard()
            raise translate(error) from error

    def write(self, work: Callable[[Session], T], timeout: float | None = None) -> T:
        """Returns what `work` returns, once all it did is committed and on disk.

        Raises: as `GroupCommitWriter.write`.
        """
        return self._writer.write(work, timeout)

    def close(self) -> None:
        """Commits what was accepted and closes every connection. No thread may be reading."""
        self._writer.close()
        for connection in self._connections:
            connection.close()
        self._engine.dispose()

    def _open(self) -> Session:
        connection = self._readers.connect()
        self._connections.append(connection)
        session = self._local.session = Session(connection)
        keep_driver(session)
        return session

    def _discard(self) -> None:
        """Closes this thread's connection, which may be broken."""
        session: Session | None = self._local.__dict__.pop("session", None)
        if session is not None:
            connection = session.connection()
            self._connections.remove(connection)
            session.invalidate()
            connection.close()
