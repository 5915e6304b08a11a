"""The indexer of texts on SQLite: it adds the events that wait to the index (docs/adr/0050).

These are new ones, with ids after that of `event_text_progress`, and changed ones, which are in `event_text_queue`. It
works in small transactions of the writer, so that writes wait for at most one of them. PostgreSQL needs none.
"""

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from artemis_models import text_index
from sqlalchemy import text
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import INTERNAL
from artemis_server.db.connection.database import Database
from artemis_server.db.connection.turn import Turn
from artemis_server.db.listing import text_search
from artemis_server.db.statements import Row, Statement
from artemis_server.errors import RequestError

MAX_ROWS = 400
MAX_CHARACTERS = 100_000
"""The most events, and characters of their texts, that a transaction indexes: for 4 ms, which is 10 us an event."""
MERGE_PAGES = 16
"""The pages of the index, of 4 KiB, that are merged at a time, for 2 ms."""
MAX_MERGE = 0.008
"""Seconds after which a transaction begins no further merge. Many small transactions would wait more for the disk."""
_NOTHING_MERGED = 1
"""The most rows that a merge changes which finds nothing to do (FTS5, "The 'merge' command")."""
MAX_WAITING = 5_000
"""Events that may wait while others write. A search reads each of them, which takes 1 to 3 us."""
BUSY_RATE = 100.0
"""Events that others change in a second, from which on the indexer lets them go first."""
INTERVAL = 0.25
"""Seconds between two looks at the queue."""
PROGRESS, MANY = 10.0, 100_000
"""Seconds between two lines of the log, while more events than MANY wait."""

_COLUMNS = ", ".join(text_index.COLUMNS)
_THEIR_COLUMNS = ", ".join(f"e.{column}" for column in text_index.COLUMNS)
_LENGTH = " + ".join(f"coalesce(length({{0}}.{column}), 0)" for column in text_index.COLUMNS)
_LAST_ID = "(SELECT last_id FROM event_text_progress)"
_FIRST_CHANGED = Statement(
    text(
        f"SELECT q.event_id, {_LENGTH.format('e')} + {_LENGTH.format('q')} "  # noqa: S608, names of columns
        "FROM event_text_queue q LEFT JOIN events e ON e.id = q.event_id ORDER BY q.event_id LIMIT :max_rows"
    )
)
_REMOVE = Statement(
    text(
        f"INSERT INTO event_texts (event_texts, rowid, {_COLUMNS}) SELECT 'delete', event_id, {_COLUMNS} "  # noqa: S608, names of columns
        "FROM event_text_queue WHERE event_id <= :last AND name IS NOT NULL ORDER BY event_id"
    )
)
_ADD_CHANGED = Statement(
    text(
        f"INSERT INTO event_texts (rowid, {_COLUMNS}) SELECT id, {_THEIR_COLUMNS} "  # noqa: S608, names of columns
        "FROM event_text_queue CROSS JOIN events e ON id = event_id WHERE event_id <= :last ORDER BY event_id"
    )
)
_REMOVE_CHANGED = Statement(text("DELETE FROM event_text_queue WHERE event_id <= :last"))
_FIRST_NEW = Statement(
    text(
        f"SELECT e.id, {_LENGTH.format('e')} FROM events e NOT INDEXED WHERE e.id > {_LAST_ID} "  # noqa: S608, names of columns
        "ORDER BY e.id LIMIT :max_rows"
    )
)
_ADD_NEW = Statement(
    text(
        f"INSERT INTO event_texts (rowid, {_COLUMNS}) SELECT id, {_COLUMNS} FROM events NOT INDEXED "  # noqa: S608, names of columns
        f"WHERE id > {_LAST_ID} AND id <= :last ORDER BY id"
    )
)
_SET_LAST_ID = Statement(text("UPDATE event_text_progress SET last_id = :last"))
_MERGE = Statement(text("INSERT INTO event_texts (event_texts, rank) VALUES ('merge', :pages)"))
_CHANGES = Statement(text("SELECT total_changes()"))
_NEW = f"max(0, (SELECT max(id) FROM events) - max({_LAST_ID}, (SELECT min(id) FROM events) - 1))"  # noqa: S608, ours
"""The number of new events, if no ids are missing between them."""
_COUNT = Statement(text(f"SELECT (SELECT count(*) FROM event_text_queue), coalesce({_NEW}, 0)"))  # noqa: S608, ours
_LOOK = Statement(
    text(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM event_text_queue LIMIT :max_rows)), "  # noqa: S608, ours
        f"coalesce({_NEW}, 0), (SELECT coalesce(max(id), 0) FROM event_changes)"
    )
)
_FORGET = (
    Statement(text("INSERT INTO event_texts (event_texts) VALUES ('delete-all')")),
    Statement(text("DELETE FROM event_text_queue")),
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Queue:
    waiting: int
    """The events that wait, of changed ones at most MAX_WAITING and one more."""
    busy: bool
    """True while others change more than BUSY_RATE events in a second."""


def waiting(session: Session) -> int:
    """Returns how many events wait to be indexed; more, if ids are missing. It is 0 only if none waits."""
    changed, new = _COUNT.first(session, {}) or (0, 0)
    return int(changed) + int(new)


def index_waiting(session: Session, max_rows: int = MAX_ROWS) -> int:
    """Indexes the texts of the first events that wait, as a part of a write; returns how many these were.

    At least one is indexed, and no more than have MAX_CHARACTERS together. An index that contradicts its queue is
    emptied, and all events wait again.
    """
    try:
        return _index_changed(session, max_rows) or _index_new(session, max_rows)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_CORRUPT_VTAB:
            raise
        log.warning("the index of texts contradicts its queue: it is made anew")
        for statement in _FORGET:
            statement.execute(session, {})
        _SET_LAST_ID.execute(session, {"last": text_index.NOTHING_INDEXED})
        return 1


def _index_changed(session: Session, max_rows: int) -> int:
    rows = _few(_FIRST_CHANGED.rows(session, {"max_rows": max_rows}))
    if rows:
        for statement in (_REMOVE, _ADD_CHANGED, _REMOVE_CHANGED):
            statement.execute(session, {"last": rows[-1][0]})
    return len(rows)


def _index_new(session: Session, max_rows: int) -> int:
    rows = _few(_FIRST_NEW.rows(session, {"max_rows": max_rows}))
    if rows:
        for statement in (_ADD_NEW, _SET_LAST_ID):
            statement.execute(session, {"last": rows[-1][0]})
    return len(rows)


def _few(rows: Sequence[Row]) -> Sequence[Row]:
    """Returns the first of these rows of an id and a number of characters: those that are indexed together."""
    total = accumulate(characters for _, characters in rows)
    return rows[: max(1, sum(each <= MAX_CHARACTERS for each in total))]


def merge(session: Session, seconds: float = MAX_MERGE) -> bool:
    """Merges parts of the index for a while, as a part of a write; tells whether there may be more to merge.

    Each transaction adds a part, and each part costs a search time.
    """
    end = time.monotonic() + seconds
    while _merge_pages(session):
        if time.monotonic() >= end:
            return True
    return False


def _merge_pages(session: Session) -> bool:
    (before,) = _CHANGES.first(session, {}) or (0,)
    _MERGE.execute(session, {"pages": MERGE_PAGES})
    (after,) = _CHANGES.first(session, {}) or (0,)
    return bool(after - before > _NOTHING_MERGED)


class TextIndexer:
    """A thread that indexes what waits, in one of the processes that share a turn.

    It looks at the queue every `interval` seconds.
    """

    def __init__(self, database: Database, turn: Turn, interval: float = INTERVAL) -> None:
        self._database = database
        self._turn = turn
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="text-indexer")
        self._told = 0.0
        self._seen = (0, -math.inf)
        """The newest change of an event at the last look, and its time."""

    def start(self) -> None:
        """Starts the thread, on SQLite."""
        if self._database.dialect == "sqlite":
            self._thread.start()

    def stop(self, timeout: float) -> None:
        """Ends the thread; waits for its transaction for at most `timeout` seconds. What waits goes on waiting."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                if self._turn.lead() and self._database.poll(text_search.is_available, INTERNAL):
                    self._round()
            except RequestError as error:
                log.debug("cannot index texts: %s", error.message)  # writes fail for the same reason, and tell it
            except Exception:
                log.exception("cannot index texts")

    def _round(self) -> None:
        """Indexes what waits, until nothing does or others write."""
        queue = self._look()
        while queue.waiting and not self._stopping.is_set():
            if queue.busy and queue.waiting <= MAX_WAITING:
                return
            began = time.monotonic()
            more = self._database.write(_step)
            while more and not self._stopping.is_set():
                more = self._database.write(merge)
            queue = self._look()
            if queue.busy:
                self._stopping.wait(time.monotonic() - began)  # others get as much time
            if queue.waiting > MAX_WAITING:
                self._tell()

    def _look(self) -> _Queue:
        """Looks how many events wait, and whether others have changed many since the last look."""
        changed, new, newest = self._database.poll(_look, INTERNAL)
        now = time.monotonic()
        seen, self._seen = self._seen, (newest, now)
        return _Queue(waiting=changed + new, busy=newest - seen[0] > BUSY_RATE * (now - seen[1]))

    def _tell(self) -> None:
        """Logs how many wait, if they are many and it is time."""
        if time.monotonic() - self._told < PROGRESS:
            return
        self._told = time.monotonic()
        count = self._database.poll(waiting, INTERNAL)
        if count > MANY:
            log.info("the texts of %d events wait to be indexed", count)


def _step(session: Session) -> bool:
    index_waiting(session)
    return merge(session)


def _look(session: Session) -> Row:
    return _LOOK.first(session, {"max_rows": MAX_WAITING + 1}) or (0, 0, 0)
