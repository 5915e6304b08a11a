"""The methods of both services, on a real database and with the interceptor's guard around them."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2, users_pb2
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server import contract
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.storage.samples import START, new_event, new_user
from tests.unit.conftest import Outcome, Service

Code = grpc.StatusCode


def create(service: Service, **fields: Any) -> Event:
    event: Event = service.answer("CreateEvent", events_pb2.CreateEventRequest(event=new_event(**fields)))
    return event


def create_user(service: Service, number: int = 0) -> User:
    user: User = service.answer("CreateUser", users_pb2.CreateUserRequest(user=new_user(number)))
    return user


def get(service: Service, event_id: int) -> Outcome:
    return service.call("GetEvent", events_pb2.GetEventRequest(id=event_id))


def update(service: Service, event: Event, *paths: str) -> Outcome:
    request = events_pb2.UpdateEventRequest(event=event, update_mask=FieldMask(paths=paths))
    return service.call("UpdateEvent", request)


def delete(service: Service, **fields: Any) -> Outcome:
    return service.call("DeleteEvent", events_pb2.DeleteEventRequest(**fields))


def store_many(database: Database, count: int, **fields: Any) -> list[int]:
    """Stores events in one transaction and returns their ids."""
    store = EventStore()

    def work(session: Session) -> list[int]:
        return [each.id for each in store.create_many(session, [new_event(**fields) for _ in range(count)])]

    return database.write(work)


def walk(service: Service, page_size: int) -> Iterator[events_pb2.ListEventsResponse]:
    """Yields the pages of all events."""
    token = ""
    while True:
        request = events_pb2.ListEventsRequest(page_size=page_size, page_token=token)
        page = service.answer("ListEvents", request)
        yield page
        token = page.next_page_token
        if not token:
            return


def test_a_created_event_can_be_got(service: Service) -> None:
    created = create(service)
    assert created == get(service, created.id).response


def test_a_created_user_can_be_got(service: Service) -> None:
    created = create_user(service)
    assert created == service.answer("GetUser", users_pb2.GetUserRequest(id=created.id))


def test_an_event_that_is_not_there_is_not_found(service: Service) -> None:
    outcome = get(service, 404)
    assert outcome.code is Code.NOT_FOUND
    assert outcome.reason == "EVENT_NOT_FOUND"
    assert outcome.text == "there is no event 404"


def test_a_user_that_is_not_there_is_not_found(service: Service) -> None:
    outcome = service.call("GetUser", users_pb2.GetUserRequest(id=404))
    assert outcome.code is Code.NOT_FOUND
    assert outcome.reason == "USER_NOT_FOUND"


def test_an_invalid_event_is_not_created(service: Service) -> None:
    event = new_event(name="", end_time=Timestamp(seconds=START - 1))
    outcome = service.call("CreateEvent", events_pb2.CreateEventRequest(event=event))
    assert outcome.code is Code.INVALID_ARGUMENT
    assert sorted(outcome.fields) == ["event.end_time", "event.name"]
    assert [len(page.events) for page in walk(service, 10)] == [0]


@pytest.mark.parametrize("field", ["start_time", "end_time"])
@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
def test_malformed_nanos_are_refused_at_their_field(service: Service, field: str, nanos: int) -> None:
    seconds = START if field == "start_time" else START + 7200
    malformed = new_event(**{field: Timestamp(seconds=seconds, nanos=nanos)})
    outcome = service.call("CreateEvent", events_pb2.CreateEventRequest(event=malformed))
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.fields == [f"event.{field}"]

    malformed.id = create(service).id
    outcome = update(service, malformed, field)
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.fields == [f"event.{field}"]


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x05abc", b"\x0a\x04\x12\x02\xc3\x28"])
def test_bytes_that_are_no_request_are_malformed(service: Service, raw: bytes) -> None:
    outcome = service.call("CreateEvent", raw)
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.reason == "MALFORMED_REQUEST"


def test_an_empty_request_is_told_what_is_missing(service: Service) -> None:
    expected = {
        "CreateEvent": ["event"],
        "GetEvent": ["id"],
        "UpdateEvent": ["event"],
        "DeleteEvent": ["id"],
        "CreateUser": ["user"],
        "GetUser": ["id"],
        "UpdateUser": ["user"],
        "DeleteUser": ["id"],
    }
    assert expected == {method: service.call(method, b"").fields for method in expected}


def test_an_update_sets_what_the_mask_names(service: Service) -> None:
    created = create(service)
    sent = Event(id=created.id, name="Changed", description="not in the mask")
    updated = update(service, sent, "name", "location").response
    assert updated.name == "Changed"
    assert updated.location == ""
    assert created.description == updated.description
    assert updated == get(service, created.id).response


def test_an_update_without_a_mask_sets_what_is_populated(service: Service) -> None:
    created = create(service)
    updated = update(service, Event(id=created.id, name="Changed", source="ignored")).response
    assert updated.name == "Changed"
    assert updated.source == ""
    assert created.description == updated.description


def test_an_update_with_a_star_replaces_everything(service: Service) -> None:
    created = create(service, owner_id=create_user(service).id)
    sent = Event(id=created.id, name="All new", start_time=created.start_time, end_time=created.end_time)
    updated = update(service, sent, "*").response
    assert updated.name == "All new"
    assert updated.description == updated.category == updated.location == updated.publisher == ""
    assert not updated.HasField("owner_id")


def test_an_update_with_a_star_that_lacks_what_is_required_is_refused(service: Service) -> None:
    created = create(service)
    outcome = update(service, Event(id=created.id), "*")
    assert outcome.code is Code.INVALID_ARGUMENT
    assert sorted(outcome.fields) == ["event.end_time", "event.name", "event.start_time"]
    assert created == get(service, created.id).response


@pytest.mark.parametrize("path", ["start_time", "name"])
def test_what_is_required_cannot_be_cleared(service: Service, path: str) -> None:
    created = create(service)
    outcome = update(service, Event(id=created.id), path)
    assert outcome.code is Code.INVALID_ARGUMENT
    assert [f"event.{path}"] == outcome.fields
    assert created == get(service, created.id).response


def test_an_update_is_judged_together_with_what_is_stored(service: Service) -> None:
    created = create(service)
    outcome = update(service, Event(id=created.id, end_time=Timestamp(seconds=START - 1)), "end_time")
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.fields == ["event.end_time"]
    assert created == get(service, created.id).response


def test_an_unknown_path_is_refused_even_when_nothing_is_there(service: Service) -> None:
    outcome = update(service, Event(id=404), "nmae")
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.reason == "UNKNOWN_FIELD"
    assert outcome.fields == ["update_mask"]


def test_the_epoch_can_be_set(service: Service) -> None:
    created = create(service)
    updated = update(service, Event(id=created.id, start_time=Timestamp()), "start_time").response
    assert updated.HasField("start_time")
    assert Timestamp() == updated.start_time


def test_an_owner_can_be_set_and_cleared(service: Service) -> None:
    created, owner = create(service), create_user(service)
    assert owner.id == update(service, Event(id=created.id, owner_id=owner.id), "owner_id").response.owner_id
    assert not update(service, Event(id=created.id), "owner_id").response.HasField("owner_id")


def test_an_owner_who_does_not_exist_is_a_failed_precondition(service: Service) -> None:
    outcome = service.call("CreateEvent", events_pb2.CreateEventRequest(event=new_event(owner_id=404)))
    assert outcome.code is Code.FAILED_PRECONDITION
    assert outcome.reason == "OWNER_NOT_FOUND"


def test_a_user_who_owns_events_cannot_be_deleted(service: Service) -> None:
    owner = create_user(service)
    create(service, owner_id=owner.id)
    outcome = service.call("DeleteUser", users_pb2.DeleteUserRequest(id=owner.id))
    assert outcome.code is Code.FAILED_PRECONDITION
    assert outcome.reason == "USER_OWNS_EVENTS"


def test_an_address_that_is_taken_already_exists(service: Service) -> None:
    user = create_user(service)
    request = users_pb2.CreateUserRequest(user=User(email=user.email.upper()))
    outcome = service.call("CreateUser", request)
    assert outcome.code is Code.ALREADY_EXISTS
    assert outcome.reason == "EMAIL_TAKEN"


def test_a_user_can_be_updated(service: Service) -> None:
    created = create_user(service)
    request = users_pb2.UpdateUserRequest(
        user=User(id=created.id, first_name="Grace"), update_mask=FieldMask(paths=["first_name", "last_name"])
    )
    updated = service.answer("UpdateUser", request)
    assert updated.first_name == "Grace"
    assert updated.last_name == ""
    assert created.email == updated.email


def test_an_update_that_would_leave_a_user_without_address_is_refused(service: Service) -> None:
    created = create_user(service)
    request = users_pb2.UpdateUserRequest(user=User(id=created.id), update_mask=FieldMask(paths=["email"]))
    outcome = service.call("UpdateUser", request)
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.fields == ["user.email"]


def test_a_stale_etag_is_aborted(service: Service) -> None:
    created = create(service)
    update(service, Event(id=created.id, name="Changed"))
    for outcome in (
        update(service, Event(id=created.id, name="Too late", etag=created.etag)),
        delete(service, id=created.id, etag=created.etag),
        delete(service, id=created.id, etag=created.etag, allow_missing=True),
    ):
        assert outcome.code is Code.ABORTED
        assert outcome.reason == "ETAG_MISMATCH"
    assert get(service, created.id).response.name == "Changed"


def test_delete_returns_the_event_as_it_last_was(service: Service) -> None:
    created = create(service)
    assert created == delete(service, id=created.id, etag=created.etag).response
    assert get(service, created.id).code is Code.NOT_FOUND


def test_deleting_what_is_not_there_is_not_found_unless_it_may_be_missing(service: Service) -> None:
    assert delete(service, id=404).code is Code.NOT_FOUND
    allowed = delete(service, id=404, allow_missing=True)
    assert allowed.code is Code.OK
    assert Event() == allowed.response


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 6, 7, 1000])
def test_pages_hold_every_event_once_and_in_order(service: Service, database: Database, page_size: int) -> None:
    ids = store_many(database, 6)
    pages_ = list(walk(service, page_size))
    assert ids == [event.id for page in pages_ for event in page.events]
    assert all(len(page.events) == page_size for page in pages_[:-1])
    assert len(pages_) == -(-len(ids) // page_size), "no page is empty, not even the last"


def test_an_empty_list_is_one_empty_page(service: Service) -> None:
    page = service.answer("ListEvents", events_pb2.ListEventsRequest())
    assert (list(page.events), page.next_page_token) == ([], "")


def test_a_page_holds_50_unless_told(service: Service, database: Database) -> None:
    store_many(database, 51)
    assert [len(page.events) for page in walk(service, 0)] == [50, 1]


def test_a_page_never_holds_more_than_1000(service: Service, database: Database) -> None:
    store_many(database, 1001)
    assert [len(page.events) for page in walk(service, 5000)] == [1000, 1]


@pytest.mark.parametrize("description", ["😀" * 8192, "x" * 3031])
def test_a_page_ends_before_3_mib(service: Service, database: Database, description: str) -> None:
    """With the largest events, and with a thousand of which the last hardly fits."""
    ids = store_many(database, 1000 if description.isascii() else 120, description=description)
    pages_ = list(walk(service, 1000))
    assert ids == [event.id for page in pages_ for event in page.events]
    assert max(page.ByteSize() for page in pages_) <= contract.MAX_RESPONSE_BYTES


def test_writes_between_pages_neither_skip_nor_repeat_what_did_not_change(service: Service, database: Database) -> None:
    ids = store_many(database, 6)
    first = service.answer("ListEvents", events_pb2.ListEventsRequest(page_size=3))
    delete(service, id=ids[0])
    delete(service, id=ids[2])
    delete(service, id=ids[4])
    newest = create(service).id
    request = events_pb2.ListEventsRequest(page_size=100, page_token=first.next_page_token)
    assert [ids[3], ids[5], newest] == [event.id for event in service.answer("ListEvents", request).events]


@pytest.mark.parametrize("token", ["x", "é", "A" * 100, "AAAA=", " "])
def test_a_token_that_was_not_given_out_is_refused(service: Service, token: str) -> None:
    outcome = service.call("ListEvents", events_pb2.ListEventsRequest(page_token=token))
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.reason == "INVALID_PAGE_TOKEN"
    assert outcome.fields == ["page_token"]


def test_a_token_of_events_is_not_one_of_users(service: Service, database: Database) -> None:
    store_many(database, 2)
    token = service.answer("ListEvents", events_pb2.ListEventsRequest(page_size=1)).next_page_token
    outcome = service.call("ListUsers", users_pb2.ListUsersRequest(page_token=token))
    assert outcome.code is Code.INVALID_ARGUMENT
    assert outcome.fields == ["page_token"]


def test_users_are_listed_in_pages(service: Service) -> None:
    created = [create_user(service, number) for number in range(3)]
    first = service.answer("ListUsers", users_pb2.ListUsersRequest(page_size=2))
    last = service.answer("ListUsers", users_pb2.ListUsersRequest(page_size=2, page_token=first.next_page_token))
    assert created == [*first.users, *last.users]
    assert last.next_page_token == ""


def test_a_write_waits_no_longer_than_its_deadline(service: Service, database: Database) -> None:
    """It waits for the writer, or for the transaction that may take the same address."""
    request = users_pb2.CreateUserRequest(user=new_user())

    def call_while_the_address_is_taken(session: Session) -> Outcome:
        UserStore().create(session, new_user())
        return service.call("CreateUser", request, timeout=0.05)

    outcome = database.write(call_while_the_address_is_taken)
    assert outcome.code is Code.DEADLINE_EXCEEDED
    assert outcome.reason == "DEADLINE_EXCEEDED"


def test_a_write_to_a_closed_database_is_unavailable(service: Service, database: Database) -> None:
    database.close()
    outcome = service.call("CreateEvent", events_pb2.CreateEventRequest(event=new_event()))
    assert outcome.code is Code.UNAVAILABLE
    assert outcome.reason == "SHUTTING_DOWN"


def test_what_was_read_before_is_never_stale(service: Service, database: Database) -> None:
    """An event is changed over the API, changed by hand in SQL, deleted, and given a new place in the list."""
    first, second = create(service), create(service)
    listed = events_pb2.ListEventsRequest(order_by="name")

    def page() -> list[Event]:
        events = service.answer("ListEvents", listed).events
        assert list(events) == [get(service, each.id).response for each in events]
        return list(events)

    assert page() == page() == [first, second]

    changed = update(service, Event(id=second.id, name="A"), "name").response
    assert page() == page() == [changed, first]

    database.write(lambda session: session.execute(text("UPDATE events SET location = 'By hand'")))
    assert {each.location for each in page()} == {"By hand"}
    assert page() == page()

    service.answer("DeleteEvent", events_pb2.DeleteEventRequest(id=first.id))
    assert [each.id for each in page()] == [second.id]
    assert get(service, first.id).code is grpc.StatusCode.NOT_FOUND


def test_a_page_that_is_asked_for_again_ends_where_it_did(service: Service) -> None:
    for _ in range(5):
        create(service)
    for size in (1, 2, 4, 5, 6):
        request = events_pb2.ListEventsRequest(page_size=size, order_by="start_time desc, name")
        answers = [service.answer("ListEvents", request) for _ in range(3)]
        assert answers[0].events == answers[1].events == answers[2].events
        assert len(answers[0].events) == min(size, 5)
        assert [bool(each.next_page_token) for each in answers] == [size < 5] * 3
        for answer in answers if size < 5 else []:
            request.page_token = answer.next_page_token
            rest = service.answer("ListEvents", request).events
            assert [each.id for each in rest] == list(range(size + 1, min(2 * size, 5) + 1))
