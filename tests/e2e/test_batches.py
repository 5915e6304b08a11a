"""Batches on a real server: all or nothing, in order, and errors that name the one that is to blame."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import grpc
import pytest
from artemis.v1 import events_pb2 as pb
from artemis.v1.events_pb2 import Event as EventMessage
from artemis_client import (
    Aborted,
    ArtemisClient,
    ArtemisError,
    Event,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    User,
)
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from tests.e2e.refusals import MISSING, STALE, call, fields, refused
from tests.e2e.samples import at, event, event_message, moment, sent_part, user
from tests.e2e.servers import Server, serving

LONG = "d" * 8192


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose whole database tests compare before and after."""
    with serving(tmp_path_factory.mktemp("batches") / "artemis.db") as server:
        yield server


@pytest.fixture
def stored(client: ArtemisClient) -> list[Event]:
    """Five events."""
    return client.events.batch_create(event(name=f"Event {number}") for number in range(5))


def refusal(server: Server, channel: grpc.Channel, request: Message) -> ArtemisError:
    return refused(server, lambda: call(channel, request))


def message(event: Event | EventMessage) -> EventMessage:
    return event.to_message() if isinstance(event, Event) else event


def creates(*sent: Event | EventMessage) -> pb.BatchCreateEventsRequest:
    return pb.BatchCreateEventsRequest(requests=[pb.CreateEventRequest(event=message(each)) for each in sent])


def updates(*sent: Event | EventMessage, mask: tuple[str, ...] = ()) -> pb.BatchUpdateEventsRequest:
    update_mask = FieldMask(paths=mask) if mask else None
    return pb.BatchUpdateEventsRequest(
        requests=[pb.UpdateEventRequest(event=message(each), update_mask=update_mask) for each in sent]
    )


def deletes(*ids: int) -> pb.BatchDeleteEventsRequest:
    return pb.BatchDeleteEventsRequest(requests=[pb.DeleteEventRequest(id=each) for each in ids])


# what is done


def test_a_thousand_events_go_through_every_method(client: ArtemisClient) -> None:
    sent = [event(name=f"Event {number}") for number in range(1000)]

    created = client.events.batch_create(sent)
    assert sent == [sent_part(each) for each in created]
    assert len({each.id for each in created}) == 1000
    backwards = [each.id for each in reversed(created)]
    assert created[::-1] == client.events.batch_get(backwards)

    changes = [Event(id=each.id, name=f"{each.name} new", etag=each.etag) for each in created]
    updated = client.events.batch_update(changes, update_mask=["name"])
    assert [(each.id, each.name) for each in changes] == [(each.id, each.name) for each in updated]
    assert all(new.etag != old.etag for new, old in zip(updated, created, strict=True))
    assert updated == client.events.batch_get([each.id for each in created])

    assert updated[::-1] == client.events.batch_delete(backwards)
    with pytest.raises(NotFound):
        client.events.get(created[0].id)


def test_a_batch_of_one_is_as_the_single_call(client: ArtemisClient) -> None:
    (created,) = client.events.batch_create([event()])
    assert created == client.events.get(created.id)
    (updated,) = client.events.batch_update([Event(id=created.id, name="New")])
    assert updated == client.events.get(created.id)
    assert (updated.name, updated.location) == ("New", created.location)
    assert client.events.batch_delete([created.id]) == [updated]


def test_every_request_has_a_mask_of_its_own(client: ArtemisClient, channel: grpc.Channel, stored: list[Event]) -> None:
    masks: list[list[str]] = [["name"], ["category"], [], ["*"], ["id", "create_time"]]
    request = pb.BatchUpdateEventsRequest(
        requests=[
            pb.UpdateEventRequest(
                event=event_message(id=each.id, name="New", category="", location="Elsewhere"),
                update_mask=FieldMask(paths=mask),
            )
            for each, mask in zip(stored, masks, strict=True)
        ]
    )

    updated = [*map(Event.from_message, call(channel, request).events)]

    assert [(each.name, each.category, each.location == "Elsewhere") for each in updated] == [
        ("New", stored[0].category, False),
        (stored[1].name, "", False),
        ("New", stored[2].category, True),
        ("New", "", True),
        (stored[4].name, stored[4].category, False),
    ]
    assert updated[4] == stored[4], "output-only fields are ignored, and it is not changed"
    assert updated == client.events.batch_get([each.id for each in stored])


def test_a_get_may_name_an_event_twice(client: ArtemisClient, stored: list[Event]) -> None:
    first, second = stored[:2]
    assert client.events.batch_get([second.id, first.id, second.id]) == [second, first, second]


def test_missing_events_may_be_deleted_if_it_is_allowed(client: ArtemisClient, stored: list[Event]) -> None:
    ids = [stored[0].id, MISSING, stored[1].id, MISSING + 1]
    deleted = client.events.batch_delete(ids, allow_missing=True)
    assert deleted == [stored[0], Event(), stored[1], Event()]
    assert client.events.batch_delete(ids, allow_missing=True) == [Event()] * 4
    assert stored[2:] == client.events.batch_get([each.id for each in stored[2:]])


def test_each_deletion_has_an_etag_and_an_allowance_of_its_own(
    server: Server, client: ArtemisClient, channel: grpc.Channel, stored: list[Event]
) -> None:
    request = deletes(stored[0].id, MISSING, stored[1].id)
    request.requests[0].etag = stored[0].etag
    assert fields(refusal(server, channel, request)) == ["requests[1].id"]

    request.requests[1].allow_missing = True
    request.requests[1].etag = STALE
    assert [*map(Event.from_message, call(channel, request).events)] == [stored[0], Event(), stored[1]]
    with pytest.raises(NotFound):
        client.events.batch_get([stored[2].id, stored[0].id])


# errors


@pytest.mark.parametrize("index", [0, 2, 4])
def test_an_owner_who_does_not_exist_is_named(
    server: Server, client: ArtemisClient, stored: list[Event], index: int
) -> None:
    owner: User = client.users.create(user())
    new = [event(owner_id=owner.id) for _ in range(5)]
    changes = [Event(id=each.id, name="New", owner_id=owner.id) for each in stored]
    for some in (new, changes):
        some[index] = replace(some[index], owner_id=MISSING)

    errors = [
        refused(server, lambda: client.events.batch_create(new)),
        refused(server, lambda: client.events.batch_update(changes)),
    ]

    assert [type(each) for each in errors] == [FailedPrecondition] * 2
    assert [each.reason for each in errors] == ["OWNER_NOT_FOUND"] * 2
    assert [fields(each) for each in errors] == [[f"requests[{index}].event.owner_id"]] * 2


@pytest.mark.parametrize("index", [0, 2, 4])
def test_an_event_that_does_not_exist_is_named(
    server: Server, client: ArtemisClient, stored: list[Event], index: int
) -> None:
    ids = [each.id for each in stored]
    ids[index] = MISSING

    errors = [
        refused(server, lambda: client.events.batch_get(ids)),
        refused(server, lambda: client.events.batch_update([Event(id=each, name="New") for each in ids])),
        refused(server, lambda: client.events.batch_delete(ids)),
    ]

    assert [type(each) for each in errors] == [NotFound] * 3
    assert [each.reason for each in errors] == ["EVENT_NOT_FOUND"] * 3
    assert [fields(each) for each in errors] == [
        [f"ids[{index}]"],
        [f"requests[{index}].event.id"],
        [f"requests[{index}].id"],
    ]


@pytest.mark.parametrize("etag", [STALE, "x", "🍰"])
@pytest.mark.parametrize("index", [0, 4])
def test_a_stale_etag_is_named(
    server: Server, channel: grpc.Channel, stored: list[Event], index: int, etag: str
) -> None:
    update = updates(*(Event(id=each.id, name="New", etag=each.etag) for each in stored))
    update.requests[index].event.etag = etag
    delete = deletes(*(each.id for each in stored))
    delete.requests[index].etag = etag

    errors = [refusal(server, channel, update), refusal(server, channel, delete)]

    assert [type(each) for each in errors] == [Aborted] * 2
    assert [each.reason for each in errors] == ["ETAG_MISMATCH"] * 2
    assert [fields(each) for each in errors] == [[f"requests[{index}].event.etag"], [f"requests[{index}].etag"]]


def test_a_stale_etag_aborts_an_update_that_sets_no_field(
    server: Server, channel: grpc.Channel, stored: list[Event]
) -> None:
    error = refusal(server, channel, updates(Event(id=stored[0].id), Event(id=stored[1].id, etag=STALE)))
    assert isinstance(error, Aborted)
    assert fields(error) == ["requests[1].event.etag"]


BAD_FIELDS: list[tuple[str, Any]] = [
    ("name", " "),
    ("name", "n" * 201),
    ("description", "d" * 8193),
    ("category", "\0"),
    ("start_time", at(0, -1)),
    ("end_time", at(0, 10**9)),
    ("end_time", at(1)),
    ("owner_id", -1),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_bad_field_is_named(
    server: Server, channel: grpc.Channel, stored: list[Event], field: str, value: Any
) -> None:
    bad = event_message(**{field: value})
    changed = EventMessage(id=stored[3].id, **{field: value})
    update = updates(*(Event(id=each.id, name="New") for each in stored[:3]), changed)
    errors = [refusal(server, channel, creates(event(), event(), event(), bad)), refusal(server, channel, update)]
    update.requests[3].update_mask.paths.append(field)
    errors.append(refusal(server, channel, update))

    assert [type(each) for each in errors] == [InvalidArgument] * 3
    assert all(f"requests[3].event.{field}" in fields(each) for each in errors), [fields(each) for each in errors]
    assert all(name.startswith("requests[3].event.") for each in errors for name in fields(each))


def test_every_bad_event_of_a_batch_is_named(server: Server, channel: grpc.Channel) -> None:
    error = refusal(server, channel, creates(event(name=""), event(), Event(name="x", end_time=moment(0))))
    assert fields(error) == ["requests[0].event.name", "requests[2].event.start_time"]


def test_every_event_that_an_update_would_spoil_is_named(
    server: Server, channel: grpc.Channel, stored: list[Event]
) -> None:
    sent = [Event(id=each.id, name=name) for each, name in zip(stored, ("", "x", " ", "x", "n" * 201), strict=True)]
    error = refusal(server, channel, updates(*sent, mask=("name",)))
    assert fields(error) == [f"requests[{index}].event.name" for index in (0, 2, 4)]


def test_a_thousand_bad_events_are_told_within_what_trailers_hold(server: Server, channel: grpc.Channel) -> None:
    error = refusal(server, channel, creates(*(event(name="") for _ in range(1000))))
    assert fields(error)[:2] == ["requests[0].event.name", "requests[1].event.name"]


def test_an_end_before_the_start_is_named(server: Server, channel: grpc.Channel, stored: list[Event]) -> None:
    good, bad = event(), event(start_time=moment(10), end_time=moment(9))
    error = refusal(server, channel, creates(good, bad))
    assert fields(error) == ["requests[1].event.end_time"]
    error = refusal(
        server, channel, updates(Event(id=stored[0].id, name="x"), Event(id=stored[1].id, end_time=moment(9)))
    )
    assert fields(error) == ["requests[1].event.end_time"]


def test_an_unknown_path_is_named(server: Server, channel: grpc.Channel, stored: list[Event]) -> None:
    request = updates(*(Event(id=each.id, name="New") for each in stored))
    request.requests[2].update_mask.paths.append("nme")
    error = refusal(server, channel, request)
    assert (error.reason, fields(error)) == ("UNKNOWN_FIELD", ["requests[2].update_mask"])


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.BatchGetEventsRequest(ids=[1, 0]), "ids[1]"),
        (pb.BatchGetEventsRequest(ids=[-1]), "ids[0]"),
        (pb.BatchCreateEventsRequest(requests=[pb.CreateEventRequest()]), "requests[0].event"),
        (pb.BatchUpdateEventsRequest(requests=[pb.UpdateEventRequest()]), "requests[0].event"),
        (updates(Event(id=1), Event(name="x")), "requests[1].event.id"),
        (updates(Event(id=-1)), "requests[0].event.id"),
        (deletes(1, 0), "requests[1].id"),
    ],
)
def test_a_bad_request_of_a_batch_is_named(
    server: Server, channel: grpc.Channel, request_: Message, field: str
) -> None:
    error = refusal(server, channel, request_)
    assert isinstance(error, InvalidArgument)
    assert fields(error) == [field]


@pytest.mark.parametrize("count", [0, 1001])
def test_batches_are_of_1_to_1000(server: Server, channel: grpc.Channel, count: int) -> None:
    numbers = range(1, count + 1)
    errors = [
        refusal(server, channel, pb.BatchGetEventsRequest(ids=numbers)),
        refusal(server, channel, creates(*(event() for _ in numbers))),
        refusal(server, channel, updates(*(Event(id=each, name="x") for each in numbers))),
        refusal(server, channel, deletes(*numbers)),
    ]
    assert [type(each) for each in errors] == [InvalidArgument] * 4
    assert [fields(each) for each in errors] == [["ids"], ["requests"], ["requests"], ["requests"]]


def test_an_event_may_be_changed_once_only(server: Server, channel: grpc.Channel, stored: list[Event]) -> None:
    first, second = stored[0].id, stored[1].id
    update = refusal(server, channel, updates(*(Event(id=each, name="x") for each in (first, second, first))))
    delete = refusal(server, channel, deletes(first, second, second))
    assert [type(each) for each in (update, delete)] == [InvalidArgument] * 2
    assert fields(update) == ["requests[2].event.id"]
    assert fields(delete) == ["requests[2].id"]


@pytest.mark.parametrize("option", [{"request_id": str(UUID(int=1))}, {"validate_only": True}], ids=str)
def test_requests_of_a_batch_have_neither_id_nor_validation_of_their_own(
    server: Server, channel: grpc.Channel, stored: list[Event], option: dict[str, Any]
) -> None:
    batches: list[Any] = [
        creates(event(), event()),
        updates(*(Event(id=each.id, name="x") for each in stored)),
        deletes(*(each.id for each in stored)),
    ]
    for batch in batches:
        for name, value in option.items():
            setattr(batch.requests[1], name, value)
        error = refusal(server, channel, batch)
        assert isinstance(error, InvalidArgument)
        assert fields(error) == [f"requests[1].{name}" for name in option]


# sizes


@pytest.fixture(scope="module")
def large(client: ArtemisClient) -> list[int]:
    """The ids of a thousand events of 8 KiB."""
    batches = [client.events.batch_create([event(description=LONG)] * 250) for _ in range(4)]
    return [each.id for batch in batches for each in batch]


def assert_too_large(error: ArtemisError, field: str) -> None:
    assert isinstance(error, InvalidArgument)
    assert (error.reason, fields(error)) == ("RESPONSE_TOO_LARGE", [field])


@pytest.mark.acceptance
def test_events_that_do_not_fit_into_a_response_are_not_read(
    server: Server, client: ArtemisClient, channel: grpc.Channel, large: list[int]
) -> None:
    assert [each.id for each in client.events.batch_get(large[:300])] == large[:300]
    assert_too_large(refusal(server, channel, pb.BatchGetEventsRequest(ids=large)), "ids")
    assert_too_large(refusal(server, channel, pb.BatchGetEventsRequest(ids=[large[0]] * 1000)), "ids")


def test_an_update_whose_response_is_too_large_changes_nothing(
    server: Server, client: ArtemisClient, channel: grpc.Channel, large: list[int]
) -> None:
    changes = [Event(id=each, publisher="p") for each in large]
    assert_too_large(refusal(server, channel, updates(*changes)), "requests")
    assert len(client.events.batch_update(changes[:300])) == 300


def test_an_update_that_grows_too_large_changes_nothing(
    server: Server, client: ArtemisClient, channel: grpc.Channel
) -> None:
    created = client.events.batch_create([event()] * 400)
    changes = [Event(id=each.id, description=LONG) for each in created]
    assert_too_large(refusal(server, channel, updates(*changes)), "requests")


def test_an_update_whose_response_is_small_is_made_however_large_the_events_were(client: ArtemisClient) -> None:
    ids = [each.id for _ in range(2) for each in client.events.batch_create([event(description=LONG)] * 250)]
    cleared = client.events.batch_update([Event(id=each) for each in ids], update_mask=["description"])
    assert {each.description for each in cleared} == {""}


def test_a_deletion_whose_response_is_too_large_changes_nothing(
    server: Server, channel: grpc.Channel, large: list[int]
) -> None:
    assert_too_large(refusal(server, channel, deletes(*large)), "requests")


@pytest.mark.acceptance
def test_a_creation_whose_response_is_too_large_changes_nothing(server: Server, channel: grpc.Channel) -> None:
    """Below the 4 MiB of a request."""
    batch = creates(*[event(description=LONG)] * 450)
    assert_too_large(refusal(server, channel, batch), "requests")
    batch.validate_only = True
    assert_too_large(refusal(server, channel, batch), "requests")


def test_a_batch_above_4_mib_is_refused_by_the_transport(server: Server, client: ArtemisClient) -> None:
    """And not tried again, nor left hanging. The client divides a batch, but not an event."""
    error = refused(server, lambda: client.events.batch_create([event(description="d" * 5 * 2**20)]))
    assert isinstance(error, ResourceExhausted)
