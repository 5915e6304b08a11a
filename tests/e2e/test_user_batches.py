"""Batches of users on a real server: all or nothing, and errors that name the user who is to blame."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from artemis.v1 import users_pb2 as pb
from artemis_client import (
    Aborted,
    AlreadyExists,
    ArtemisClient,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    User,
)
from google.protobuf.message import Message

from tests.e2e.refusals import MISSING, STALE, call, fields, refused
from tests.e2e.samples import event, user
from tests.e2e.servers import Server, contents, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose whole database tests compare before and after."""
    with serving(tmp_path_factory.mktemp("batches") / "artemis.db") as server:
        yield server


@pytest.fixture
def stored(client: ArtemisClient) -> list[User]:
    """Five users."""
    return client.users.batch_create(user() for _ in range(5))


def creates(*sent: User) -> pb.BatchCreateUsersRequest:
    return pb.BatchCreateUsersRequest(requests=[pb.CreateUserRequest(user=each.to_message()) for each in sent])


def updates(*sent: User) -> pb.BatchUpdateUsersRequest:
    return pb.BatchUpdateUsersRequest(requests=[pb.UpdateUserRequest(user=each.to_message()) for each in sent])


def deletes(*ids: int) -> pb.BatchDeleteUsersRequest:
    return pb.BatchDeleteUsersRequest(requests=[pb.DeleteUserRequest(id=each) for each in ids])


def test_a_thousand_users_go_through_every_method(client: ArtemisClient) -> None:
    """And more, in parts of a thousand."""
    sent = [user() for _ in range(1500)]

    created = client.users.batch_create(sent)
    assert [each.email for each in sent] == [each.email for each in created]
    assert len({each.id for each in created}) == 1500
    backwards = [each.id for each in reversed(created)]
    assert created[::-1] == client.users.batch_get(backwards)

    changes = [User(id=each.id, last_name="New", etag=each.etag) for each in created]
    updated = client.users.batch_update(changes, update_mask=["last_name"])
    assert [(each.id, each.email, "New") for each in created] == [
        (each.id, each.email, each.last_name) for each in updated
    ]
    assert all(new.etag != old.etag for new, old in zip(updated, created, strict=True))

    assert updated[::-1] == client.users.batch_delete(backwards)
    found = client.users.get_many(backwards[:10])
    assert (backwards[:10], {}) == (list(found.missing), dict(found))


def test_a_batch_of_one_is_as_the_single_call(client: ArtemisClient) -> None:
    (created,) = client.users.batch_create([user()])
    assert created == client.users.get(created.id)
    (updated,) = client.users.batch_update([User(id=created.id, last_name="New")])
    assert updated == client.users.get(created.id)
    assert (updated.last_name, updated.email) == ("New", created.email)
    assert client.users.batch_delete([created.id]) == [updated]


@pytest.mark.parametrize("index", [0, 2, 4])
def test_an_address_that_is_taken_is_named(
    server: Server, client: ArtemisClient, stored: list[User], index: int
) -> None:
    taken = client.users.create(user()).email.upper()
    new = [user() for _ in range(5)]
    changes = [User(id=each.id, last_name="New") for each in stored]
    for some in (new, changes):
        some[index] = replace(some[index], email=taken)

    errors = [
        refused(server, lambda: client.users.batch_create(new)),
        refused(server, lambda: client.users.batch_update(changes)),
        refused(server, lambda: client.users.batch_create(new, validate_only=True)),
    ]

    assert [type(each) for each in errors] == [AlreadyExists] * 3
    assert [each.reason for each in errors] == ["EMAIL_TAKEN"] * 3
    assert [fields(each) for each in errors] == [[f"requests[{index}].user.email"]] * 3


def test_an_address_that_two_users_of_a_batch_share_is_named(
    server: Server, channel: grpc.Channel, stored: list[User]
) -> None:
    new = user()
    twice = creates(new, user(), replace(new, email=new.email.upper()))
    changed = updates(*(User(id=each.id, email=new.email) for each in stored[:2]))

    errors = [refused(server, lambda: call(channel, twice)), refused(server, lambda: call(channel, changed))]

    assert [type(each) for each in errors] == [AlreadyExists] * 2
    assert [fields(each) for each in errors] == [["requests[2].user.email"], ["requests[1].user.email"]]


def test_an_address_in_a_later_part_is_counted_from_the_first_user(client: ArtemisClient) -> None:
    sent = [user() for _ in range(1200)]
    sent[1100] = replace(sent[1100], email=sent[0].email)

    with pytest.raises(AlreadyExists) as caught:
        client.users.batch_create(sent)

    assert fields(caught.value) == ["requests[1100].user.email"]
    assert [each.email for each in sent[:1000]] == [each.email for each in caught.value.done]


def test_users_can_exchange_their_addresses(client: ArtemisClient, stored: list[User]) -> None:
    wanted = [each.email for each in (*stored[1:], stored[0])]
    changed = client.users.batch_update(
        User(id=each.id, email=email, etag=each.etag) for each, email in zip(stored, wanted, strict=True)
    )
    assert wanted == [each.email for each in changed]
    assert changed == client.users.batch_get([each.id for each in stored])


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_user_who_owns_events_is_named(server: Server, client: ArtemisClient, stored: list[User], index: int) -> None:
    client.events.create(event(owner_id=stored[index].id))

    error = refused(server, lambda: client.users.batch_delete([each.id for each in stored]))

    assert isinstance(error, FailedPrecondition)
    assert (error.reason, fields(error)) == ("USER_OWNS_EVENTS", [f"requests[{index}].id"])


def test_missing_users_may_be_deleted_if_it_is_allowed(
    server: Server, client: ArtemisClient, stored: list[User]
) -> None:
    ids = [stored[0].id, MISSING, stored[1].id]
    error = refused(server, lambda: client.users.batch_delete(ids))
    assert isinstance(error, NotFound)
    assert (error.reason, fields(error)) == ("USER_NOT_FOUND", ["requests[1].id"])

    assert client.users.batch_delete(ids, allow_missing=True) == [stored[0], User(), stored[1]]


def test_a_user_that_does_not_exist_is_named(server: Server, client: ArtemisClient, stored: list[User]) -> None:
    ids = [stored[0].id, MISSING]
    errors = [
        refused(server, lambda: client.users.batch_get(ids)),
        refused(server, lambda: client.users.batch_update([User(id=each, last_name="New") for each in ids])),
    ]
    assert [type(each) for each in errors] == [NotFound] * 2
    assert [fields(each) for each in errors] == [["ids[1]"], ["requests[1].user.id"]]


def test_a_stale_etag_is_named(server: Server, channel: grpc.Channel, stored: list[User]) -> None:
    update = updates(*(User(id=each.id, last_name="New", etag=each.etag) for each in stored))
    update.requests[3].user.etag = STALE
    delete = deletes(*(each.id for each in stored))
    delete.requests[3].etag = STALE

    errors = [refused(server, lambda: call(channel, update)), refused(server, lambda: call(channel, delete))]

    assert [type(each) for each in errors] == [Aborted] * 2
    assert [fields(each) for each in errors] == [["requests[3].user.etag"], ["requests[3].etag"]]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.BatchGetUsersRequest(ids=[1, 0]), "ids[1]"),
        (pb.BatchGetUsersRequest(ids=[1] * 1001), "ids"),
        (pb.BatchCreateUsersRequest(), "requests"),
        (pb.BatchCreateUsersRequest(requests=[pb.CreateUserRequest()]), "requests[0].user"),
        (creates(User(email="a@example.com"), User(email="none")), "requests[1].user.email"),
        (updates(User(id=1), User(last_name="x")), "requests[1].user.id"),
        (updates(User(id=1), User(id=2), User(id=1)), "requests[2].user.id"),
        (deletes(1, 2, 2), "requests[2].id"),
        (deletes(*range(1, 1002)), "requests"),
    ],
)
def test_a_bad_request_is_named(server: Server, channel: grpc.Channel, request_: Message, field: str) -> None:
    error = refused(server, lambda: call(channel, request_))
    assert isinstance(error, InvalidArgument)
    assert fields(error) == [field]


@pytest.mark.parametrize("option", [{"request_id": str(UUID(int=1))}, {"validate_only": True}], ids=str)
def test_requests_of_a_batch_have_no_options_of_their_own(
    server: Server, channel: grpc.Channel, stored: list[User], option: dict[str, Any]
) -> None:
    for batch in (creates(user(), user()), updates(*stored), deletes(*(each.id for each in stored))):
        for name, value in option.items():
            setattr(batch.requests[1], name, value)
        error = refused(server, lambda batch=batch: call(channel, batch))  # type: ignore[misc]  # of one type each time
        assert fields(error) == [f"requests[1].{name}" for name in option]


def test_a_validated_batch_changes_nothing_and_shows_its_response(
    server: Server, client: ArtemisClient, stored: list[User]
) -> None:
    before = contents(server.database)
    new = [user(), user()]

    made = client.users.batch_create(new, validate_only=True)
    changed = client.users.batch_update([replace(stored[0], last_name="New")], validate_only=True)
    gone = client.users.batch_delete([each.id for each in stored], validate_only=True)

    assert [each.email for each in new] == [each.email for each in made]
    assert [each.last_name for each in changed] == ["New"]
    assert gone == stored
    assert before == contents(server.database)


def test_a_repeat_gets_the_first_response(client: ArtemisClient) -> None:
    new, key = [user() for _ in range(3)], str(uuid4())
    created = client.users.batch_create(new, request_id=key)
    assert created == client.users.batch_create(new, request_id=key)

    with pytest.raises(InvalidArgument) as caught:
        client.users.batch_create([user()], request_id=key)
    assert caught.value.reason == "REQUEST_ID_REUSED"
