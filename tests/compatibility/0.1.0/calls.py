"""Every method of the contract, called with the kept client of 0.1.0 as a program of its time called it.

PYTHONPATH=artemis_client-0.1.0-py3-none-any.whl:artemis_protos-0.1.0-py3-none-any.whl python calls.py TARGET

It is kept with the client. Only a fault of the program itself changes it: a server that needs other calls broke v1.
"""

import sys
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice

import artemis_client
import grpc
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2
from artemis_client import (
    Aborted,
    AlreadyExists,
    ArtemisClient,
    ArtemisError,
    ChangeType,
    Event,
    EventMirror,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    User,
    Violation,
    timestamp,
)
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo

START, END = (timestamp(datetime(2030, 5, 4, hour, tzinfo=UTC)) for hour in (9, 17))
NOBODY = 2**40
"""An id that no event and no user has."""


def event(**fields: object) -> Event:
    """Returns an event to create."""
    return Event(**{"name": "Compiler day", "start_time": START, "end_time": END, **fields})


def email() -> str:
    """Returns an address that no user has."""
    return f"{uuid.uuid4().hex}@example.com"


def users(client: ArtemisClient) -> None:
    """Users: written, read and refused."""
    address = email()
    ada = client.users.create(User(email=address, first_name="Ada", last_name="Lovelace"))
    assert (ada.email, ada.first_name, ada.last_name, ada.source, ada.external_id) == (
        address,
        "Ada",
        "Lovelace",
        "",
        "",
    )
    assert ada.id > 0
    assert ada.create_time == ada.update_time
    assert ada == client.users.get(ada.id)
    assert [ada] == list(client.users.list(filter=f'email = "{address}"', order_by="last_name desc, id"))
    renamed = client.users.update(User(id=ada.id, first_name="Augusta"), update_mask=["first_name", "last_name"])
    assert (renamed.first_name, renamed.last_name, renamed.email) == ("Augusta", "", address)
    assert refusal(AlreadyExists, client.users.create, User(email=address.upper())).reason == "EMAIL_TAKEN"
    assert refusal(Aborted, client.users.update, ada).reason == "ETAG_MISMATCH"
    missing = refusal(NotFound, client.users.get, NOBODY)
    assert (missing.reason, missing.metadata, missing.detail(ResourceInfo).resource_type) == (
        "USER_NOT_FOUND",
        {"id": str(NOBODY)},
        "artemis/user",
    )
    owned = client.events.create(event(owner_id=ada.id))
    assert refusal(FailedPrecondition, client.users.delete, ada.id).reason == "USER_OWNS_EVENTS"
    client.events.delete(owned.id)
    assert renamed == client.users.delete(ada.id, etag=renamed.etag)
    assert User() == client.users.delete(ada.id, allow_missing=True)


def events(client: ArtemisClient) -> None:
    """Events: written, read, changed in part, repeated, and only checked."""
    number = str(uuid.uuid4())
    made = client.events.create(event(location="Kyoto", category="x"), request_id=number)
    assert made == client.events.create(event(location="Kyoto", category="x"), request_id=number)
    assert refusal(InvalidArgument, client.events.create, event(), request_id=number).reason == "REQUEST_ID_REUSED"
    assert (made.name, made.location, made.start_time, made.end_time) == ("Compiler day", "Kyoto", START, END)
    assert not made.HasField("owner_id")
    assert made == client.events.get(made.id)
    checked = client.events.update(Event(id=made.id, name="Other"), validate_only=True)
    assert (checked.name, client.events.get(made.id).name) == ("Other", "Compiler day")
    moved = client.events.update(Event(id=made.id, location="Nara"))
    assert (moved.name, moved.location, moved.category) == ("Compiler day", "Nara", "x")
    whole = client.events.update(event(id=made.id, etag=moved.etag), update_mask=["*"])
    assert (whole.location, whole.category, whole.etag != moved.etag) == ("", "", True)
    assert refusal(Aborted, client.events.delete, made.id, etag=made.etag).code is grpc.StatusCode.ABORTED
    assert whole == client.events.delete(made.id, etag=whole.etag)
    assert refusal(NotFound, client.events.delete, made.id).reason == "EVENT_NOT_FOUND"
    assert Event() == client.events.delete(made.id, allow_missing=True)


def batches(client: ArtemisClient) -> None:
    """Batches of events: in order, all or none."""
    made = client.events.batch_create(event(name=f"Day {number}") for number in range(3))
    assert [each.name for each in made] == ["Day 0", "Day 1", "Day 2"]
    ids = [each.id for each in made]
    assert [made[2], made[0]] == client.events.batch_get([ids[2], ids[0]])
    moved = client.events.batch_update((Event(id=each, location="Lyon") for each in ids), update_mask=["location"])
    assert [each.location for each in moved] == ["Lyon"] * 3
    failed = refusal(FailedPrecondition, client.events.batch_create, [event(), event(owner_id=NOBODY)])
    assert (failed.reason, failed.violations[0].field) == ("OWNER_NOT_FOUND", "requests[1].event.owner_id")
    assert failed.detail(PreconditionFailure).violations[0].subject == f"user/{NOBODY}"
    assert refusal(NotFound, client.events.batch_get, [ids[0], NOBODY]).violations[0].field == "ids[1]"
    assert moved == client.events.batch_delete(ids)
    assert [Event()] == client.events.batch_delete([ids[0]], allow_missing=True)


def errors(client: ArtemisClient) -> None:
    """Errors: their codes, reasons, details and fields."""
    refused = refusal(InvalidArgument, client.events.create, Event(name=" ", category="c" * 101))
    assert (refused.reason, refused.code) == ("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT)
    assert refused.violations == (
        Violation(field="event.name", description="must not be blank", reason="STRING_NOT_BLANK"),
        Violation(field="event.category", description="must be at most 100 characters", reason="STRING_MAX_LEN"),
        Violation(field="event.start_time", description="value is required", reason="REQUIRED"),
        Violation(field="event.end_time", description="value is required", reason="REQUIRED"),
    )
    assert (refused.detail(ErrorInfo).domain, len(refused.detail(BadRequest).field_violations)) == ("artemis", 4)
    assert refused.request_id
    assert refusal(InvalidArgument, list, client.events.list(filter="name = ")).reason == "INVALID_FILTER"
    assert refusal(InvalidArgument, list, client.events.list(order_by="etag")).reason == "INVALID_ORDER_BY"
    assert refusal(InvalidArgument, list, client.events.list(page_size=-1)).violations[0].field == "page_size"
    masked = refusal(InvalidArgument, client.events.update, Event(id=1), update_mask=["nothing"])
    assert masked.violations[0].field == "update_mask"
    assert refusal(InvalidArgument, client.events.create, event(), request_id="x").violations[0].field == "request_id"


def lists(client: ArtemisClient) -> None:
    """Lists: filters, orders, and pages that neither skip nor repeat."""
    category = uuid.uuid4().hex
    made = client.events.batch_create(event(name=f"Day {number % 3}", category=category) for number in range(7))
    filter = f'category = "{category}" AND start_time >= "2030-01-01T00:00:00Z" AND NOT owner_id:*'  # noqa: A001
    assert made == list(client.events.list(filter=filter, page_size=2))
    ordered = sorted(made, key=lambda each: (each.name, -each.id), reverse=True)
    assert ordered == list(client.events.list(filter=filter, order_by="name desc", page_size=3))
    assert made[:3] == sorted(
        client.events.list(filter=f'{filter} AND (name = "Day*" AND id <= {made[2].id})'), key=lambda each: each.id
    )
    with grpc.insecure_channel(sys.argv[1]) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        page = stub.ListEvents(events_pb2.ListEventsRequest(filter=filter, page_size=5))
        assert (len(page.events), bool(page.next_page_token), bool(page.resume_token)) == (5, True, True)
        next_page = events_pb2.ListEventsRequest(filter=filter, page_size=5, page_token=page.next_page_token)
        assert [*page.events, *stub.ListEvents(next_page).events] == made
    client.events.batch_delete(each.id for each in made)


def changes(client: ArtemisClient) -> None:
    """Changes: watched in order, resumed, mirrored, and looked up afterwards."""
    category = uuid.uuid4().hex
    first = client.events.create(event(category=category))
    listed, watch = client.events.list_and_watch(filter=f'category = "{category}"')
    with watch:
        assert [first] == list(listed)
        second = client.events.create(event(category=category))
        created = next(watch)
        assert (created.type, created.event, created.principal) == (ChangeType.CREATED, second, "")
        moved = client.events.update(Event(id=first.id, location="Nara"))
        gone = client.events.delete(second.id)
        expected = [(ChangeType.UPDATED, moved), (ChangeType.DELETED, gone)]
        assert expected == pairs(islice(watch, 2))
    with client.events.watch(created.resume_token, filter=f'category = "{category}"') as resumed:
        assert expected == pairs(islice(resumed, 2))
    history = list(client.events.history(first.id, page_size=1))
    assert pairs(history) == [(ChangeType.UPDATED, moved), (ChangeType.CREATED, first)]
    assert history[0].previous_event == first
    with EventMirror(client, filter=f'category = "{category}"') as mirror:
        assert mirror.wait_until_synced(timeout=60)
        assert {moved.id: moved} == dict(mirror.events.items())
    client.events.delete(first.id)
    assert refusal(InvalidArgument, next, client.events.watch("x")).reason == "INVALID_RESUME_TOKEN"


def pairs(found: Iterable[artemis_client.EventChange]) -> list[tuple[ChangeType, Event]]:
    """Returns the types and the events of changes."""
    return [(each.type, each.event) for each in found]


def refusal(
    expected: type[ArtemisError], call: Callable[..., object], *arguments: object, **options: object
) -> ArtemisError:
    """Returns the error that the call raises, which must be of this type."""
    try:
        call(*arguments, **options)
    except expected as error:
        return error
    raise AssertionError(f"{call} was not refused")


if __name__ == "__main__":
    assert "artemis_client-0.1.0-py3-none-any.whl" in artemis_client.__file__, "not the kept client"
    assert "artemis_protos-0.1.0-py3-none-any.whl" in events_pb2.__file__, "not the kept stubs"
    with ArtemisClient(sys.argv[1], timeout=60) as artemis:
        for part in (users, events, batches, errors, lists, changes):
            part(artemis)
    for module in (events_pb2, users_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            print(*(f"{service.full_name}/{method.name}" for method in service.methods), sep="\n")  # noqa: T201
