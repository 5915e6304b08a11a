"""Users, as the client sees them."""

from collections.abc import Callable

import pytest
from artemis_client import Aborted, AlreadyExists, ArtemisClient, InvalidArgument, NotFound, User

from tests.e2e.samples import sent_part, user

NEVER = 2**63 - 1  # an id that no row will have


@pytest.fixture
def stored(client: ArtemisClient) -> User:
    return client.users.create(user())


def test_create_returns_what_was_sent_with_a_new_id(client: ArtemisClient) -> None:
    first, second = user(), user()

    created = [client.users.create(first), client.users.create(second)]

    assert [first, second] == [sent_part(each) for each in created]
    assert 0 < created[0].id < created[1].id
    assert created == [client.users.get(each.id) for each in created]


def test_an_email_address_alone_is_enough(client: ArtemisClient) -> None:
    sent = User(email=user().email)

    assert sent == sent_part(client.users.create(sent))


def test_update_with_a_mask_changes_the_listed_fields_alone(client: ArtemisClient, stored: User) -> None:
    updated = client.users.update(
        User(id=stored.id, first_name="Grace", last_name="ignored"), update_mask=["first_name"]
    )

    assert user(email=stored.email, first_name="Grace") == sent_part(updated)
    assert updated == client.users.get(stored.id)


def test_update_without_a_mask_changes_the_populated_fields_alone(client: ArtemisClient, stored: User) -> None:
    updated = client.users.update(User(id=stored.id, last_name="Hopper"))

    assert user(email=stored.email, last_name="Hopper") == sent_part(updated)


def test_a_listed_field_that_is_empty_is_cleared(client: ArtemisClient, stored: User) -> None:
    updated = client.users.update(User(id=stored.id), update_mask=["first_name"])

    assert user(email=stored.email, first_name="") == sent_part(updated)


def test_a_star_replaces_every_field(client: ArtemisClient, stored: User) -> None:
    email = user().email

    assert User(email=email) == sent_part(client.users.update(User(id=stored.id, email=email), update_mask=["*"]))


def test_the_email_address_cannot_be_cleared(client: ArtemisClient, stored: User) -> None:
    with pytest.raises(InvalidArgument) as refused:
        client.users.update(User(id=stored.id), update_mask=["email"])

    assert [each.field for each in refused.value.violations] == ["user.email"]
    assert stored == client.users.get(stored.id)


def test_an_email_address_is_unique_without_regard_to_case(client: ArtemisClient, stored: User) -> None:
    with pytest.raises(AlreadyExists) as create:
        client.users.create(User(email=stored.email.swapcase()))
    other = client.users.create(user())
    with pytest.raises(AlreadyExists) as update:
        client.users.update(User(id=other.id, email=stored.email.upper()))

    assert "EMAIL_TAKEN" == create.value.reason == update.value.reason
    assert other == client.users.get(other.id)


def test_a_user_may_write_the_own_address_another_way(client: ArtemisClient, stored: User) -> None:
    assert stored.email.upper() == client.users.update(User(id=stored.id, email=stored.email.upper())).email


def test_an_address_is_free_again_after_its_user_is_deleted(client: ArtemisClient, stored: User) -> None:
    client.users.delete(stored.id)

    assert client.users.create(User(email=stored.email)).id > stored.id


def test_delete_returns_the_user_and_it_is_gone(client: ArtemisClient, stored: User) -> None:
    assert stored == client.users.delete(stored.id)

    with pytest.raises(NotFound):
        client.users.get(stored.id)


@pytest.mark.parametrize("method", ["get", "update", "delete"])
def test_what_is_not_there_is_not_found(client: ArtemisClient, method: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: client.users.get(NEVER),
        "update": lambda: client.users.update(User(id=NEVER, first_name="x")),
        "delete": lambda: client.users.delete(NEVER),
    }

    with pytest.raises(NotFound) as refused:
        calls[method]()

    assert refused.value.reason == "USER_NOT_FOUND"


def test_a_delete_that_allows_missing_returns_an_empty_user(client: ArtemisClient) -> None:
    assert User() == client.users.delete(NEVER, allow_missing=True)


def test_a_stale_etag_aborts_and_changes_nothing(client: ArtemisClient, stored: User) -> None:
    current = client.users.update(User(id=stored.id, first_name="Grace", etag=stored.etag))

    with pytest.raises(Aborted):
        client.users.update(User(id=stored.id, first_name="Mine", etag=stored.etag))
    with pytest.raises(Aborted):
        client.users.delete(stored.id, etag=stored.etag)

    assert current == client.users.get(stored.id)
    assert current == client.users.delete(stored.id, etag=current.etag)
