"""`artemis-server backup FILE`: copies a SQLite database as one snapshot while others write to it (docs/adr/0030)."""

import contextlib
import os
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from artemis_models import DatabaseError
from artemis_models.sqlite import check_exists
from sqlalchemy import URL, Engine

PAGES = 1024
"""Pages of 4 KiB that are copied at a time; in between, a signal can stop the copy."""
SUFFIX = ".partial"
"""Ends the name of a copy that is not complete. A backup that is killed leaves it; it may be deleted."""
LOGS = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside a database in use."""


def backup(engine: Engine, target: Path, *, overwrite: bool = False) -> int:
    """Copies the database to `target`, which appears complete, checked and on the disk, or not at all.

    The copy has every write that was answered before the call, and each transaction as a whole. Returns its bytes.

    Raises:
        DatabaseError: the database is not SQLite's, or damaged; the target exists, or cannot be written.
        KeyboardInterrupt: SIGINT, or SIGTERM in the main thread, stopped it.
    """
    if engine.dialect.name != "sqlite":
        raise DatabaseError("this backs up SQLite files; use pg_dump for PostgreSQL")
    check_exists(engine.url)
    _check_target(engine.url, target, overwrite=overwrite)
    with _partial(target) as partial:
        _copy(engine.url, partial, target)
        _check_copy(engine.url, partial)
        with _writing(target):
            _sync(partial)
            _check_target(engine.url, target, overwrite=overwrite)
            partial.replace(target)
            _sync(target.parent)
    return target.stat().st_size


def _check_target(url: URL, target: Path, *, overwrite: bool) -> None:
    database = Path(str(url.database)).resolve()
    if target.is_dir():
        raise DatabaseError(f"{target} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise DatabaseError(f"cannot write {target}: the folder {target.parent} does not exist")
    if target.resolve() in [database.with_name(database.name + ending) for ending in ("", *LOGS)]:
        raise DatabaseError(f"{target} is the database itself; name another file")
    if target.exists() and not overwrite:
        raise DatabaseError(f"{target} exists; name another file, or replace it with --overwrite")
    for log in [target.with_name(target.name + ending) for ending in LOGS]:
        if log.exists():  # SQLite would merge it into the copy
            raise DatabaseError(f"{log} exists, so {target} is or was in use as a database; name another file")


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Yields an empty file beside the target, readable by its owner alone, and removes it if it is still there."""
    with _writing(target):
        handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=SUFFIX, dir=target.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _copy(url: URL, partial: Path, target: Path) -> None:
    """Copies one snapshot. Its read transaction keeps no writer waiting, and no write makes the copy begin anew."""
    try:
        with closing(_open(str(url.database), "mode=rw")) as source, closing(_open(partial, "mode=rw")) as copy:
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # only a read begins the snapshot
            for pragma in ("synchronous", "journal_mode"):  # nobody uses the copy before it is synced as a whole
                copy.execute(f"PRAGMA {pragma} = off").close()
            source.backup(copy, pages=PAGES, progress=_notice_signals)
    except sqlite3.Error as error:
        raise DatabaseError(f"cannot copy {url.database} to {target}: {error}") from None


def _notice_signals(status: int, remaining: int, total: int) -> None:
    """Does nothing. Python calls it between two parts of the copy, and runs the handlers of signals before that."""


def _check_copy(url: URL, partial: Path) -> None:
    """Raises DatabaseError if pages of the database are damaged: its copy has the same pages."""
    try:
        with closing(_open(partial, "immutable=1")) as copy:
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise DatabaseError(f"{url.database} is damaged: {' '.join(found.split())}")


def _open(path: str | Path, options: str) -> sqlite3.Connection:
    uri = f"file://{quote(os.fsencode(Path(path).absolute()))}?{options}"
    return sqlite3.connect(uri, uri=True, isolation_level=None)


def _sync(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatabaseError(f"cannot write {target}: {os.strerror(error.errno or 0)}") from None


@contextmanager
def stoppable() -> Iterator[None]:
    """Lets SIGTERM raise KeyboardInterrupt, as SIGINT does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
