"""Upgrades of databases that past revisions left, with their data, on every engine."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_models import check_revision, create_engine, current_revision, head_revision, upgrade
from artemis_server.db import etags, secrets
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Engine

from tests.conftest import BACKENDS
from tests.migrations.databases import contents, revisions, schema, thaw
from tests.storage.samples import new_event, new_user

FROZEN = [(backend, revision) for backend in BACKENDS for revision in revisions(backend)]
EVENTS, USERS = EventStore(), UserStore()


class Frozen(NamedTuple):
    """A database that was frozen at a revision."""

    engine: Engine
    revision: str


def micros(value: int) -> Timestamp:
    seconds, rest = divmod(value, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


FROZEN_USERS = [
    User(
        id=1,
        email="Ada@Example.com",
        first_name="Ada",
        last_name="Lovelace",
        create_time=micros(1767225600000001),
        update_time=micros(1767225600000002),
        etag=etags.from_version(3),
    ),
    User(
        id=2,
        email="grace@example.com",
        first_name="Grace",
        last_name="O'Hopper",
        source="staff",
        external_id="g-1",
        create_time=micros(1767225600000003),
        update_time=micros(1767225600000003),
        etag=etags.from_version(1),
    ),
]
FROZEN_EVENTS = [
    Event(
        id=1,
        name="Première 🎉",
        description='It\'s "quoted"; -- and\nof two lines',
        category="party",
        location="京都",
        publisher="Release team",
        start_time=Timestamp(seconds=-62135596800),
        end_time=Timestamp(seconds=253402300799, nanos=999_999_000),
        owner_id=1,
        create_time=micros(1767225600000005),
        update_time=micros(1767225600000009),
        etag=etags.from_version(5),
    ),
    Event(
        id=2,
        name="At the epoch",
        start_time=Timestamp(),
        end_time=Timestamp(),
        source="feed",
        external_id="x-1",
        create_time=micros(1767225600000006),
        update_time=micros(1767225600000006),
        etag=etags.from_version(1),
    ),
]
"""The rows that every frozen database has."""
NEWEST_USER, NEWEST_EVENT = 7, 9
"""Ids that were given out before the database was frozen, and whose rows were deleted."""


@pytest.fixture(params=FROZEN, ids="-".join)
def frozen(request: pytest.FixtureRequest) -> Iterator[Frozen]:
    """A database as a past revision left it."""
    backend, revision = request.param
    engine = create_engine(request.getfixturevalue(f"empty_{backend}_url"))
    thaw(engine, revision)
    yield Frozen(engine, revision)
    engine.dispose()


@pytest.fixture
def upgraded(frozen: Frozen) -> Iterator[Database]:
    """The same, at the newest revision."""
    upgrade(frozen.engine)
    database = Database(frozen.engine)
    yield database
    database.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_newest_revision_is_frozen_too(backend: str) -> None:
    assert head_revision() in revisions(backend), "run python -m tests.migrations.freeze"


def test_a_frozen_database_is_of_its_revision(frozen: Frozen) -> None:
    with frozen.engine.connect() as connection:
        assert frozen.revision == current_revision(connection)


def test_an_upgrade_keeps_the_data(frozen: Frozen, upgraded: Database) -> None:
    check_revision(frozen.engine)
    assert [upgraded.read(partial(USERS.get, row_id=user.id)) for user in FROZEN_USERS] == FROZEN_USERS
    assert [upgraded.read(partial(EVENTS.get, row_id=event.id)) for event in FROZEN_EVENTS] == FROZEN_EVENTS
    assert upgraded.read(secrets.page_token_key) == bytes(range(32)), "tokens that were given out stay valid"


def test_an_upgrade_keeps_every_row_of_every_table(frozen: Frozen) -> None:
    before = contents(frozen.engine)
    upgrade(frozen.engine)
    after = contents(frozen.engine)
    assert {"users", "events", "secrets"} < before.keys()
    for table in before.keys() - {"alembic_version"}:
        kept = [{name: row[name] for name in old} for old, row in zip(before[table], after[table], strict=True)]
        assert before[table] == kept, table


def test_after_an_upgrade_ids_are_still_not_reused(upgraded: Database) -> None:
    user = upgraded.write(partial(USERS.create, message=new_user()))
    event = upgraded.write(partial(EVENTS.create, message=new_event(owner_id=user.id)))
    assert user.id > NEWEST_USER
    assert event.id > NEWEST_EVENT


def test_an_upgraded_database_has_the_schema_of_a_fresh_one(frozen: Frozen, request: pytest.FixtureRequest) -> None:
    upgrade(frozen.engine)
    fresh = create_engine(request.getfixturevalue(f"{frozen.engine.dialect.name}_url"))
    assert schema(fresh) == schema(frozen.engine)
    fresh.dispose()
