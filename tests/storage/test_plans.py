"""SQLite finds the rows of the lists that people ask for by an index, at any depth.

The plans are of the very statements that the server sends, as the driver's trace tells them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from artemis_models import Base, create_engine
from artemis_server.db import idempotency
from artemis_server.db.events import EventStore
from artemis_server.db.store import Store
from artemis_server.db.users import UserStore
from sqlalchemy.orm import Session

EVENTS, USERS = EventStore(), UserStore()
MICROS = 1_767_225_600_000_000
YEAR = "start_time >= 2026-01-01 AND start_time < 2027-01-01"
BY_SOURCE = "source = feed AND external_id = x-1"
PRIMARY_KEY = "INTEGER PRIMARY KEY"
SORTS_ALL = "USE TEMP B-TREE FOR ORDER BY"


@dataclass(frozen=True)
class Listing:
    """A list that people ask for, and the index that is meant for it.

    `search` is what SQLite compares in the index, on the first page and on a deep one: nothing, if it reads
    the index from its beginning.
    """

    store: Store[Any]
    filter: str
    order_by: str
    index: str
    search: str
    deep_search: str

    def __str__(self) -> str:
        return f"{self.store.kind}s {self.filter or 'all'} by {self.order_by or 'id'}"


ALL = (
    Listing(EVENTS, "", "", PRIMARY_KEY, "", "rowid>?"),
    Listing(EVENTS, "", "start_time desc", "ix_events_start_time", "", "start_time<?"),
    Listing(USERS, "", "email", "ix_users_email", "", "email>?"),
)
CHOSEN = (
    Listing(EVENTS, "id > 17", "", PRIMARY_KEY, "rowid>?", "rowid>?"),
    Listing(EVENTS, YEAR, "start_time desc", "ix_events_start_time", *["start_time>? AND start_time<?"] * 2),
    Listing(EVENTS, "category = x", "", "ix_events_category", "category=?", "category=? AND id>?"),
    Listing(
        EVENTS,
        "category = x",
        "start_time desc",
        "ix_events_category_start_time",
        "category=?",
        "category=? AND start_time<?",
    ),
    Listing(EVENTS, "publisher = x", "", "ix_events_publisher", "publisher=?", "publisher=? AND id>?"),
    Listing(EVENTS, "owner_id = 5", "", "ix_events_owner_id", "owner_id=?", "owner_id=? AND id>?"),
    Listing(
        EVENTS,
        BY_SOURCE,
        "",
        "ix_events_source_external_id",
        "source=? AND external_id=?",
        "source=? AND external_id=? AND id>?",
    ),
    Listing(USERS, 'email = "ada@example.com"', "", "ix_users_email", "email=?", "email=? AND id>?"),
    Listing(
        USERS,
        BY_SOURCE,
        "",
        "ix_users_source_external_id",
        "source=? AND external_id=?",
        "source=? AND external_id=? AND id>?",
    ),
)
ASCENDING = (
    Listing(EVENTS, YEAR, "start_time", "ix_events_start_time", *["start_time>? AND start_time<?"] * 2),
    Listing(EVENTS, "", "start_time", "ix_events_start_time", "", "start_time>?"),
)
PREFIXES = (
    Listing(EVENTS, 'category = "x*"', "", "ix_events_category", *["category>? AND category<?"] * 2),
    Listing(USERS, 'email = "ada*"', "", "ix_users_email", *["email>? AND email<?"] * 2),
)
LISTINGS = (*ALL, *CHOSEN, *ASCENDING, *PREFIXES)

OTHER_REASONS = {
    "ux_users_email": "no two users have one address, without regard to case",
    "ix_loads_feed": "the last load of a feed is looked up",
    "ix_idempotency_keys_create_time": "answers that are old are found and removed",
    "ix_event_changes_event_id": "the history of one event is read",
    "ix_event_changes_transaction_id": "PostgreSQL's log of changes is read in the order of transactions",
}


@pytest.fixture
def session(sqlite_url: str) -> Iterator[Session]:
    """A session on a migrated SQLite database."""
    engine = create_engine(sqlite_url)
    with Session(engine) as session:
        yield session
    engine.dispose()


class Plans:
    """Explains statements."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._driver = cast("Any", session.connection().connection.dbapi_connection)

    def first(self, listing: Listing) -> list[str]:
        """Returns the plan of the first page."""
        return self._list(listing, None)

    def deep(self, listing: Listing) -> list[str]:
        """Returns the plan of a page after some other row."""
        return self._list(listing, POSITIONS[listing.order_by])

    def explain(self, sql: str) -> list[str]:
        """Returns the steps of the plan of a statement."""
        return [row[3] for row in self._driver.execute("EXPLAIN QUERY PLAN " + sql)]

    def _list(self, listing: Listing, after: list[Any] | None) -> list[str]:
        query = listing.store.query(listing.filter, listing.order_by)
        sent: list[str] = []
        self._driver.set_trace_callback(sent.append)
        rows = list(query.scan(self._session, after=after, limit=51))
        self._driver.set_trace_callback(None)
        assert rows == []
        (sql,) = sent
        return self.explain(sql)


POSITIONS: dict[str, list[Any]] = {
    "": [1000],
    "start_time": [MICROS, 1000],
    "start_time desc": [MICROS, 1000],
    "email": ["m@example.com", 1000],
}


@pytest.fixture
def plans(session: Session) -> Plans:
    """Plans on an empty database, which has no statistics to choose by."""
    return Plans(session)


def step(listing: Listing, search: str) -> str:
    """Returns the step that reads the rows by the index."""
    table = f"{listing.store.kind}s"
    return f"SEARCH {table} USING {index_of(listing)} ({search})" if search else scan_of(listing, table)


def index_of(listing: Listing) -> str:
    return listing.index if listing.index == PRIMARY_KEY else f"INDEX {listing.index}"


def scan_of(listing: Listing, table: str) -> str:
    """Returns the step that reads a table in the order of the index, as far as the page goes."""
    return f"SCAN {table}" if listing.index == PRIMARY_KEY else f"SCAN {table} USING {index_of(listing)}"


@pytest.mark.parametrize("listing", [*ALL, *CHOSEN], ids=str)
def test_a_list_is_read_in_its_order_by_the_index_meant_for_it(plans: Plans, listing: Listing) -> None:
    """There is no other step: nothing is sorted, and reading ends with the page."""
    assert plans.first(listing) == [step(listing, listing.search)]


@pytest.mark.parametrize("listing", [*ALL, *CHOSEN], ids=str)
def test_a_deep_page_begins_where_the_one_before_ended(plans: Plans, listing: Listing) -> None:
    assert plans.deep(listing) == [step(listing, listing.deep_search)]


@pytest.mark.parametrize("listing", ASCENDING, ids=str)
def test_ascending_times_are_read_from_the_same_index_and_only_ties_are_sorted(plans: Plans, listing: Listing) -> None:
    for plan, search in ((plans.first(listing), listing.search), (plans.deep(listing), listing.deep_search)):
        assert plan[0] == step(listing, search)
        assert SORTS_ALL not in plan[1:]


@pytest.mark.parametrize("listing", PREFIXES, ids=str)
def test_what_begins_with_a_text_is_searched_for(plans: Plans, listing: Listing) -> None:
    assert plans.first(listing)[0] == step(listing, listing.search)
    assert plans.deep(listing)[0] == step(listing, listing.deep_search)


def test_old_answers_are_found_by_their_time(session: Session, plans: Plans) -> None:
    sent: list[str] = []
    driver = cast("Any", session.connection().connection.dbapi_connection)
    driver.set_trace_callback(sent.append)
    idempotency.prune(session, MICROS)
    driver.set_trace_callback(None)
    (found,) = plans.explain(sent[0])
    assert found == "SEARCH idempotency_keys USING INDEX ix_idempotency_keys_create_time (create_time<?)"


def test_the_events_of_a_user_who_is_deleted_are_found_by_their_owner(plans: Plans) -> None:
    """SQLite checks a foreign key with this search (its documentation, "Required and Suggested Database Indexes")."""
    (found,) = plans.explain("SELECT rowid FROM events WHERE owner_id = 5")
    assert found == "SEARCH events USING COVERING INDEX ix_events_owner_id (owner_id=?)"


def test_every_index_is_there_for_a_reason(plans: Plans) -> None:
    used = {listing.index for listing in LISTINGS if any(listing.index in found for found in plans.first(listing))}
    indexes = {str(index.name) for table in Base.metadata.tables.values() for index in table.indexes}
    assert indexes == (used | set(OTHER_REASONS)) - {PRIMARY_KEY}
    assert used.isdisjoint(OTHER_REASONS)
