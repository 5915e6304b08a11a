"""Realistic events in any number: the same ones every time."""

import itertools
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL

FIRST_START = 1_420_070_400  # seconds: 2015-01-01
DAYS = 12 * 365
MICROS = 1_000_000
COLUMNS = (
    "name, description, category, location, publisher, start_time, end_time, owner_id, source, external_id, "
    "create_time, update_time, version"
)
USER_COLUMNS = "email, first_name, last_name, create_time, update_time"
TOPICS = (
    "storage",
    "networks",
    "compilers",
    "security",
    "design",
    "robotics",
    "statistics",
    "graphics",
    "audio",
    "law",
)
KINDS = ("conference", "workshop", "meetup", "release", "maintenance window", "webinar", "hackathon", "course")
PLACES = ("Kyoto, Japan", "Lyon, France", "Quito, Ecuador", "Tartu, Estonia", "Accra, Ghana", "Perth, Australia", "")
SENTENCES = (
    "Talks in the morning and workshops in the afternoon.",
    "Bring a laptop; seats are limited.",
    "The programme will be published four weeks ahead.",
    "Recordings are available afterwards.",
)
PUBLISHERS = 500
USERS = 1000
FEED_EVERY = 5
"""An event whose number is a multiple of this is a record of a feed."""
LONG_EVERY = 10_000
"""One event in so many lasts for years."""
YEAR = 365 * 86_400
PROGRESS = "event_text_progress"
"""The table of SQLite that has the id of the last event whose text is in the index."""
CHUNK = 50_000
Row = tuple[object, ...]


def rows(count: int, seed: int = 1) -> Iterator[Row]:
    """Yields rows of the table `events`, in the order of COLUMNS. Small categories are as real as large ones.

    Half of the events have an owner, a third were changed after they were made, and a fifth are records of feeds.
    """
    chance = random.Random(seed)  # noqa: S311, not for secrets
    more = random.Random(seed + 1)  # noqa: S311, likewise
    for number in range(1, count + 1):
        topic, kind = chance.choice(TOPICS), chance.choices(KINDS, weights=(40, 20, 20, 8, 5, 4, 2, 1))[0]
        start = (FIRST_START + chance.randrange(DAYS) * 86_400 + chance.randrange(7, 20) * 3600) * MICROS
        created = (FIRST_START + number) * MICROS + chance.randrange(MICROS)
        fed = number % FEED_EVERY == 0
        yield (
            name(topic, kind, number),
            " ".join(chance.choices(SENTENCES, k=chance.randrange(4))),
            kind,
            chance.choice(PLACES),
            f"publisher {chance.randrange(PUBLISHERS)}",
            start,
            start + _seconds(number, chance.choice((1, 2, 8, 48)) * 3600, more) * MICROS,
            more.randint(1, USERS) if more.random() < 1 / 2 else None,
            f"feed {number // FEED_EVERY % 20}" if fed else "",
            external_id(number) if fed else "",
            created,
            created + (more.randrange(90 * 86_400 * MICROS) if more.random() < 1 / 3 else 0),
            1,
        )


def name(topic: str, kind: str, number: int) -> str:
    """Returns the name of an event."""
    return f"{topic.title()} {kind} {number}"


def external_id(number: int) -> str:
    """Returns the id that a record of a feed has there."""
    return f"record-{number}"


def _seconds(number: int, usual: int, chance: random.Random) -> int:
    """Returns how long an event lasts."""
    return chance.randrange(YEAR, 8 * YEAR) if number % LONG_EVERY == LONG_EVERY // 2 else usual


def users() -> Iterator[Row]:
    """Yields rows of the table `users`, in the order of USER_COLUMNS."""
    created = FIRST_START * MICROS
    for number in range(1, USERS + 1):
        yield f"user-{number}@example.com", f"First {number}", f"Last {number}", created, created


def fill(path: Path, count: int) -> None:
    """Adds rows to a migrated SQLite file that nobody has open, and makes its indexes anew.

    The change log stays empty. The text of the events waits until a server indexes it.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=off")
        connection.execute("PRAGMA cache_size=-1000000")  # 1 GB, to sort entries of indexes
        made = _parts(connection)
        for kind, part, _ in made:
            connection.execute(f"DROP {kind} {part}")
        _insert(connection, "users", USER_COLUMNS, users())
        _insert(connection, "events", COLUMNS, rows(count))
        for _, _, sql in made:
            connection.execute(sql)
            connection.commit()


def _parts(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Returns the kind, the name and the statement of each index and trigger of events."""
    return connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'events' AND type IN ('index', 'trigger') "
        "AND sql NOTNULL"
    ).fetchall()


def _insert(connection: sqlite3.Connection, table: str, columns: str, source: Iterable[Row]) -> None:
    marks = ", ".join("?" * len(columns.split(", ")))
    remaining = iter(source)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        with connection:
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", chunk)  # noqa: S608, ours


def waits_for_text(path: Path) -> int:
    """Returns how many events of a SQLite file that `fill` has filled wait until their text is indexed."""
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [PROGRESS]).fetchone():
            return 0
        (waiting,) = connection.execute(
            "SELECT (SELECT count(*) FROM event_text_queue) + (SELECT coalesce(max(id), 0) FROM events) "  # noqa: S608, ours
            f"- (SELECT max(last_id, 0) FROM {PROGRESS})"
        ).fetchone()
    return int(waiting)


def fill_postgresql(conninfo: str, count: int) -> None:
    """Adds rows to a migrated database of PostgreSQL, as its superuser, and makes the indexes of events anew.

    The change log stays empty. `conninfo` is what libpq takes.
    """
    with closing(psycopg.connect(conninfo, autocommit=True)) as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger fires, also not of a foreign key
        connection.execute("SET maintenance_work_mem = '1GB'")
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'events' AND schemaname = current_schema() "
            "AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        ).fetchall()
        for index, _ in indexes:
            connection.execute(SQL("DROP INDEX {}").format(psycopg.sql.Identifier(index)))
        _copy(connection, "users", USER_COLUMNS, users())
        _copy(connection, "events", COLUMNS, rows(count))
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE events")
        connection.execute("ANALYZE users")


def _copy(connection: "psycopg.Connection[Any]", table: str, columns: str, source: Iterable[Row]) -> None:
    statement = SQL(f"COPY {table} ({columns}) FROM STDIN")
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in source:
            copy.write_row(row)
