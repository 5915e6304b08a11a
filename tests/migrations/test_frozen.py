"""Upgrades of databases that past revisions left, with their data, on every engine."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
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

from tests.conftest import BACKENDS, cloned
from tests.migrations.databases import Contents, contents, revisions, schema, thaw
from tests.storage.samples import new_event, new_user

FROZEN = [
    pytest.param((backend, revision), marks=[pytest.mark.acceptance] * (revision in revisions(backend)[1:-2]))
    for backend in BACKENDS
    for revision in revisions(backend)
]
"""All of them; `make test` has the oldest and the two newest."""
EVENTS, USERS = EventStore(), UserStore()


class Upgraded(NamedTuple):
    """A database that a past revision left, and that was upgraded since."""

    database: Database
    engine: Engine
    frozen: str
    """The revision that it was frozen at."""
    found: str | None
    """The revision that it said it had before the upgrade."""
    before: Contents
    after: Contents


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


@pytest.fixture(scope="module", params=FROZEN, ids="-".join)
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """A database of a past revision at the newest one; what its rows were is read before any test writes."""
    backend, revision = request.param
    with ExitStack() as made:
        if backend == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('frozen')}/artemis.db"
        else:
            server = request.getfixturevalue("postgresql_server")
            url = made.enter_context(cloned(server, "template1")).render_as_string(hide_password=False)
        engine = create_engine(url)
        thaw(engine, revision)
        with engine.connect() as connection:
            found = current_revision(connection)
        before = contents(engine)
        upgrade(engine)
        after = contents(engine)
        with closing(Database(engine)) as database:
            yield Upgraded(database, engine, revision, found, before, after)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_newest_revision_is_frozen_too(backend: str) -> None:
    assert head_revision() in revisions(backend), "run python -m tests.migrations.freeze"


def test_a_frozen_database_is_of_its_revision(upgraded: Upgraded) -> None:
    assert upgraded.frozen == upgraded.found


def test_an_upgrade_keeps_the_data(upgraded: Upgraded) -> None:
    read = upgraded.database.read
    check_revision(upgraded.engine)
    assert [read(partial(USERS.get, row_id=user.id)) for user in FROZEN_USERS] == FROZEN_USERS
    assert [read(partial(EVENTS.get, row_id=event.id)) for event in FROZEN_EVENTS] == FROZEN_EVENTS
    assert read(secrets.page_token_key) == bytes(range(32)), "tokens that were given out stay valid"


def test_an_upgrade_keeps_every_row_of_every_table(upgraded: Upgraded) -> None:
    before, after = upgraded.before, upgraded.after
    assert {"users", "events", "secrets"} < before.keys()
    for table in before.keys() - {"alembic_version", "schema_compatibility"}:
        kept = [{name: row[name] for name in old} for old, row in zip(before[table], after[table], strict=True)]
        assert before[table] == kept, table


def test_after_an_upgrade_ids_are_still_not_reused(upgraded: Upgraded) -> None:
    user = upgraded.database.write(partial(USERS.create, message=new_user()))
    event = upgraded.database.write(partial(EVENTS.create, message=new_event(owner_id=user.id)))
    assert user.id > NEWEST_USER
    assert event.id > NEWEST_EVENT


def test_an_upgraded_database_has_the_schema_of_a_fresh_one(upgraded: Upgraded, request: pytest.FixtureRequest) -> None:
    fresh = create_engine(request.getfixturevalue(f"{upgraded.engine.dialect.name}_url"))
    assert schema(fresh) == schema(upgraded.engine)
    fresh.dispose()
