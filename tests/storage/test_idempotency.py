"""Requests that are repeated: answered as they were the first time, and done once."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

import pytest
from artemis.v1.events_pb2 import (
    BatchCreateEventsRequest,
    BatchDeleteEventsRequest,
    BatchUpdateEventsRequest,
    CreateEventRequest,
    DeleteEventRequest,
    Event,
    UpdateEventRequest,
)
from artemis.v1.users_pb2 import CreateUserRequest, DeleteUserRequest, User
from artemis_models import IdempotencyKey, create_engine
from artemis_server.db import times
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.idempotency import KEPT, MAX_PRUNED, RequestKey, prune
from artemis_server.errors import FailedPrecondition, InvalidArgument, Violation
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from tests.storage.conftest import PATIENCE, Queueing
from tests.storage.samples import new_event

STORE = EventStore()
ID = "0b7a3c1e-5d2f-4a68-9c3b-7e1f00aa42d9"
OTHER_ID = "5f8d2c44-90ab-4e1d-8a55-13c7e2b6f001"

BROKEN = (ValueError("broken"), InvalidArgument(Violation(field="event.name", description="is bad")))

M = TypeVar("M", bound=Message)
Work = Callable[[Session], Event]


def once(request: Message, request_id: str, response: type[M], work: Callable[[Session], M]) -> Callable[[Session], M]:
    """Returns work that answers a repeat of the request as it answered the first."""
    return partial(RequestKey(request, request_id).answer, response=response, work=work)


def creating(event: Event, request_id: str = ID) -> Work:
    """Returns what a request to create does."""
    key = RequestKey(CreateEventRequest(event=event), request_id) if request_id else None
    return partial(STORE.create, message=event, key=key)


def answering(request: Message, request_id: str = ID) -> Work:
    """Returns work that only the first of two requests does."""
    return once(request, request_id, Event, lambda _: Event(name="answer"))


def changing(*paths: str, **fields: Any) -> UpdateEventRequest:
    """Returns a request to change the name of an event."""
    return UpdateEventRequest(
        event=Event(**{"id": 1, "name": "a", **fields}), update_mask=FieldMask(paths=paths) if paths else None
    )


def with_unknown_fields(request: M) -> M:
    """Returns the request with a field that its message has not."""
    return type(request).FromString(request.SerializeToString() + b"\xa2\x06\x01x")


@pytest.fixture
def neighbour(database_url: str) -> Iterator[Database]:
    """Another server's hold of the same database."""
    database = Database(create_engine(database_url))
    yield database
    database.close()


def names(database: Database) -> list[str]:
    def work(session: Session) -> list[str]:
        chunks = STORE.query("", "").scan(session, after=None, limit=10_000)
        return [row[1] for chunk in chunks for row in chunk]

    return database.read(work)


def kept(database: Database) -> int:
    """Returns how many responses are kept."""
    counting = select(func.count()).select_from(IdempotencyKey)
    return database.read(lambda session: session.scalars(counting).one())


def failing(first: Work, error: Exception) -> Work:
    def work(session: Session) -> Event:
        first(session)
        raise error

    return work


# once


def test_a_repeat_returns_the_first_response_and_changes_nothing(database: Database) -> None:
    first = database.write_statement(creating(new_event()))
    assert [first] * 3 == [database.write_statement(creating(new_event())) for _ in range(3)]
    assert names(database) == [first.name]
    assert kept(database) == 1


def test_a_repeat_does_not_do_the_work(database: Database) -> None:
    request = CreateEventRequest(event=new_event())
    first = database.write(once(request, ID, Event, partial(STORE.create, message=request.event)))
    assert first == database.write(once(request, ID, Event, lambda _: pytest.fail("it was done again")))


def test_a_repeat_returns_what_was_then_and_not_what_is_now(database: Database) -> None:
    first = database.write_statement(creating(new_event()))
    database.write(partial(STORE.update, row_id=first.id, message=Event(name="Now"), paths=("name",), etag=""))
    assert first == database.write_statement(creating(new_event()))
    database.write(partial(STORE.delete, row_id=first.id, etag=""))
    assert first == database.write_statement(creating(new_event()))
    assert names(database) == []


def test_requests_without_an_id_are_all_done(database: Database) -> None:
    created = [database.write_statement(creating(new_event(), "")) for _ in range(3)]
    assert len({each.id for each in created}) == 3
    assert kept(database) == 0


def test_requests_with_ids_of_their_own_are_all_done(database: Database) -> None:
    created = [database.write_statement(creating(new_event(), request_id)) for request_id in (ID, OTHER_ID)]
    assert len({each.id for each in created}) == 2
    assert kept(database) == 2


@pytest.mark.parametrize("form", [str.upper, str.title, str.swapcase])
def test_the_case_of_an_id_does_not_matter(database: Database, form: Callable[[str], str]) -> None:
    first = database.write_statement(creating(new_event()))
    assert first == database.write_statement(creating(new_event(), form(ID)))
    assert names(database) == [first.name]


def test_an_empty_response_is_kept_too(database: Database) -> None:
    """That of a deletion of what was missing and was allowed to be."""
    request = DeleteEventRequest(id=1, allow_missing=True)
    assert database.write(once(request, ID, Event, lambda _: Event())) == Event()
    assert database.write(once(request, ID, Event, lambda _: pytest.fail("it was done again"))) == Event()


DIFFERENT = [
    (CreateEventRequest(event=Event(name="a")), CreateEventRequest(event=Event(name="b"))),
    (CreateEventRequest(event=Event(name="a")), CreateEventRequest(event=Event(description="a"))),
    (UpdateEventRequest(event=Event(id=1)), UpdateEventRequest(event=Event(id=2))),
    (UpdateEventRequest(event=Event(id=1)), UpdateEventRequest(event=Event(id=1, etag="AAAAAAAAAAE="))),
    (DeleteEventRequest(id=1), DeleteEventRequest(id=1, etag="AAAAAAAAAAE=")),
    (changing("name"), changing("*")),
    (changing("name"), changing("name", "category")),
    (changing("name"), changing("name", name="b")),
    (
        CreateEventRequest(event=Event(start_time=Timestamp(nanos=1000))),
        CreateEventRequest(event=Event(start_time=Timestamp(nanos=2000))),
    ),
    (
        UpdateEventRequest(event=Event(id=1), update_mask=FieldMask(paths=["name"])),
        UpdateEventRequest(event=Event(id=1), update_mask=FieldMask(paths=["category"])),
    ),
    (DeleteEventRequest(id=1), DeleteEventRequest(id=2)),
    (DeleteEventRequest(id=1), DeleteEventRequest(id=1, allow_missing=True)),
    (DeleteEventRequest(id=1), DeleteUserRequest(id=1)),
    (CreateEventRequest(event=Event(name="a")), UpdateEventRequest(event=Event(name="a"))),
    (CreateEventRequest(), DeleteEventRequest()),
]
"""Pairs of requests that are not the same, even some that look the same on the wire."""
REPEATED = [
    (CreateEventRequest(event=Event(name="a")), CreateEventRequest(event=Event(name="a", id=1, etag="x"))),
    (
        CreateEventRequest(event=Event(name="a")),
        CreateEventRequest(event=Event(name="a", source="f", external_id="1", create_time=Timestamp(seconds=1))),
    ),
    (CreateEventRequest(event=Event(name="a")), CreateEventRequest(event=Event(name="a"), validate_only=True)),
    (CreateEventRequest(event=Event(name="a")), CreateEventRequest(event=with_unknown_fields(Event(name="a")))),
    (CreateEventRequest(event=Event(name="a")), with_unknown_fields(CreateEventRequest(event=Event(name="a")))),
    (
        CreateEventRequest(event=Event(start_time=Timestamp(nanos=1001))),
        CreateEventRequest(event=Event(start_time=Timestamp(nanos=1999))),
    ),
    (CreateUserRequest(user=User(email="a@b.c")), CreateUserRequest(user=User(email="a@b.c", id=5, source="f"))),
    (changing("name", "category"), changing("category", "name")),
    (changing("name"), changing("name", "name")),
    (changing("name"), changing("name", "id", "etag", "source", "update_time")),
    (changing("name"), changing("name", source="f", create_time=Timestamp(seconds=1))),
    (changing("name"), changing("name", description="not in the mask")),
    (changing("name"), changing()),
    (changing(), UpdateEventRequest(event=Event(id=1, name="a"), update_mask=FieldMask())),
    (changing("name"), with_unknown_fields(changing("name"))),
    (DeleteEventRequest(id=1), with_unknown_fields(DeleteEventRequest(id=1))),
    (
        BatchCreateEventsRequest(requests=[CreateEventRequest(event=Event(name="a"))]),
        BatchCreateEventsRequest(requests=[CreateEventRequest(event=Event(name="a", id=1, source="f"))]),
    ),
    (
        BatchUpdateEventsRequest(requests=[changing("name"), changing("category", "name")]),
        BatchUpdateEventsRequest(requests=[changing("name", source="f"), changing("name", "category")]),
    ),
    (
        BatchDeleteEventsRequest(requests=[DeleteEventRequest(id=1)]),
        BatchDeleteEventsRequest(requests=[with_unknown_fields(DeleteEventRequest(id=1))]),
    ),
]
"""Pairs of requests that differ in ignored parts."""


def test_an_id_is_that_of_one_request(database: Database) -> None:
    """Other content or another type is refused."""
    for number, (first, second) in enumerate(DIFFERENT, 1):
        request_id = str(uuid.uuid4())
        database.write(answering(first, request_id))
        with pytest.raises(InvalidArgument) as caught:
            database.write(answering(second, request_id))
        assert caught.value.reason == "REQUEST_ID_REUSED", (first, second)
        assert [each.field for each in caught.value.violations] == ["request_id"], (first, second)
        assert database.write(answering(first, request_id)) == Event(name="answer"), (first, second)
        assert kept(database) == number, (first, second)


def test_a_request_that_differs_in_ignored_parts_is_a_repeat(database: Database) -> None:
    """Whichever of the two came first."""
    for number, (first, second) in enumerate(REPEATED, 1):
        one, other = str(uuid.uuid4()), str(uuid.uuid4())
        database.write(answering(first, one))
        database.write(answering(second, other))
        assert database.write(answering(second, one)) == Event(name="answer"), (first, second)
        assert database.write(answering(first, other)) == Event(name="answer"), (first, second)
        assert kept(database) == 2 * number, (first, second)


def test_keeping_a_request_leaves_it_as_it_was_sent(database: Database) -> None:
    request = changing("name", "id", description="ignored", source="f")
    before = request.SerializeToString(deterministic=True)
    database.write(answering(request))
    assert before == request.SerializeToString(deterministic=True)


def test_a_refused_request_does_nothing(database: Database) -> None:
    database.write_statement(creating(new_event(name="First")))
    with pytest.raises(InvalidArgument):
        database.write_statement(creating(new_event(name="Second")))
    assert names(database) == ["First"]


@pytest.mark.parametrize("error", BROKEN, ids=repr)
def test_work_that_fails_is_not_kept(database: Database, error: Exception) -> None:
    request = CreateEventRequest(event=new_event())
    with pytest.raises(type(error)):
        database.write(once(request, ID, Event, failing(partial(STORE.create, message=request.event), error)))
    assert names(database) == []
    assert kept(database) == 0


def test_an_id_whose_first_try_failed_can_be_used_again(database: Database) -> None:
    """By the same request, or by one that was mended."""
    with pytest.raises(FailedPrecondition):
        database.write_statement(creating(new_event(owner_id=404)))
    created = database.write_statement(creating(new_event(name="Mended")))
    assert names(database) == ["Mended"]
    assert created == database.write_statement(creating(new_event(name="Mended")))


def test_what_is_undone_after_it_was_kept_is_not_kept(database: Database) -> None:
    with pytest.raises(ValueError, match="afterwards"):
        database.write(failing(creating(new_event()), ValueError("afterwards")))
    assert (names(database), kept(database)) == ([], 0)


def test_what_is_not_committed_is_not_kept(database: Database, queueing: Queueing) -> None:
    def end_transaction(session: Session) -> Any:
        session.connection().exec_driver_sql("ROLLBACK")

    outcomes = queueing.group(creating(new_event()), end_transaction)
    assert all(each.exception() is not None for each in outcomes)
    assert (names(database), kept(database)) == ([], 0)
    assert database.write_statement(creating(new_event())).id > 0
    assert kept(database) == 1


def test_a_request_and_its_repeat_in_one_group_are_done_once(database: Database, queueing: Queueing) -> None:
    first, refused, second = queueing.group(
        creating(new_event()), creating(new_event(name="Other")), creating(new_event())
    )
    assert first.result() == second.result()
    assert isinstance(refused.exception(), InvalidArgument)
    assert names(database) == [first.result().name]


def test_a_repeat_of_what_failed_in_the_same_group_is_done(database: Database, queueing: Queueing) -> None:
    failed, second = queueing.group(failing(creating(new_event()), ValueError("broken")), creating(new_event()))
    assert isinstance(failed.exception(), ValueError)
    assert names(database) == [second.result().name]


def test_concurrent_first_calls_are_done_once(database: Database) -> None:
    threads = 32
    barrier = Barrier(threads)

    def create(_: int) -> Event:
        barrier.wait(PATIENCE)
        return database.write_statement(creating(new_event()))

    with ThreadPoolExecutor(threads) as executor:
        answers = list(executor.map(create, range(threads)))
    assert answers == [answers[0]] * threads
    assert names(database) == [answers[0].name]
    assert kept(database) == 1


def test_an_id_of_a_concurrent_request_of_another_kind_is_refused(database: Database) -> None:
    """Some make a change in a transaction, and some create an event in a statement: they take turns all the same."""
    changed = database.write_statement(creating(new_event(), OTHER_ID))
    threads = 32
    barrier = Barrier(threads)
    update = UpdateEventRequest(event=Event(id=changed.id, name="Changed"))
    updating = once(
        update, ID, Event, partial(STORE.update, row_id=changed.id, message=update.event, paths=("name",), etag="")
    )

    def call(number: int) -> Event | None:
        barrier.wait(PATIENCE)
        try:
            return database.write(updating) if number % 2 else database.write_statement(creating(new_event()))
        except InvalidArgument:
            return None

    with ThreadPoolExecutor(threads) as executor:
        answers = list(executor.map(call, range(threads)))
    refused = answers[::2] if answers[0] is None else answers[1::2]
    assert refused == [None] * (threads // 2)
    answered = [each for each in answers if each is not None]
    assert answered == [answered[0]] * (threads // 2)
    assert kept(database) == 2


def test_a_repeat_waits_for_the_first_and_gets_its_response(database: Database) -> None:
    """On PostgreSQL; SQLite has one writer."""
    waiting = Barrier(2)

    def create_slowly(session: Session) -> Event:
        created = creating(new_event())(session)
        waiting.wait(PATIENCE)
        return created

    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(database.write, create_slowly)
        repeat = executor.submit(database.write_statement, creating(new_event()))
        waiting.wait(PATIENCE)
        assert first.result(PATIENCE) == repeat.result(PATIENCE)
    assert names(database) == [new_event().name]


def test_two_servers_on_one_database_do_it_once(database: Database, neighbour: Database) -> None:
    first = database.write_statement(creating(new_event()))
    assert first == neighbour.write(creating(new_event()))
    assert names(neighbour) == [first.name]


def test_a_dry_run_keeps_neither_row_nor_id(database: Database) -> None:
    dry = database.dry_run(creating(new_event()))
    assert dry.name == new_event().name
    assert (names(database), kept(database)) == ([], 0)
    other = database.write_statement(creating(new_event(name="Other")))
    assert names(database) == ["Other"]
    assert other == database.write_statement(creating(new_event(name="Other")))


def test_a_dry_run_leaves_its_neighbours_alone(database: Database, queueing: Queueing) -> None:
    with ThreadPoolExecutor(3) as executor, queueing.blocked():
        before = queueing.write(executor, creating(new_event(name="Before"), ID))
        dry = queueing.submit(executor, lambda: database.dry_run(creating(new_event(), OTHER_ID)))
        after = queueing.write(executor, creating(new_event(name="After"), OTHER_ID))
    assert [each.result().name for each in (before, after)] == ["Before", "After"]
    assert dry.result().name == new_event().name
    assert names(database) == ["Before", "After"]


# prune


def keep(database: Database, *create_times: int) -> None:
    """Keeps a response of each of these times."""
    rows = [
        {"request_id": uuid.uuid4().bytes, "fingerprint": b"f", "response": b"", "create_time": each}
        for each in create_times
    ]
    database.write(lambda session: session.execute(insert(IdempotencyKey), rows) and None)


def kept_times(database: Database) -> list[int]:
    ordered = select(IdempotencyKey.create_time).order_by(IdempotencyKey.create_time)
    return database.read(lambda session: list(session.scalars(ordered)))


def test_what_is_older_is_pruned_and_nothing_else(database: Database) -> None:
    keep(database, 9, 10, 11, 1, 5, 10)
    assert database.write(partial(prune, before=10)) is False
    assert kept_times(database) == [10, 10, 11]


def test_nothing_is_pruned_of_nothing(database: Database) -> None:
    assert database.write(partial(prune, before=2**62)) is False


@pytest.mark.parametrize(("old", "rounds"), [(MAX_PRUNED - 1, [False]), (MAX_PRUNED + 1, [True, False])])
def test_much_is_pruned_in_rounds(database: Database, old: int, rounds: list[bool]) -> None:
    keep(database, *range(old), old + 5)
    assert rounds == [database.write(partial(prune, before=old)) for _ in rounds]
    assert kept_times(database) == [old + 5]


def test_a_response_is_kept_for_a_day_and_then_forgotten(database: Database) -> None:
    first = database.write_statement(creating(new_event()))
    made = kept_times(database)[0]
    assert times.to_micros(first.create_time) <= made <= times.now()
    assert KEPT == 24 * 60 * 60 * 10**6

    database.write(partial(prune, before=made))
    assert first == database.write_statement(creating(new_event()))
    database.write(partial(prune, before=made + 1))
    assert database.write_statement(creating(new_event())).id > first.id
