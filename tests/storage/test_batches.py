"""Many events at once: what single calls do, all of it or none, in a few statements."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server.db import times
from artemis_server.db.batches import Change
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.statements import Statement
from artemis_server.db.users import UserStore
from artemis_server.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.orm import Session

from tests.storage.samples import START, all_stored, change, new_event, new_user

STORE, USERS = EventStore(), UserStore()
stored = partial(all_stored, STORE)


def create_many(database: Database, events: Sequence[Event]) -> list[Event]:
    return database.write(partial(STORE.create_many, messages=events))


def create_some(database: Database, count: int) -> list[Event]:
    return create_many(database, [new_event(name=f"Event {number}") for number in range(count)])


def find_many(database: Database, ids: Iterable[int]) -> dict[int, Event]:
    return database.read(partial(STORE.find_many, ids=ids, field="ids"))


def update_many(database: Database, changes: Sequence[Change[Event]]) -> list[Event]:
    return database.write(partial(STORE.update_many, changes=changes))


def delete_many(database: Database, events: Sequence[Event]) -> None:
    database.write(partial(STORE.delete_many, messages=events))


def update(database: Database, event: Event, *paths: str) -> Event:
    return database.write(partial(STORE.update, row_id=event.id, message=event, paths=paths, etag=""))


def create_user(database: Database, number: int = 0) -> User:
    return database.write(partial(USERS.create, message=new_user(number)))


def without_identity(event: Event) -> Event:
    """Returns the event without its id and the times of its making, in which twins differ."""
    kept = Event()
    kept.CopyFrom(event)
    for name in ("id", "create_time", "update_time"):
        kept.ClearField(name)
    return kept


# create_many


def test_created_events_are_those_of_single_calls(database: Database) -> None:
    owner = create_user(database)
    sent = [
        new_event(),
        new_event(owner_id=owner.id),
        Event(name="Bare", start_time=Timestamp(seconds=START), end_time=Timestamp(seconds=START)),
        new_event(description="講演 🎉\n' \" \\ %s :name ?"),
        new_event(id=4711, etag="mine", source="feed", external_id="x-1", create_time=Timestamp(seconds=1)),
    ]
    single = [database.write(partial(STORE.create, message=each)) for each in sent]

    many = create_many(database, sent)

    assert [without_identity(each) for each in single] == [without_identity(each) for each in many]
    assert many == stored(database)[len(sent) :]


def test_created_events_are_of_now_and_have_the_first_etag(database: Database) -> None:
    single = database.write(partial(STORE.create, message=new_event()))
    before = times.now()
    many = create_some(database, 5)
    after = times.now()

    assert {each.etag for each in many} == {single.etag}
    assert all(each.create_time == each.update_time for each in many)
    assert all(before <= times.to_micros(each.create_time) <= after for each in many)


def test_times_of_created_and_changed_events_are_cut_to_microseconds(database: Database) -> None:
    fine, cut = Timestamp(seconds=-1, nanos=999_999_999), Timestamp(seconds=-1, nanos=999_999_000)
    created = create_many(database, [new_event(start_time=fine, end_time=fine), new_event()])
    assert (cut, cut) == (created[0].start_time, created[0].end_time)

    changed = update_many(database, [change(created[1], start_time=fine)])

    assert cut == changed[0].start_time
    assert [created[0], *changed] == stored(database)


def test_a_thousand_events_are_created_in_order(database: Database) -> None:
    many = create_some(database, 1000)
    assert [f"Event {number}" for number in range(1000)] == [each.name for each in many]
    assert len({each.id for each in many}) == 1000
    by_id = {each.id: each for each in many}
    assert by_id == {each.id: each for each in stored(database)}


def test_nothing_is_created_of_nothing(database: Database) -> None:
    assert create_many(database, []) == []
    assert stored(database) == []


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_an_owner_who_does_not_exist_refuses_all_and_is_named(database: Database, bad: int) -> None:
    owner = create_user(database)
    events = [new_event(owner_id=owner.id) for _ in range(7)]
    events[bad].owner_id = 404

    with pytest.raises(FailedPrecondition) as caught:
        create_many(database, events)

    assert caught.value.reason == "OWNER_NOT_FOUND"
    assert caught.value.resource_name == "404"
    assert caught.value.field == f"requests[{bad}].event.owner_id"
    assert stored(database) == []


def test_a_batch_that_fails_late_leaves_nothing(database: Database) -> None:
    def work(session: Session) -> None:
        STORE.create_many(session, [new_event()] * 10)
        raise NotFound("X_NOT_FOUND", "later", resource_type="x", resource_name="1")

    with pytest.raises(NotFound):
        database.write(work)
    assert stored(database) == []


# find_many


def test_events_are_found_by_id(database: Database) -> None:
    created = create_some(database, 1000)
    found = find_many(database, [each.id for each in created])
    assert found == {each.id: each for each in created}


def test_what_is_not_there_is_not_found(database: Database) -> None:
    created = create_some(database, 2)
    found = find_many(database, [created[0].id, 2**63 - 1, created[0].id])
    assert found == {created[0].id: created[0]}


def test_nothing_is_found_of_nothing(database: Database) -> None:
    create_some(database, 1)
    assert find_many(database, []) == {}


def test_too_much_for_one_response_is_not_read(database: Database) -> None:
    created = create_many(database, [new_event(description="d" * 8192)] * 400)
    assert len(find_many(database, [each.id for each in created[:300]])) == 300

    with pytest.raises(InvalidArgument) as caught:
        find_many(database, [each.id for each in created])

    assert caught.value.reason == "RESPONSE_TOO_LARGE"
    assert [each.field for each in caught.value.violations] == ["ids"]


# update_many


def test_changed_events_are_those_of_single_calls(database: Database) -> None:
    """With a mask of its own each, in the order in which they were sent."""
    owner = create_user(database)
    fields: list[dict[str, Any]] = [
        {"name": "New"},
        {"description": None, "category": "new"},
        {"name": "Another"},
        {"owner_id": owner.id},
        {"start_time": Timestamp(seconds=START - 1, nanos=5000), "end_time": Timestamp(seconds=START)},
        {"category": "c", "description": "d"},
        {"owner_id": None, "location": None},
        {},
    ]
    events = [new_event(name=f"Event {number}", owner_id=owner.id) for number in range(len(fields))]
    twins, many = create_many(database, events), create_many(database, events)
    single = [
        update(database, change(twin, **changed).merged, *changed) for twin, changed in zip(twins, fields, strict=True)
    ]

    changes = [change(each, **changed) for each, changed in zip(many, fields, strict=True)]
    changed = update_many(database, changes[::-1])[::-1]

    assert [each.id for each in many] == [each.id for each in changed]
    assert [without_identity(each) for each in single] == [without_identity(each) for each in changed]
    assert changed == stored(database)[len(twins) :]


def test_an_update_keeps_the_time_of_making_and_sets_that_of_the_change(database: Database) -> None:
    created = create_some(database, 3)
    before = times.now()
    changed = update_many(database, [change(each, name="New") for each in created])
    after = times.now()

    assert [each.create_time for each in created] == [each.create_time for each in changed]
    assert all(before <= times.to_micros(each.update_time) <= after for each in changed)
    assert all(old.etag != new.etag for old, new in zip(created, changed, strict=True))


def test_update_times_never_go_back(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    created = create_some(database, 3)
    monkeypatch.setattr(times, "now", lambda: 1_000_000)  # the clock was set back to 1970
    changed = update_many(database, [change(each, name="New") for each in created])
    assert [each.update_time for each in created] == [each.update_time for each in changed]


def test_a_change_without_fields_changes_nothing(database: Database) -> None:
    created = create_some(database, 3)
    assert created == update_many(database, [change(each) for each in created])
    assert created == stored(database)


def test_a_thousand_events_are_changed(database: Database) -> None:
    created = create_some(database, 1000)
    changed = update_many(database, [change(each, name=f"{each.name} new") for each in created])
    assert [f"Event {number} new" for number in range(1000)] == [each.name for each in changed]
    assert changed == sorted(stored(database), key=lambda each: each.name.split()[1].zfill(4))


def test_other_events_are_left_alone(database: Database) -> None:
    first, second, third = create_some(database, 3)
    changed = update_many(database, [change(second, name="New")])
    assert stored(database) == [first, *changed, third]


@pytest.mark.parametrize("stale", [0, 2, 4])
def test_an_event_that_changed_since_it_was_read_aborts_the_update_of_all(database: Database, stale: int) -> None:
    created = create_some(database, 5)
    current = update(database, Event(id=created[stale].id, location="Elsewhere"), "location")

    with pytest.raises(Aborted) as caught:
        update_many(database, [change(each, name="New") for each in created])

    assert caught.value.reason == "ETAG_MISMATCH"
    created[stale] = current
    assert created == stored(database)


def test_a_stale_event_undoes_what_other_masks_changed(database: Database) -> None:
    created = create_some(database, 2)
    current = update(database, created[1], "name")
    with pytest.raises(Aborted):
        update_many(database, [change(created[0], name="New"), change(created[1], category="new")])
    assert [created[0], current] == stored(database)


@pytest.mark.parametrize("bad", [0, 2])
def test_an_update_to_an_owner_who_does_not_exist_refuses_all(database: Database, bad: int) -> None:
    created = create_some(database, 3)
    changes = [change(each, name="New") for each in created]
    changes[bad] = change(created[bad], owner_id=404)

    with pytest.raises(FailedPrecondition) as caught:
        update_many(database, changes)

    assert caught.value.field == f"requests[{bad}].event.owner_id"
    assert created == stored(database)


# delete_many


def test_events_are_deleted_and_others_left_alone(database: Database) -> None:
    created = create_some(database, 5)
    delete_many(database, [created[3], created[0], created[4]])
    assert created[1:3] == stored(database)


def test_a_thousand_events_are_deleted(database: Database) -> None:
    delete_many(database, create_some(database, 1000))
    assert stored(database) == []


def test_nothing_is_deleted_of_nothing(database: Database) -> None:
    created = create_some(database, 2)
    delete_many(database, [])
    assert created == stored(database)


def test_an_event_that_changed_since_it_was_read_aborts_the_deletion_of_all(database: Database) -> None:
    created = create_some(database, 3)
    current = update(database, created[1], "name")
    with pytest.raises(Aborted):
        delete_many(database, created)
    assert stored(database) == [created[0], current, created[2]]


def test_an_event_that_is_gone_aborts_the_deletion_of_all(database: Database) -> None:
    first, second = create_some(database, 2)
    delete_many(database, [second])
    with pytest.raises(Aborted):
        delete_many(database, [first, second])
    assert [first] == stored(database)


def test_ids_of_deleted_events_are_not_used_again(database: Database) -> None:
    created = create_some(database, 3)
    delete_many(database, created)
    assert min(each.id for each in create_some(database, 3)) > max(each.id for each in created)


# statements


@pytest.fixture
def statements(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Is told of every statement: those that SQLAlchemy executes and those of the fast path."""
    seen: list[str] = []
    prepare = Statement._prepare

    def prepared(statement: Statement, session: Session) -> Any:
        driver, compiled = prepare(statement, session)
        seen.append(compiled.sql)
        return driver, compiled

    monkeypatch.setattr(Statement, "_prepare", prepared)
    sqlalchemy_event.listen(engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    return seen


def creating(database: Database, count: int, owner: User) -> Callable[[], object]:
    events = [new_event(owner_id=owner.id) for _ in range(count)]
    return lambda: create_many(database, events)


def finding(database: Database, count: int, _: User) -> Callable[[], object]:
    ids = [each.id for each in create_some(database, count)]
    return lambda: find_many(database, ids)


def updating(database: Database, count: int, owner: User) -> Callable[[], object]:
    fields: tuple[dict[str, Any], ...] = ({"name": "New"}, {"description": None}, {"owner_id": owner.id}, {})
    created = create_some(database, count)
    changes = [change(each, **fields[number % len(fields)]) for number, each in enumerate(created)]
    return lambda: update_many(database, changes)


def deleting(database: Database, count: int, _: User) -> Callable[[], object]:
    created = create_some(database, count)
    return lambda: delete_many(database, created)


def named(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("prepare", "most"), [(creating, 4), (finding, 1), (updating, 5), (deleting, 2)], ids=named)
def test_statements_do_not_grow_with_the_events(
    database: Database, statements: list[str], prepare: Callable[[Database, int, User], Callable[[], object]], most: int
) -> None:
    owner = create_user(database)
    used = []
    for count in (8, 300):
        run = prepare(database, count, owner)
        statements.clear()
        run()
        used.append([each for each in statements if not each.startswith("BEGIN")])

    few, many = used
    assert len(few) == len(many)
    assert 1 <= len(many) <= most, many
