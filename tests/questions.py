"""The questions that people ask every day, as lists of events: docs/queries.md promises how long they take.

The benchmark (`tests/benchmarks/questions.py`) measures them, and `tests/storage/test_plans.py` looks at their plans.
Both draw the values of a question from what `tests/benchmarks/generate.py` makes.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.benchmarks.generate import (
    DAYS,
    FEED_EVERY,
    FIRST_START,
    KINDS,
    MICROS,
    PUBLISHERS,
    USERS,
    external_id,
)

FEW_CHANGED, MANY_CHANGED = 100, 10_000
HOUR, DAY, WEEK, MONTH = 3600, 86_400, 7 * 86_400, 30 * 86_400
FIRST = FIRST_START * MICROS
LAST = (FIRST_START + DAYS * DAY) * MICROS
_EPOCH = datetime(1970, 1, 1)
OVERLAP = 'start_time < "{end}" AND end_time > "{begin}"'
CATEGORY, PUBLISHER, OWNER = 'category = "{category}"', 'publisher = "{publisher}"', "owner_id = {owner}"

START, END = "ix_events_length_start_time", "ix_events_length_end_time"
CATEGORY_START, PUBLISHER_START = "ix_events_category_length", "ix_events_publisher_length"
OWNER_START = "ix_events_owner_id_length"
UPDATE_TIME, NAME, EXTERNAL_ID = "ix_events_update_time", "ix_events_name", "ix_events_external_id"
SOURCE = "ix_events_source_external_id"
BY_CATEGORY, BY_PUBLISHER, BY_OWNER = "ix_events_category", "ix_events_publisher", "ix_events_owner_id"
TEXT = ("event_texts", "ix_events_text")
"""On SQLite and on PostgreSQL."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The numbers of a database that values are drawn from. Times are microseconds since 1970."""

    rows: int
    changed: Mapping[int, int]
    """For a number of rows, the time since which so many were changed; 0 if there are fewer."""
    last_update: int
    names: Sequence[str]
    """Names of some of the rows."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with its values, and a position somewhere in its list: the values of the sort keys of a row."""

    filter: str
    order_by: str
    position: list[int | str]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A list of events.

    Names in braces in the filter stand for values, which `draw` describes. `window` is the time from begin to end in
    seconds, and `changed` is the number of rows that were changed since {changed}.
    """

    title: str
    filter: str = ""
    order_by: str = ""
    window: int = 0
    changed: int = 0
    walks: bool = False
    """True if so many rows match that reading in the order of the list soon finds a page of them."""
    indexes: tuple[str, ...] = ()
    """The indexes of which one is meant for the question; none if the order of the ids is."""
    bounded: bool = False
    """True if the question is one of the documented slow ones, which only the deadline bounds."""

    def __str__(self) -> str:
        return self.title

    def draw(self, facts: Facts, chance: random.Random) -> Asked:
        """Returns the question with values that some rows have, and a position that need not be a row's."""
        full = chance.choice(facts.names)
        beginning, _, digits = full.rpartition(" ")
        number = int(digits)
        begin = chance.randint(FIRST, LAST - self.window * MICROS)
        end = begin + self.window * MICROS if self.window else LAST
        values = {
            "begin": to_text(begin),
            "end": to_text(end),
            "changed": to_text(facts.changed[self.changed]) if self.changed else "",
            "category": chance.choice(KINDS),
            "publisher": f"publisher {chance.randrange(PUBLISHERS)}",
            "owner": chance.randint(1, USERS),
            "name": full,
            "beginning": beginning,
            "number": number,
            "external_id": external_id(number - number % FEED_EVERY),
            "source": f"feed {number // FEED_EVERY % 20}",
            "absent": f"zebra {number}",
        }
        lower = facts.changed[self.changed] if self.changed else begin if "{begin}" in self.filter else FIRST
        keys: dict[str, int | str] = {
            "start_time": chance.randint(lower, end),
            "end_time": chance.randint(lower, end),
            "update_time": chance.randint(min(lower, facts.last_update), facts.last_update),
            "name": full,
        }
        fields = [part.split()[0] for part in self.order_by.split(",") if part]
        return Asked(
            filter=self.filter.format_map(values),
            order_by=self.order_by,
            position=[*(keys[field] for field in fields), chance.randint(1, facts.rows)],
        )


def to_text(micros: int) -> str:
    """Returns a time as a filter has it: 0 gives 1970-01-01T00:00:00.000000Z."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"


def _overlaps() -> tuple[Question, ...]:
    windows = {"an hour": HOUR, "a day": DAY, "a week": WEEK, "a month": MONTH}
    return tuple(
        Question(
            title=f"on within {name}, by {order}", filter=OVERLAP, order_by=order, window=window, indexes=(START, END)
        )
        for order in ("start_time", "end_time", "start_time desc")
        for name, window in windows.items()
    )


def _narrowed_overlaps() -> tuple[Question, ...]:
    equalities = {
        "a category": (CATEGORY, CATEGORY_START),
        "a publisher": (PUBLISHER, PUBLISHER_START),
        "an owner": (OWNER, OWNER_START),
    }
    return tuple(
        Question(
            title=f"on within {name} with {what}, by {order}",
            filter=f"{equality} AND {OVERLAP}",
            order_by=order,
            window=window,
            indexes=(index, START, END),
        )
        for order in ("start_time", "end_time")
        for what, (equality, index) in equalities.items()
        for name, window in {"a day": DAY, "a month": MONTH}.items()
    )


def _changes() -> tuple[Question, ...]:
    return tuple(
        Question(
            title=f"changed since, {count:,} rows, by {order or 'id'}",
            filter='update_time > "{changed}"',
            order_by=order,
            changed=count,
            walks=not order,
            indexes=(UPDATE_TIME,) if order or count == FEW_CHANGED else (),
        )
        for order in ("update_time", "")
        for count in (FEW_CHANGED, MANY_CHANGED)
    )


def _texts() -> tuple[Question, ...]:
    absent, frequent, part = '"{absent}"', '"laptop"', 'name:"{number}"'
    by_start = "start_time"
    return (
        Question(title="a text that nothing has, by id", filter=absent, indexes=TEXT),
        Question(
            title="a text that nothing has, by start_time",
            filter=absent,
            order_by=by_start,
            indexes=TEXT,
        ),
        Question(title="a frequent text, by id", filter=frequent, walks=True),
        Question(title="a frequent text, by start_time", filter=frequent, order_by=by_start, walks=True),
        Question(
            title="a frequent text within a day, by start_time",
            filter=f"{frequent} AND {OVERLAP}",
            order_by=by_start,
            window=DAY,
        ),
        Question(title="a rare part of a name, by id", filter=part, indexes=TEXT),
        Question(title="a rare part of a name, by start_time", filter=part, order_by=by_start, indexes=TEXT),
        Question(title="a part of a location, by id", filter='location:"Kyoto"', walks=True),
        Question(title="an end of a name, by id", filter='name = "* {number}"', indexes=TEXT),
        Question(title="two characters that nothing has, by id", filter='name:"zq"', walks=True, bounded=True),
    )


def _names() -> tuple[Question, ...]:
    beginning = 'name = "{beginning} *"'
    return (
        Question(title="all, by name", order_by="name", indexes=(NAME,)),
        Question(title="a frequent beginning of a name, by name", filter=beginning, order_by="name", indexes=(NAME,)),
        Question(title="a frequent beginning of a name, by id", filter=beginning, walks=True),
        Question(title="a rare beginning of a name, by id", filter='name = "{name}*"', indexes=(NAME,)),
        Question(title="a name", filter='name = "{name}"', indexes=(NAME,)),
    )


def _equalities() -> tuple[Question, ...]:
    both = f"{CATEGORY} AND {PUBLISHER}"
    by_start = "start_time"
    return (
        Question(title="an external_id", filter='external_id = "{external_id}"', indexes=(EXTERNAL_ID,)),
        Question(
            title="a source and an external_id",
            filter='source = "{source}" AND external_id = "{external_id}"',
            indexes=(SOURCE, EXTERNAL_ID),
        ),
        Question(title="a category, by id", filter=CATEGORY, indexes=(BY_CATEGORY, "pk_events")),
        Question(title="a publisher, by id", filter=PUBLISHER, indexes=(BY_PUBLISHER,)),
        Question(title="an owner, by id", filter=OWNER, indexes=(BY_OWNER,)),
        Question(
            title="a category, by start_time desc",
            filter=CATEGORY,
            order_by="start_time desc",
            indexes=(CATEGORY_START,),
        ),
        Question(title="an owner, by start_time", filter=OWNER, order_by=by_start, indexes=(OWNER_START,)),
        Question(
            title="a category and a publisher since a time, by start_time",
            filter=f'{both} AND start_time >= "{{begin}}"',
            order_by=by_start,
            indexes=(PUBLISHER_START,),
        ),
        Question(
            title="a category and a publisher, by start_time",
            filter=both,
            order_by=by_start,
            indexes=(PUBLISHER_START,),
        ),
    )


QUESTIONS = (
    Question(title="all, by id"),
    *(
        Question(title=f"all, by {order}", order_by=order, indexes=(index,))
        for order, index in {
            "start_time": START,
            "start_time desc": START,
            "end_time": END,
            "update_time": UPDATE_TIME,
        }.items()
    ),
    *_overlaps(),
    *_narrowed_overlaps(),
    Question(title="on within a day, by id", filter=OVERLAP, window=DAY, indexes=(START, END)),
    Question(
        title="runs now or is next, by end_time", filter='end_time > "{begin}"', order_by="end_time", indexes=(END,)
    ),
    *_changes(),
    *_texts(),
    *_names(),
    *_equalities(),
)
