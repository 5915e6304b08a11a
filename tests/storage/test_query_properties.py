"""Filters, orders and pages on a real database, compared with what Python makes of the same rows.

The generators say themselves what a filter means, so that nothing of the server judges the server.
"""

import base64
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache, cmp_to_key, partial
from itertools import chain
from typing import Any, NamedTuple, cast

import artemis_models
import grpc
import pytest
import sqlalchemy
from artemis.v1.events_pb2 import Event, ListEventsRequest, ListEventsResponse
from artemis_server.db import secrets
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.errors import InvalidArgument
from artemis_server.query.fields import Kind, fields_of
from artemis_server.rpc.lists import Lists
from artemis_server.rpc.pages import PageTokens
from google.protobuf.descriptor import Descriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from tests.depth import examples

Row = dict[str, Any]
STORE = EventStore()
EVENTS = cast("sqlalchemy.Table", artemis_models.Event.__table__)
STABLE = settings(suppress_health_check=list(HealthCheck))

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY = 86_400_000_000
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
LAST = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - EPOCH) // MICROSECOND
NOON = (datetime(2026, 11, 24, 12, tzinfo=UTC) - EPOCH) // MICROSECOND
LARGEST = 2**63 - 1

FIELDS = fields_of(cast("Descriptor", Event.DESCRIPTOR)).values()
TEXT_FIELDS = tuple(field.name for field in FIELDS if field.kind is Kind.TEXT)
TIME_FIELDS = tuple(field.name for field in FIELDS if field.kind is Kind.TIME)
SORTABLE = ("id", "owner_id", *TEXT_FIELDS, *TIME_FIELDS)

CHARACTERS = "aAbB%_*\\'\"é\u0301e 😀\ud7ff\ue000\U0010ffff"
TEXTS = st.one_of(
    st.sampled_from(
        [
            *("", "a", "A", "ab", "aB", "b", "a%", "%", "_", "a_b", "*", "**", "a*", "*a", "\\", "\\*", "a\\", "''"),
            *("é", "e\u0301", "\u0301", "😀", "😀a", "a😀", "\U0010ffff", "a\U0010ffff", "\U0010ffff\U0010ffff"),
            *("\ud7ff", "a\ud7ff", "\ue000", "a\ue000", "\ufffd", "AND", "or", " a ", "a b", "-a", "a\n", "(a)"),
            *("'; DROP TABLE events; --", '" OR 1=1', ":name", "?", "$1", "ß", "SS", "\u0131", "I", "i"),
        ]
    ),
    st.text(CHARACTERS, max_size=3),
)
TIMES = st.sampled_from(
    [FIRST, FIRST + 1, FIRST + DAY, -DAY, -1, 0, 1, NOON, NOON - 1, NOON + 1, NOON + DAY // 2, LAST - 1, LAST]
)
OWNERS = (1, 5, 6, LARGEST)
NUMBERS = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 5, 6, 7, LARGEST - 1, LARGEST])
IDS = st.sampled_from([1, 2, 3, 5, 6, 7, 10, 2**31, LARGEST - 1, LARGEST])
VERSIONS = st.sampled_from([1, 2, 256, LARGEST])


class Filter(NamedTuple):
    """A filter as text, and what it means."""

    text: str
    holds: Callable[[Row], bool]


BOOLEANS = st.booleans()


@cache  # making a strategy costs more than drawing from it
def pick(*values: Any) -> st.SearchStrategy[Any]:
    """Returns one of the values."""
    return st.sampled_from(values)


@cache
def one_or_two(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[list[Filter]]:
    """Returns lists of parts."""
    return st.lists(parts, min_size=1, max_size=2)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Returns a row without an id."""
    row: Row = {field: draw(TEXTS) for field in TEXT_FIELDS} | {field: draw(TIMES) for field in TIME_FIELDS}
    row["end_time"] = max(row["start_time"], row["end_time"])
    row["owner_id"] = draw(pick(None, *OWNERS))
    row["version"] = draw(VERSIONS)
    return row


TABLES = st.dictionaries(IDS, rows(), min_size=1, max_size=4).map(
    lambda drawn: [{"id": row_id, **row} for row_id, row in drawn.items()]
)


@dataclass(frozen=True)
class Chosen:
    """A value as it is written, and what is compared to it."""

    text: str
    value: Any


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_%éß😀\u0301\ud7ff\ue000\ufffd\U0010ffff")


def literal(draw: st.DrawFn, text: str, before: str = "", after: str = "") -> str:
    """Writes text, with a wildcard or nothing before and after it."""
    bare = text != "" and set(text) <= PLAIN and text.upper() not in ("AND", "OR", "NOT")
    if bare and draw(BOOLEANS):
        return before + text + after
    quote: str = draw(pick("'", '"'))
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("*", "\\*")
    return quote + before + escaped + after + quote


@st.composite
def text_restrictions(draw: st.DrawFn) -> Filter:
    field, text = draw(pick(*TEXT_FIELDS)), draw(TEXTS)
    sign = draw(pick(*COMPARISONS))
    compare = COMPARISONS[sign]
    return Filter(f"{field} {sign} {literal(draw, text)}", lambda row: compare(row[field], text))


@st.composite
def patterns(draw: st.DrawFn) -> Filter:
    field, text = draw(pick(*TEXT_FIELDS)), draw(TEXTS)
    sign, kind = draw(pick("=", "!=")), draw(pick("begins", "ends", "contains"))
    before, after = "*" * (kind != "begins"), "*" * (kind != "ends")
    means: dict[str, Callable[[Row], bool]] = {
        "begins": lambda row: row[field].startswith(text),
        "ends": lambda row: row[field].endswith(text),
        "contains": lambda row: text in row[field],
    }
    holds = means[kind]
    return Filter(
        f"{field}{sign}{literal(draw, text, before, after)}", lambda row: holds(row) if sign == "=" else not holds(row)
    )


@st.composite
def has(draw: st.DrawFn) -> Filter:
    field, text = draw(pick(*TEXT_FIELDS)), draw(TEXTS)
    return Filter(f"{field}:{literal(draw, text)}", lambda row: text in row[field])


@st.composite
def words(draw: st.DrawFn) -> Filter:
    text = draw(TEXTS)
    return Filter(literal(draw, text), lambda row: text in row["name"] or text in row["description"])


@st.composite
def presence(draw: st.DrawFn) -> Filter:
    field = draw(pick(*SORTABLE))
    return Filter(f"{field}:*", lambda row: row[field] is not None and row[field] != "")


@st.composite
def number_restrictions(draw: st.DrawFn) -> Filter:
    field, number = draw(pick("id", "owner_id")), draw(NUMBERS)
    sign = draw(pick(*COMPARISONS, ":"))
    compare = COMPARISONS["=" if sign == ":" else sign]

    def holds(row: Row) -> bool:
        return sign == "!=" if row[field] is None else compare(row[field], number)

    return Filter(f"{field}{sign}{number}", holds)


def wall(micros: int, offset: timedelta) -> str:
    """Writes a time, without its offset, as RFC 3339 does."""
    return (EPOCH + micros * MICROSECOND).astimezone(timezone(offset)).replace(tzinfo=None).isoformat()


@st.composite
def times(draw: st.DrawFn) -> Chosen:
    """Returns a time; its value is in tenths of a microsecond."""
    micros = draw(TIMES)
    if micros % DAY == 0 and draw(BOOLEANS):
        return Chosen(wall(micros, timedelta(0))[:10], micros * 10)
    tenths = draw(pick(0, 0, 5))
    inside = FIRST + DAY <= micros <= LAST - DAY
    minutes = draw(pick(0, 0, 345, -690, 1439)) if inside else 0
    text = wall(micros, timedelta(minutes=minutes))
    if tenths:
        text += ("" if "." in text else ".000000") + "5"
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"
    return Chosen(text + zone, micros * 10 + tenths)


MOMENTS = times()


@st.composite
def time_restrictions(draw: st.DrawFn) -> Filter:
    field, time = draw(pick(*TIME_FIELDS)), draw(MOMENTS)
    sign = draw(pick(*COMPARISONS, ":"))
    compare = COMPARISONS["=" if sign == ":" else sign]
    quote = draw(pick("", "'", '"'))
    return Filter(f"{field} {sign} {quote}{time.text}{quote}", lambda row: compare(row[field] * 10, time.value))


@st.composite
def etags(draw: st.DrawFn) -> Filter:
    version, sign = draw(VERSIONS), draw(pick("=", "!="))
    etag = base64.urlsafe_b64encode(version.to_bytes(8, "big")).decode()
    return Filter(f'etag {sign} "{etag}"', lambda row: (row["version"] == version) == (sign == "="))


RESTRICTIONS = st.one_of(
    text_restrictions(), patterns(), has(), words(), presence(), number_restrictions(), time_restrictions(), etags()
)


@cache
@st.composite
def expressions(draw: st.DrawFn, depth: int) -> Filter:
    """Returns a filter: factors with AND or nothing between them, as the grammar of AIP-160 has it."""
    factors = draw(one_or_two(disjunctions(depth)))
    text = factors[0].text
    for factor in factors[1:]:
        text += draw(pick(" AND ", " ")) + factor.text
    return Filter(text, lambda row: all(factor.holds(row) for factor in factors))


@cache
@st.composite
def disjunctions(draw: st.DrawFn, depth: int) -> Filter:
    terms = draw(one_or_two(negations(depth)))
    return Filter(" OR ".join(term.text for term in terms), lambda row: any(term.holds(row) for term in terms))


@cache
@st.composite
def negations(draw: st.DrawFn, depth: int) -> Filter:
    nested = depth > 0 and draw(BOOLEANS)
    inner = draw(expressions(depth - 1)) if nested else draw(RESTRICTIONS)
    text = f"({inner.text})" if nested else inner.text
    sign = draw(pick("", "", "NOT ", "-"))
    return Filter(sign + text, lambda row: not inner.holds(row) if sign else inner.holds(row))


def store(session: Session, table: Sequence[Row]) -> None:
    """Makes these the rows that there are."""
    session.execute(EVENTS.delete())
    if table:
        session.execute(EVENTS.insert(), list(table))


def owners() -> list[Row]:
    """Returns the users that events belong to."""
    return [{"id": row_id, "email": f"{row_id}@x.org", "create_time": 0, "update_time": 0} for row_id in OWNERS]


def scan(session: Session, filter_text: str, order_by: str = "") -> list[int]:
    """Returns the ids of the rows that a filter chooses."""
    chunks = STORE.query(filter_text, order_by).scan(session, after=None, limit=1000)
    return [row[0] for row in chain.from_iterable(chunks)]


def choose(table: Sequence[Row], filter_text: str) -> list[int]:
    """Returns the ids of the rows that the filter chooses without a database, as watches do."""
    holds = STORE.predicate(filter_text) or (lambda _: True)
    return sorted(row["id"] for row in table if holds(tuple(row[name] for name in STORE.codec.names)))


@pytest.fixture
def session(shared_engine: Engine) -> Iterator[Session]:
    """One transaction, of which nothing is kept: thousands of tables need no commit. It has the owners."""
    with Session(shared_engine) as session:
        session.execute(insert(artemis_models.User), owners())
        yield session


EXAMPLES = {"sqlite": 300, "postgresql": 100}
"""The engines differ only in how expressions are spelled, which takes fewer examples to see."""
FILTERS = st.lists(expressions(2), min_size=3, max_size=3)
"""Several for each table: to make a table costs more than to ask for its rows."""


@pytest.mark.thorough
@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_filter_chooses_the_rows_that_it_says(session: Session) -> None:
    @settings(STABLE, max_examples=examples(EXAMPLES[session.get_bind().dialect.name]))
    @given(FILTERS, TABLES)
    def check(filters: list[Filter], table: list[Row]) -> None:
        store(session, table)
        for chosen in filters:
            expected = sorted(row["id"] for row in table if chosen.holds(row))
            assert expected == scan(session, chosen.text), chosen.text
            assert expected == choose(table, chosen.text), chosen.text

    check()


class Key(NamedTuple):
    """A field to sort by."""

    field: str
    descending: bool

    def compare(self, first: Row, second: Row) -> int:
        """Returns a number below, at or above 0, as the first row comes before, with or after the second."""
        one, two = (() if row[self.field] is None else (row[self.field],) for row in (first, second))
        order = (one > two) - (one < two)  # () is less than all; Python compares text by code point
        return -order if self.descending else order


class Order(NamedTuple):
    """An order of rows; the last of its keys is the id."""

    keys: tuple[Key, ...]

    def compare(self, first: Row, second: Row) -> int:
        """Returns a number below or above 0, as the first row comes before or after the second."""
        return next(filter(None, (key.compare(first, second) for key in self.keys)), 0)

    def sort(self, table: Sequence[Row]) -> list[Row]:
        """Returns the rows in this order."""
        return sorted(table, key=cmp_to_key(self.compare))


@st.composite
def orders(draw: st.DrawFn) -> tuple[str, Order]:
    """Returns an order as text, and what it means."""
    fields = draw(st.lists(st.sampled_from(["owner_id", "owner_id", *SORTABLE]), min_size=1, max_size=3, unique=True))
    directions = [draw(pick("", " asc", " desc")) for _ in fields]
    text = draw(pick(",", " , ")).join(map("".join, zip(fields, directions, strict=True)))
    keys = [Key(field, direction == " desc") for field, direction in zip(fields, directions, strict=True)]
    return text, Order((*keys, Key("id", descending=False)))


FEW_TEXTS = st.sampled_from(["", "", "a", "A", "é", "\ue000", "\U0010ffff", "'\\%"])
FEW_TIMES = st.sampled_from([FIRST, NOON, NOON + 1, LAST])
SORTED_FIELDS = st.fixed_dictionaries(
    dict.fromkeys(TEXT_FIELDS, FEW_TEXTS)
    | dict.fromkeys(("create_time", "update_time"), FEW_TIMES)
    | {"owner_id": st.sampled_from([None, None, *OWNERS])}
    | {"start_time": st.sampled_from([FIRST, NOON, NOON + 1]), "end_time": st.sampled_from([NOON + 1, LAST])}
)
SCHEMA = {"version": 1}


@dataclass(frozen=True)
class Insert:
    """A row is made."""

    values: Row


@dataclass(frozen=True)
class Delete:
    """A row goes: the one with this index, or the last."""

    index: int


@dataclass(frozen=True)
class Update:
    """A row changes: the one with this index, or the last."""

    index: int
    values: Row


Change = Insert | Delete | Update
CHANGES = st.one_of(
    st.builds(Insert, SORTED_FIELDS),
    st.builds(Delete, st.integers(0, 11)),
    st.builds(Update, st.integers(0, 11), SORTED_FIELDS),
)


class Table:
    """The rows that there are, here and in the database; it makes the same changes to both."""

    def __init__(self, database: Database, table: Sequence[Row]) -> None:
        self._database = database
        self._next = len(table) + 1
        self.rows = {number: {"id": number, **SCHEMA, **row} for number, row in enumerate(table, 1)}
        self.touched: set[int] = set()
        database.write(lambda session: store(session, list(self.rows.values())))

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes the changes in one transaction."""
        if changes:
            self._database.write(partial(self._apply_all, changes=changes))

    def _apply_all(self, session: Session, changes: Sequence[Change]) -> None:
        for change in changes:
            self._apply(session, change)

    def _apply(self, session: Session, change: Change) -> None:
        if isinstance(change, Insert):
            row = {"id": self._next, **SCHEMA, **change.values}
            self._next += 1
            session.execute(EVENTS.insert(), row)
        elif self.rows:
            row = self.rows.pop(list(self.rows)[min(change.index, len(self.rows) - 1)])
            session.execute(EVENTS.delete().where(EVENTS.c.id == row["id"]))
        else:
            return
        self.touched.add(row["id"])
        if isinstance(change, Update):
            row = row | change.values
            session.execute(EVENTS.insert(), row)
        if not isinstance(change, Delete):
            self.rows[row["id"]] = row


class Patient:
    """The part of a call's context that a list looks at: there is no deadline, and the caller stays."""

    def time_remaining(self) -> float | None:
        """Returns None."""

    def is_active(self) -> bool:
        """Tells that it is there."""
        return True


def listing(database: Database) -> Callable[[ListEventsRequest], ListEventsResponse]:
    """Returns ListEvents, as the server makes its answers."""
    lists = Lists(database, STORE, PageTokens(lambda: database.read(secrets.page_token_key)))
    context = cast("grpc.ServicerContext", Patient())
    return lambda request: lists.page(request, ListEventsResponse, context)


@pytest.mark.thorough
@pytest.mark.long
@pytest.mark.timeout(300)
def test_pages_skip_and_repeat_no_row_whatever_else_changes(engine: Engine, database: Database) -> None:
    """Each page has exactly the rows that come after the last row of the page before."""
    answer = listing(database)
    database.write(lambda session: session.execute(insert(artemis_models.User), owners()) and None)

    @settings(STABLE, max_examples=examples(EXAMPLES[engine.dialect.name]))
    @given(
        orders(),
        st.lists(SORTED_FIELDS, max_size=10),
        st.lists(st.integers(1, 4), min_size=1, max_size=5),
        st.lists(st.lists(CHANGES, max_size=3), max_size=5),
    )
    def check(order: tuple[str, Order], initial: list[Row], sizes: list[int], gaps: list[list[Change]]) -> None:
        text, meaning = order
        table = Table(database, initial)
        unchanged = meaning.sort(list(table.rows.values()))
        seen: list[int] = []
        last: Row | None = None
        token = ""
        for number in range(len(initial) + sum(map(len, gaps)) + 1):
            size = sizes[number % len(sizes)]
            page = answer(ListEventsRequest(order_by=text, page_size=size, page_token=token))
            behind = [row for row in table.rows.values() if last is None or meaning.compare(row, last) > 0]
            expected = meaning.sort(behind)[:size]
            assert [row["id"] for row in expected] == [event.id for event in page.events]
            assert bool(page.next_page_token) == (len(behind) > size)
            seen += [event.id for event in page.events]
            token = page.next_page_token
            if not token:
                break
            last = expected[-1]
            table.apply(gaps[number] if number < len(gaps) else [])
        assert not token
        untouched = [row["id"] for row in unchanged if row["id"] not in table.touched]
        assert untouched == [row_id for row_id in seen if row_id not in table.touched]

    check()


def event_row(row_id: int, **values: Any) -> Row:
    """Returns a row of which all is empty but what is given."""
    empty: Row = dict.fromkeys(TEXT_FIELDS, "") | dict.fromkeys(TIME_FIELDS, 0)
    return empty | {"owner_id": None, "version": 1} | values | {"id": row_id}


@pytest.mark.parametrize(
    ("stored", "written", "expected"),
    [
        (["a", "A", "ab", "AB"], "name = a", "a"),
        (["a", "A", "ab", "AB"], "name != a", "A|ab|AB"),
        (["a", "A", "ab", "AB"], "name = 'A*'", "A|AB"),
        (["a", "A", "ab", "AB"], "name = '*B'", "AB"),
        (["a", "A", "ab", "AB"], "name:b", "ab"),
        (["a", "A", "ab", "AB"], "b", "ab"),
        (["a", "A", "Z", "é", "É"], "name > Z", "a|é|É"),
        (["é", "e\u0301"], "name = é", "é"),
        (["é", "e\u0301"], "name = 'e*'", "e\u0301"),
        (["é", "e\u0301"], "name = '*\u0301'", "e\u0301"),
        (["ß", "ss", "SS"], "name = ss", "ss"),
        (["a%", "a_", "ab", "%a"], "name = 'a%'", "a%"),
        (["a%", "a_", "ab", "%a"], "name = 'a_'", "a_"),
        (["a%", "a_", "ab", "%a"], "name = '%*'", "%a"),
        (["a%", "a_", "ab", "%a"], "name = '*%'", "a%"),
        (["a%", "a_", "ab", "%a"], "name:%", "a%|%a"),
        (["a%", "a_", "ab", "%a"], "_", "a_"),
        (["a*b", "a?b", "axb"], "name = 'a*b'", "a*b"),
        (["a*b", "a?b", "axb"], "name:?", "a?b"),
        (["a*b", "a?b", "axb"], r"name = '*\**'", "a*b"),
        (["a\\", "a\\b", "ab"], r"name = 'a\\*'", "a\\|a\\b"),
        (["a\\", "a\\b", "ab"], r"name = '*\\'", "a\\"),
        (["*", "**", "!"], "name >= '*'", "*|**"),
        (["*", "**", "!"], "name > '*'", "**"),
        (["*", "**", "!"], "name < '*'", "!"),
        (["a", "", "b"], "name:*", "a|b"),
        (["a", "", "b"], "name = ''", ""),
        (["a", "", "b"], "name != ''", "a|b"),
        (["a", "abc", "bc", "c"], "name = '*abc'", "abc"),
        (["a", "abc", "bc", "c"], "name = '*bc'", "abc|bc"),
        (["😀", "😀a", "a😀"], "name = '*😀'", "😀|a😀"),
        (["😀", "😀a", "a😀"], "name = '😀*'", "😀|😀a"),
        (["\U0010ffff", "\U0010fffe", "\ue000"], "name = '\U0010ffff*'", "\U0010ffff"),
        (["a\U0010ffff", "a\U0010ffffb", "a\U0010fffe", "b"], "name = 'a\U0010ffff*'", "a\U0010ffff|a\U0010ffffb"),
        (["a\ud7ff", "a\ud7ffb", "a\ue000", "b"], "name = 'a\ud7ff*'", "a\ud7ff|a\ud7ffb"),
        (["\ud7ff", "\ue000", "\uffff", "😀"], "name > '\ud7ff'", "\ue000|\uffff|😀"),
        (["\ud7ff", "\ue000", "\uffff", "😀"], "name < '😀'", "\ud7ff|\ue000|\uffff"),
        (["x", "'; DROP TABLE events; --"], 'name = "\'; DROP*"', "'; DROP TABLE events; --"),
    ],
)
def test_text_is_compared_by_code_point_and_as_it_is(
    session: Session, stored: list[str], written: str, expected: str
) -> None:
    store(session, [event_row(number, name=text) for number, text in enumerate(stored)])
    matching = [text for text in stored if text in expected.split("|")]
    assert matching == [stored[row_id] for row_id in scan(session, written)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("owner_id = 5", [5]),
        ("owner_id != 5", [None, 1, 6]),
        ("NOT owner_id = 5", [None, 1, 6]),
        ("-owner_id:5", [None, 1, 6]),
        ("NOT owner_id != 5", [5]),
        ("owner_id < 5", [1]),
        ("NOT owner_id < 5", [None, 5, 6]),
        ("owner_id <= 5", [1, 5]),
        ("NOT owner_id <= 5", [None, 6]),
        ("owner_id > 5", [6]),
        ("NOT owner_id > 5", [None, 1, 5]),
        ("owner_id >= 5", [5, 6]),
        ("NOT owner_id >= 5", [None, 1]),
        ("NOT (owner_id < 5 OR owner_id >= 5)", [None]),
        ("NOT (owner_id < 5 AND owner_id >= 5)", [None, 1, 5, 6]),
        ("owner_id:*", [1, 5, 6]),
        ("NOT owner_id:*", [None]),
        ("NOT (NOT owner_id = 5)", [5]),
        (f"owner_id < {LARGEST}", [1, 5, 6]),
        (f"owner_id > {-(2**63)}", [1, 5, 6]),
    ],
)
def test_an_unset_owner_is_equal_to_no_number_and_neither_less_nor_greater(
    session: Session, written: str, expected: list[int | None]
) -> None:
    owned: list[int | None] = [None, 1, 5, 6]
    store(session, [event_row(number, owner_id=owner) for number, owner in enumerate(owned)])
    assert expected == [owned[row_id] for row_id in scan(session, written)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("owner_id", [None, None, 1, 5]),
        ("owner_id desc", [5, 1, None, None]),
        ("owner_id, id desc", [None, None, 1, 5]),
    ],
)
def test_what_is_unset_sorts_before_everything_else(session: Session, written: str, expected: list[int | None]) -> None:
    owned: list[int | None] = [5, None, 1, None]
    store(session, [event_row(number, owner_id=owner) for number, owner in enumerate(owned)])
    assert expected == [owned[row_id] for row_id in scan(session, "", written)]


def test_ties_are_in_ascending_order_of_id_whatever_the_direction(session: Session) -> None:
    store(session, [event_row(number) for number in range(4)])
    for written in ("name", "name desc", "start_time desc, owner_id desc", "owner_id desc"):
        assert scan(session, "", written) == [0, 1, 2, 3]
    assert scan(session, "", "name, id desc") == [3, 2, 1, 0]


EVERY_FIELD = ",".join(f"{field}{' desc' * (index % 2)}" for index, field in enumerate(SORTABLE[1:]))
DEEPEST = "NOT (a OR id = 2 AND owner_id = 5 OR " * 10 + "x" + ")" * 10


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(DEEPEST, id="deepest"),
        pytest.param("a OR (id = 3 c OR " * 7 + "id = 4 OR (" * 3 + "x" + ")" * 10, id="deep"),
        pytest.param("(" * 10 + "a" + ")" * 10, id="parentheses"),
        pytest.param("-(" * 10 + "owner_id = 5" + ")" * 10, id="negations"),
        pytest.param("(owner_id = 5 OR -" * 10 + "a" + ")" * 10, id="owners"),
        pytest.param("a " * 15, id="words"),
        pytest.param("NOT start_time < 2026-11-24 OR " * 49 + "a", id="terms"),
        pytest.param("owner_id != 5 " * 50, id="owned"),
    ],
)
@pytest.mark.parametrize("order_by", ["", EVERY_FIELD], ids=["by id", "by every field"])
def test_the_largest_filters_and_orders_can_be_answered(session: Session, written: str, order_by: str) -> None:
    store(session, [event_row(number, name="abcx", owner_id=5) for number in (1, 2, 3)])
    everything = STORE.query("", order_by)
    row = next(iter(everything.scan(session, after=None, limit=1)))[0]
    assert row[0] == 1
    after = STORE.query(written, order_by).scan(session, after=everything.position(row), limit=10)
    rest = [row[0] for row in chain.from_iterable(after)]
    assert rest == [row_id for row_id in scan(session, written, order_by) if row_id != 1]


def test_an_order_that_repeats_a_field_is_refused_or_answered(session: Session) -> None:
    store(session, [event_row(number, name="abcx") for number in (1, 2, 3)])
    try:
        query = STORE.query("", ",".join(["name", "name desc"] * 30))
    except InvalidArgument:
        return
    row = next(iter(query.scan(session, after=None, limit=1)))[0]
    assert len(query.position(row)) <= len(SORTABLE)
    assert [row[0] for row in chain.from_iterable(query.scan(session, after=query.position(row), limit=9))] == [2, 3]
