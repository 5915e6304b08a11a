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
OVERLAP = "start_time < 2026-02-01 AND end_time > 2026-01-01"
BY_SOURCE = "source = feed AND external_id = x-1"
PRIMARY_KEY = "INTEGER PRIMARY KEY"
BY_ID = {f"SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)" for table in ("events", "users")}
"""The steps that read the rows of a page whose keys are known."""


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
    Listing(EVENTS, "id > 17", "", PRIMARY_KEY, "rowid>?", "rowid>?"),
)
CHOSEN = (
    Listing(EVENTS, "category = x", "", "ix_events_category", "category=?", "category=? AND id>?"),
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
KEYED = (
    Listing(USERS, "", "email", "ix_users_email", "", "email>?"),
    Listing(EVENTS, "", "name", "ix_events_name", "", "name>?"),
    Listing(EVENTS, "", "update_time", "ix_events_update_time", "", "update_time>?"),
    Listing(EVENTS, "update_time < 2027-01-01", "update_time desc", "ix_events_update_time", *["update_time<?"] * 2),
)
"""Lists by a key that many rows may share."""
CLASSED = (
    Listing(EVENTS, "", "start_time", "ix_events_length_start_time", "<expr>=?", "<expr>=? AND start_time>?"),
    Listing(EVENTS, "", "start_time desc", "ix_events_length_start_time", "<expr>=?", "<expr>=? AND start_time<?"),
    Listing(
        EVENTS, YEAR, "start_time", "ix_events_length_start_time", *["<expr>=? AND start_time>? AND start_time<?"] * 2
    ),
    Listing(
        EVENTS,
        OVERLAP,
        "start_time",
        "ix_events_length_start_time",
        *["<expr>=? AND start_time>? AND start_time<?"] * 2,
    ),
    Listing(EVENTS, OVERLAP, "end_time", "ix_events_length_end_time", *["<expr>=? AND end_time>? AND end_time<?"] * 2),
    *(
        Listing(
            EVENTS,
            f"{field} = 5",
            "start_time",
            f"ix_events_{field}_length",
            f"{field}=? AND <expr>=?",
            f"{field}=? AND <expr>=? AND start_time>?",
        )
        for field in ("category", "publisher", "owner_id")
    ),
)
"""Lists that merge one range for each class of lengths."""
EXTERNAL = Listing(EVENTS, "external_id = x-1", "", "ix_events_external_id", "external_id=?", "external_id=? AND id>?")
LISTINGS = (*ALL, *CHOSEN, *KEYED, *CLASSED, EXTERNAL)

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
        rows = [row for chunk in query.scan(self._session, after=after, limit=51) for row in chunk]
        self._driver.set_trace_callback(None)
        assert rows == []
        return self.explain(sent[-1])  # before it, entries may have been counted


TIMES = ("start_time", "start_time desc", "end_time", "update_time", "update_time desc")
POSITIONS: dict[str, list[Any]] = {
    "": [1000],
    "name": ["m", 1000],
    **{order: [MICROS, 1000] for order in TIMES},
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


@pytest.mark.parametrize("listing", [*KEYED, *CLASSED, EXTERNAL], ids=str)
def test_a_list_by_a_shared_key_is_read_by_the_index_meant_for_it(plans: Plans, listing: Listing) -> None:
    reads = reads_of(plans.first(listing))
    assert {step for step in reads if listing.index not in step} <= BY_ID
    assert any(step.endswith(f"({listing.search})" if listing.search else listing.index) for step in reads)


@pytest.mark.parametrize("listing", [*KEYED, *CLASSED, EXTERNAL], ids=str)
def test_a_deep_page_begins_among_the_rows_that_share_the_key(plans: Plans, listing: Listing) -> None:
    """Those after the row before it are found by their ids, and the rows beyond the key by a range."""
    reads = reads_of(plans.deep(listing))
    assert {step for step in reads if listing.index not in step} <= BY_ID
    assert any(step.endswith(f"({listing.deep_search})") for step in reads)
    key = listing.order_by.partition(" ")[0]
    assert not key or any(f"{key}=?" in step and ("id>?" in step or "rowid>?" in step) for step in reads)


def reads_of(plan: list[str]) -> set[str]:
    """Returns the steps that read rows of a table."""
    return {step for step in plan if step.startswith(("SEARCH events", "SEARCH users", "SCAN events", "SCAN users"))}


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
