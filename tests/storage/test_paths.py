"""Every way to the rows of a page gives the same pages, whatever the server finds cheap.

The limits of counting and looking are set so low that few rows go every way. What a list must hold is worked out in
Python from all rows.
"""

from collections.abc import Iterator
from contextlib import closing
from itertools import product

import pytest
from artemis_models import Event, User, lengths
from artemis_server.db.events import EventStore
from artemis_server.db.listing import counts, list_query
from artemis_server.db.statements import Row
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from tests.depth import examples

EVENTS = EventStore()
NAMES = EVENTS.codec.names
PAGE = 7
HOUR = 3_600_000_000
LENGTHS = (0, HOUR, HOUR + 1, 4 * HOUR, lengths.MAX_LENGTHS[3], lengths.MAX_LENGTHS[3] + 1, lengths.MAX_LENGTHS[-1] + 1)
STAGES = {
    "counts decide": ((1_000, 500), (40_000, 2_000), (None, 10_000)),
    "a look at the next rows decides": ((-1, 500), (-1, 500), (None, 500)),
    "many rows are collected, or the list is read": ((-1, 1), (-1, 2), (None, 3)),
    "a look that finds a part of the page goes on": ((-1, 9), (400, 10), (None, 60)),
    "few rows are collected after a look": ((8, 2), (400, 8), (None, 9)),
}
FILTERS = (
    "",
    "start_time < 1970-01-01T06:00:00Z AND end_time > 1970-01-01T04:00:00Z",
    "start_time < 1970-01-01T06:00:00Z AND end_time > 1970-01-01T04:00:00Z AND category = a",
    "end_time >= 1970-01-01T05:00:00Z AND owner_id = 1",
    "update_time > 1970-01-01T00:00:02Z",
    "category = a AND publisher = p1",
    'publisher = p1 AND start_time = "1970-01-01T03:00:00Z"',
    'name = "odd*"',
    'name = "even 4"',
    "external_id = x3",
    '"odd" AND NOT category = b',
    'name:"ven" AND update_time <= 1970-01-01T00:00:02Z',
    "owner_id > 1 OR id < 20",
)
ORDERS = (
    "",
    "id desc",
    "start_time",
    "start_time desc",
    "end_time",
    "end_time desc, id desc",
    "update_time desc",
    "name",
    "name desc",
)
OTHER_ORDERS = ("start_time desc, name", "update_time, start_time desc", "category, start_time")
ALL_ORDERS = (*ORDERS, *OTHER_ORDERS)
PARTS = {"sqlite": 5, "postgresql": 5}
"""`make test` reads one in so many lists; `make acceptance` reads all."""


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A database with events of which many share their times, and whose lengths are at the bounds of classes."""
    rows = [
        {
            "id": number,
            "name": f"{'odd' if number % 2 else 'even'} {number % 11}",
            "description": "",
            "category": "ab"[number % 3 == 0],
            "location": "",
            "publisher": f"p{number % 4}",
            "start_time": (number * 7 % 5) * HOUR,
            "end_time": (number * 7 % 5) * HOUR + LENGTHS[number % len(LENGTHS)],
            "owner_id": None,
            "source": "s" if number % 6 == 0 else "",
            "external_id": f"x{number % 9}" if number % 6 == 0 else "",
            "create_time": 0,
            "update_time": 1_000_000 * (number // 30),
            "version": 1,
        }
        for number in range(1, 100)
    ]
    users = [{"id": owner, "email": f"{owner}@example.com", "create_time": 0, "update_time": 0} for owner in (1, 2)]

    for row in rows[::3]:
        row["owner_id"] = 1 + int(str(row["id"])) % 2
    with Session(engine) as session:
        session.execute(insert(User), users)
        session.execute(insert(Event), rows)
        session.commit()
        yield session


def lists(stages: str, engine: str) -> list[tuple[str, str]]:
    """Returns the filters and orders to try. A part of them has any two of a filter, an order and stages together."""
    parts, stage = PARTS[engine], list(STAGES).index(stages)
    return [
        (filter_text, order_by)
        for (row, filter_text), (column, order_by) in product(enumerate(FILTERS), enumerate(ALL_ORDERS))
        if (row + column + stage) % parts < examples(parts)
    ]


def expected(rows: list[Row], filter_text: str, order_by: str) -> list[int]:
    """Returns the ids of the list."""
    holds = EVENTS.predicate(filter_text) or (lambda _: True)
    chosen = sorted(filter(holds, rows), key=lambda row: row[NAMES.index("id")])
    for term in reversed(order_by.split(", ") if order_by else []):
        name, _, direction = term.partition(" ")
        chosen.sort(key=lambda row: row[NAMES.index(name)], reverse=direction == "desc")
    return [row[NAMES.index("id")] for row in chosen]


def listed(session: Session, filter_text: str, order_by: str) -> list[int]:
    """Returns the ids of all pages."""
    query, ids, after = EVENTS.query(filter_text, order_by), list[int](), None
    while True:
        with closing(query.scan(session, after=after, limit=PAGE)) as chunks:
            page = [row for chunk in chunks for row in chunk]
        ids += [row[NAMES.index("id")] for row in page]
        if len(page) < PAGE:
            return ids
        after = query.position(page[-1])


@pytest.mark.thorough
@pytest.mark.parametrize("stages", STAGES)
def test_pages_are_the_same_by_every_path(session: Session, stages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_query, "_STAGES", STAGES[stages])
    rows = [row for chunk in EVENTS.query("", "").scan(session, after=None, limit=1_000) for row in chunk]
    for filter_text, order_by in lists(stages, session.get_bind().dialect.name):
        wanted = expected(rows, filter_text, order_by)
        assert listed(session, filter_text, order_by) == wanted, (filter_text, order_by)
    for filter_text in FILTERS:
        total = EVENTS.listing(filter_text, "", None).count.total(session)
        assert total == counts.Total(rows=len(expected(rows, filter_text, "")), estimated=False), filter_text


def test_each_list_is_read_by_some_path_on_each_engine() -> None:
    for engine in PARTS:
        assert {each for stages in STAGES for each in lists(stages, engine)} == set(product(FILTERS, ALL_ORDERS))
