"""Realistic events in any number: the same ones every time."""

import itertools
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

FIRST_START = 1_420_070_400  # seconds: 2015-01-01
DAYS = 12 * 365
MICROS = 1_000_000
COLUMNS = (
    "name, description, category, location, publisher, start_time, end_time, owner_id, source, external_id, "
    "create_time, update_time, version"
)
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
Row = tuple[object, ...]


def rows(count: int, seed: int = 1) -> Iterator[Row]:
    """Yields rows of the table `events`, in the order of COLUMNS. Small categories are as real as large ones."""
    chance = random.Random(seed)  # noqa: S311, not for secrets
    for number in range(1, count + 1):
        topic, kind = chance.choice(TOPICS), chance.choices(KINDS, weights=(40, 20, 20, 8, 5, 4, 2, 1))[0]
        start = (FIRST_START + chance.randrange(DAYS) * 86_400 + chance.randrange(7, 20) * 3600) * MICROS
        created = (FIRST_START + number) * MICROS + chance.randrange(MICROS)
        yield (
            f"{topic.title()} {kind} {number}",
            " ".join(chance.choices(SENTENCES, k=chance.randrange(4))),
            kind,
            chance.choice(PLACES),
            f"publisher {chance.randrange(500)}",
            start,
            start + chance.choice((1, 2, 8, 48)) * 3600 * MICROS,
            None,
            "",
            "",
            created,
            created,
            1,
        )


def fill(path: Path, count: int) -> None:
    """Adds rows to a migrated SQLite file that nobody has open, and makes its indexes anew."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=off")
    indexes = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOTNULL").fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    marks = ", ".join("?" * len(COLUMNS.split(", ")))
    source = rows(count)
    while chunk := list(itertools.islice(source, 50_000)):
        with connection:
            connection.executemany(f"INSERT INTO events ({COLUMNS}) VALUES ({marks})", chunk)  # noqa: S608
    for _, sql in indexes:
        connection.execute(sql)
    connection.close()
