"""The database: made once at start-up and shared by all servicers, to whom it lends sessions."""

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.failures import translate
from artemis_server.db.sessions import ThreadSessions
from artemis_server.db.transactions import TransactionWriter
from artemis_server.db.writer import GroupCommitWriter
from artemis_server.errors import RequestError

T = TypeVar("T")


class Writer(Protocol):
    """Runs work in a transaction."""

    def write(self, work: Callable[[Session], T], timeout: float | None = None) -> T:
        """Returns what `work` returns, once it is committed; `timeout` is in seconds."""

    def close(self) -> None:
        """Accepts no more work, and returns when what was accepted in other threads than the callers' is committed."""


class _Rehearsed(Exception):
    """Undoes the work that raises it, and carries its result."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


class Database:
    """Lends sessions: for reading, one that each thread keeps; for writing, as the engine needs it.

    SQLite has one writer at a time, so all share a session and their work is committed in groups;
    PostgreSQL has many, and each thread writes on its own session. It owns the engine, and disposes of it
    when it is closed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = ThreadSessions(engine)
        self._writer: Writer = (
            GroupCommitWriter(engine) if engine.dialect.name == "sqlite" else TransactionWriter(self._sessions)
        )

    def read(self, work: Callable[[Session], T], timeout: float | None = None) -> T:
        """Returns what `work` returns. Each statement in it is one snapshot; `timeout` is in seconds.

        Raises:
            DeadlineExceeded: a statement took longer than the timeout.
            RequestError: the database failed.
        """
        try:
            return work(self._sessions.get(timeout))
        except RequestError:
            raise
        except Exception as error:
            if not self._sessions.discard():
                raise translate(error) from error
        return self._read_again(work, timeout)

    def _read_again(self, work: Callable[[Session], T], timeout: float | None) -> T:
        """Reads on a new connection, where the kept one had broken since it was last used."""
        try:
            return work(self._sessions.get(timeout))
        except RequestError:
            raise
        except Exception as error:
            self._sessions.discard()
            raise translate(error) from error

    def write(self, work: Callable[[Session], T], timeout: float | None = None) -> T:
        """Returns what `work` returns, once all it did is committed and on disk. It may be called more than once.

        Raises:
            DeadlineExceeded: the timeout passed. Work that had begun by then may still be committed.
            RequestError: the database failed, or was closed.
            Exception: what `work` raised; nothing was changed.
        """
        return self._writer.write(work, timeout)

    def rehearse(self, work: Callable[[Session], T], timeout: float | None = None) -> T:
        """Returns what `work` returns, and undoes all it did.

        Raises: as `write`.
        """

        def undone(session: Session) -> T:
            raise _Rehearsed(work(session))

        try:
            return self.write(undone, timeout)
        except _Rehearsed as rehearsed:
            return cast("T", rehearsed.result)

    def close(self) -> None:
        """Commits what was accepted and closes every connection. No thread may be reading."""
        self._writer.close()
        self._sessions.close()
        self._engine.dispose()
