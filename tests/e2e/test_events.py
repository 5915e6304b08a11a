"""Events, as the client sees them."""

from collections.abc import Callable
from datetime import UTC, datetime

import grpc
import pytest
from artemis.v1.events_pb2 import CreateEventRequest
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis_client import Aborted, ArtemisClient, ArtemisError, Event, FailedPrecondition, InvalidArgument, NotFound

from tests.e2e.samples import at, event, event_message, moment, sent_part, user

FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00Z
LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
NEVER = 2**63 - 1  # an id that no row will have


@pytest.fixture
def stored(client: ArtemisClient) -> Event:
    return client.events.create(event())


def deleted_id(client: ArtemisClient) -> int:
    created = client.events.create(event())
    client.events.delete(created.id)
    return created.id


def test_create_returns_what_was_sent_with_a_new_id(client: ArtemisClient, stored: Event) -> None:
    other = client.events.create(event())

    assert event() == sent_part(stored) == sent_part(other)
    assert 0 < stored.id < other.id


def test_create_sets_the_times_and_an_etag(client: ArtemisClient) -> None:
    before = datetime.now(UTC)
    created = client.events.create(event())
    after = datetime.now(UTC)

    assert before <= created.create_time <= after
    assert created.create_time == created.update_time
    assert created.etag


def test_create_ignores_the_id_the_etag_and_output_only_fields(client: ArtemisClient, stored: Event) -> None:
    created = client.events.create(event(id=stored.id, etag="mine", source="s", external_id="x", create_time=moment(1)))

    assert event() == sent_part(created)
    assert (created.source, created.external_id) == ("", "")
    assert created.id > stored.id
    assert created.etag != "mine"
    assert created.create_time != moment(1)


def test_get_returns_what_create_returned(client: ArtemisClient, stored: Event) -> None:
    assert stored == client.events.get(stored.id)


def test_only_the_required_fields_are_enough(client: ArtemisClient) -> None:
    sent = Event(name="x", start_time=moment(0), end_time=moment(0))

    assert sent == sent_part(client.events.create(sent))


@pytest.mark.parametrize(
    "sent",
    [
        event(name="n" * 200, description="d" * 8192, category="c" * 100, location="l" * 300, publisher="p" * 100),
        event(name="🎉" * 200, description="講" * 8192),
        event(start_time=moment(FIRST_SECOND), end_time=moment(LAST_SECOND, 999_999)),
        event(name="a\n\tb\r\n'; DROP TABLE events; --", description="\u202e\ufeff\U0010ffff"),
    ],
    ids=["longest", "longest in characters, not bytes", "first and last moment", "odd text"],
)
def test_the_extremes_come_back_unchanged(client: ArtemisClient, sent: Event) -> None:
    created = client.events.create(sent)

    assert sent == sent_part(created)
    assert created == client.events.get(created.id)


def test_times_are_cut_off_to_the_microsecond(channel: grpc.Channel) -> None:
    sent = event_message(start_time=at(5, 999_999_999), end_time=at(-5 + 2**33, 1_999))
    created = EventServiceStub(channel).CreateEvent(CreateEventRequest(event=sent))

    assert at(5, 999_999_000) == created.start_time
    assert at(-5 + 2**33, 1_000) == created.end_time


def test_update_with_a_mask_changes_the_listed_fields_alone(client: ArtemisClient, stored: Event) -> None:
    updated = client.events.update(
        Event(id=stored.id, name="New", location="ignored", category="new"), update_mask=["name", "category"]
    )

    assert event(name="New", category="new") == sent_part(updated)
    assert (stored.id, stored.create_time) == (updated.id, updated.create_time)
    assert updated == client.events.get(stored.id)


def test_update_without_a_mask_changes_the_populated_fields_alone(client: ArtemisClient, stored: Event) -> None:
    updated = client.events.update(Event(id=stored.id, description="New", end_time=moment(LAST_SECOND)))

    assert event(description="New", end_time=moment(LAST_SECOND)) == sent_part(updated)


def test_a_listed_field_that_is_empty_is_cleared(client: ArtemisClient) -> None:
    owner = client.users.create(user())
    stored = client.events.create(event(owner_id=owner.id))

    updated = client.events.update(Event(id=stored.id), update_mask=["description", "owner_id"])

    assert event(description="") == sent_part(updated)
    assert updated.owner_id is None
    assert updated == client.events.get(stored.id)


def test_a_star_replaces_every_field(client: ArtemisClient, stored: Event) -> None:
    sent = Event(name="Only", start_time=moment(1), end_time=moment(2))

    updated = client.events.update(
        Event(id=stored.id, name="Only", start_time=moment(1), end_time=moment(2)), update_mask=["*"]
    )

    assert sent == sent_part(updated)
    assert (stored.id, stored.create_time) == (updated.id, updated.create_time)


def test_a_star_without_a_required_field_is_refused(client: ArtemisClient, stored: Event) -> None:
    with pytest.raises(InvalidArgument) as refused:
        client.events.update(Event(id=stored.id, name="Only"), update_mask=["*"])

    assert [each.field for each in refused.value.violations] == ["event.start_time", "event.end_time"]
    assert stored == client.events.get(stored.id)


def test_output_only_fields_in_a_mask_are_ignored(client: ArtemisClient, stored: Event) -> None:
    updated = client.events.update(
        Event(id=stored.id, source="mine", create_time=moment(1), update_time=moment(1)),
        update_mask=["source", "create_time", "update_time", "id", "external_id"],
    )

    assert sent_part(stored) == sent_part(updated)
    assert ("", stored.create_time) == (updated.source, updated.create_time)
    assert updated.update_time != moment(1)


def test_an_end_before_the_stored_start_is_refused(client: ArtemisClient, stored: Event) -> None:
    with pytest.raises(InvalidArgument) as refused:
        client.events.update(Event(id=stored.id, end_time=moment(0)), update_mask=["end_time"])

    assert [each.field for each in refused.value.violations] == ["event.end_time"]
    assert stored == client.events.get(stored.id)


def test_delete_returns_the_event_and_it_is_gone(client: ArtemisClient, stored: Event) -> None:
    assert stored == client.events.delete(stored.id)

    with pytest.raises(NotFound):
        client.events.get(stored.id)


def test_an_id_is_not_used_again(client: ArtemisClient, stored: Event) -> None:
    client.events.delete(stored.id)

    assert client.events.create(event()).id > stored.id


@pytest.mark.parametrize("missing", ["deleted", "never"])
@pytest.mark.parametrize("method", ["get", "update", "delete", "update with an etag", "delete with an etag"])
def test_what_is_not_there_is_not_found(client: ArtemisClient, method: str, missing: str) -> None:
    event_id = deleted_id(client) if missing == "deleted" else NEVER
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: client.events.get(event_id),
        "update": lambda: client.events.update(Event(id=event_id, name="x")),
        "delete": lambda: client.events.delete(event_id),
        "update with an etag": lambda: client.events.update(Event(id=event_id, name="x", etag="AAAAAAAAAAE=")),
        "delete with an etag": lambda: client.events.delete(event_id, etag="AAAAAAAAAAE="),
    }

    with pytest.raises(NotFound) as refused:
        calls[method]()

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")


def test_a_delete_that_allows_missing_returns_an_empty_event(client: ArtemisClient) -> None:
    assert Event() == client.events.delete(deleted_id(client), allow_missing=True)


def test_a_delete_that_allows_missing_deletes_what_is_there(client: ArtemisClient, stored: Event) -> None:
    assert stored == client.events.delete(stored.id, allow_missing=True)
    assert Event() == client.events.delete(stored.id, allow_missing=True)


def test_every_change_gives_a_new_etag(client: ArtemisClient, stored: Event) -> None:
    etags = [stored.etag] + [client.events.update(Event(id=stored.id, name="same")).etag for _ in range(5)]

    assert len(set(etags)) == 6
    assert etags[-1] == client.events.get(stored.id).etag


def test_a_current_etag_lets_the_change_through(client: ArtemisClient, stored: Event) -> None:
    updated = client.events.update(Event(id=stored.id, name="New", etag=stored.etag))

    assert event(name="New") == sent_part(updated)
    assert updated == client.events.delete(stored.id, etag=updated.etag)


@pytest.mark.parametrize("etag", ["stale", "made up", "almost"])
def test_another_etag_aborts_and_changes_nothing(client: ArtemisClient, stored: Event, etag: str) -> None:
    current = client.events.update(Event(id=stored.id, name="Newer"))
    sent = {"stale": stored.etag, "made up": "no etag at all \0 é", "almost": current.etag + "="}[etag]

    with pytest.raises(Aborted) as update:
        client.events.update(Event(id=stored.id, name="Mine", etag=sent), update_mask=["name"])
    with pytest.raises(Aborted) as delete:
        client.events.delete(stored.id, etag=sent)
    with pytest.raises(Aborted):
        client.events.delete(stored.id, etag=sent, allow_missing=True)

    assert "ETAG_MISMATCH" == update.value.reason == delete.value.reason
    assert current == client.events.get(stored.id)


def test_the_owner_must_exist(client: ArtemisClient, stored: Event) -> None:
    with pytest.raises(FailedPrecondition) as create:
        client.events.create(event(owner_id=NEVER))
    with pytest.raises(FailedPrecondition) as update:
        client.events.update(Event(id=stored.id, owner_id=NEVER))

    assert "OWNER_NOT_FOUND" == create.value.reason == update.value.reason
    assert stored == client.events.get(stored.id)


def test_a_user_who_owns_events_stays_until_they_have_another_owner(client: ArtemisClient) -> None:
    owner = client.users.create(user())
    owned = client.events.create(event(owner_id=owner.id))
    with pytest.raises(FailedPrecondition) as refused:
        client.users.delete(owner.id)
    assert refused.value.reason == "USER_OWNS_EVENTS"
    assert owner == client.users.get(owner.id)

    client.events.update(Event(id=owned.id), update_mask=["owner_id"])

    assert owner == client.users.delete(owner.id)


def test_every_error_is_an_artemis_error(client: ArtemisClient) -> None:
    with pytest.raises(ArtemisError, match="NOT_FOUND: there is no event"):
        client.events.get(NEVER)
