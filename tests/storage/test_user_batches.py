"""Many users at once: the constraints that users have, and the error that names the one to blame."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread

import pytest
from artemis.v1.users_pb2 import User
from artemis_server.db.batches import Change
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from artemis_server.errors import Aborted, AlreadyExists, FailedPrecondition, RequestError

from tests.storage.samples import all_stored, change, new_event, new_user

EVENTS, STORE = EventStore(), UserStore()
stored = partial(all_stored, STORE)
SIZE = 7


def create_many(database: Database, users: Sequence[User]) -> list[User]:
    return database.write(partial(STORE.create_many, messages=users))


def create_some(database: Database, count: int) -> list[User]:
    return create_many(database, [new_user(number) for number in range(count)])


def update_many(database: Database, changes: Sequence[Change[User]]) -> list[User]:
    return database.write(partial(STORE.update_many, changes=changes))


def refused(database: Database, work: Callable[[], object]) -> RequestError:
    """Returns what the work raises, which must have changed nothing."""
    before = stored(database)
    with pytest.raises(RequestError) as caught:
        work()
    assert before == stored(database)
    return caught.value


def assert_taken(error: RequestError, index: int, email: str) -> None:
    assert isinstance(error, AlreadyExists)
    assert ("EMAIL_TAKEN", f"requests[{index}].user.email") == (error.reason, error.field)
    assert ("user", email) == (error.resource_type, error.resource_name)


def test_a_thousand_users_are_created_changed_and_deleted(database: Database) -> None:
    created = create_some(database, 1000)
    assert created == stored(database)

    changed = update_many(database, [change(each, last_name="New") for each in created])
    assert [(each.id, each.email, "New") for each in created] == [
        (each.id, each.email, each.last_name) for each in changed
    ]

    database.write(partial(STORE.delete_many, messages=changed))
    assert stored(database) == []


@pytest.mark.parametrize("index", [0, 3, SIZE - 1])
def test_an_address_that_another_user_has_refuses_all_and_is_named(database: Database, index: int) -> None:
    taken = create_some(database, 1)[0].email.upper()
    sent = [new_user(number) for number in range(1, SIZE + 1)]
    sent[index].email = taken

    assert_taken(refused(database, lambda: create_many(database, sent)), index, taken)


@pytest.mark.parametrize("index", [1, 3, SIZE - 1])
def test_an_address_that_two_users_of_a_batch_share_is_named_where_it_comes_again(
    database: Database, index: int
) -> None:
    sent = [new_user(number) for number in range(SIZE)]
    sent[index].email = sent[0].email.upper()

    assert_taken(refused(database, lambda: create_many(database, sent)), index, sent[index].email)


@pytest.mark.parametrize("index", [0, 3, SIZE - 1])
def test_a_change_to_the_address_of_another_user_is_named(database: Database, index: int) -> None:
    *created, other = create_some(database, SIZE + 1)
    changes = [change(each, last_name="New") for each in created]
    changes[index] = change(created[index], email=other.email)

    assert_taken(refused(database, lambda: update_many(database, changes)), index, other.email)


def test_a_change_to_the_address_of_another_user_of_the_batch_who_keeps_it_is_named(database: Database) -> None:
    first, second, third = create_some(database, 3)
    changes = [
        change(first, last_name="New"),
        change(second, email=first.email, last_name="New"),
        change(third, email="x@example.com"),
    ]

    assert_taken(refused(database, lambda: update_many(database, changes)), 1, first.email)


def test_the_later_of_two_changes_to_one_address_is_named(database: Database) -> None:
    """Whatever masks they have: changes with equal masks are made together."""
    created = create_some(database, 4)
    changes = [
        change(created[0], last_name="New"),
        change(created[1], email="new@example.com"),
        change(created[2], last_name="New"),
        change(created[3], last_name="New", email="NEW@example.com"),
    ]

    assert_taken(refused(database, lambda: update_many(database, changes)), 3, "NEW@example.com")
    assert_taken(refused(database, lambda: update_many(database, changes[::-1])), 2, "new@example.com")


@pytest.mark.parametrize("count", [2, 3, 300])
def test_users_can_exchange_their_addresses(database: Database, count: int) -> None:
    created = create_some(database, count)
    wanted = [each.email for each in (*created[1:], created[0])]
    changes = [change(each, email=email) for each, email in zip(created, wanted, strict=True)]

    changed = update_many(database, changes)

    assert wanted == [each.email for each in changed]
    assert changed == stored(database)
    assert all(new.etag != old.etag for new, old in zip(changed, created, strict=True))


def test_a_user_who_changed_since_it_was_read_aborts_an_exchange_of_addresses(database: Database) -> None:
    first, second = create_some(database, 2)
    changes = [change(first, email=second.email), change(second, email=first.email)]
    database.write(partial(STORE.update, row_id=second.id, message=User(last_name="x"), paths=["last_name"], etag=""))

    assert isinstance(refused(database, lambda: update_many(database, changes)), Aborted)


@pytest.mark.parametrize("index", [0, 3, SIZE - 1])
def test_a_user_who_owns_events_refuses_the_deletion_of_all_and_is_named(database: Database, index: int) -> None:
    created = create_some(database, SIZE)
    database.write(partial(EVENTS.create, message=new_event(owner_id=created[index].id)))

    error = refused(database, lambda: database.write(partial(STORE.delete_many, messages=created)))

    assert isinstance(error, FailedPrecondition)
    assert ("USER_OWNS_EVENTS", f"requests[{index}].id") == (error.reason, error.field)
    assert ("user", str(created[index].id)) == (error.resource_type, error.resource_name)


def test_the_request_is_named_after_those_for_missing_users(database: Database) -> None:
    owner, other = create_some(database, 2)
    database.write(partial(EVENTS.create, message=new_event(owner_id=owner.id)))

    batch = [User(), other, User(), owner]
    error = refused(database, lambda: database.write(partial(STORE.delete_many, messages=batch)))

    assert error.field == "requests[3].id"


def test_two_batches_that_want_one_address_at_once_are_told_apart(database: Database) -> None:
    """One is stored as a whole, and the other one is refused, with the index of the address."""
    outcomes: list[object] = []

    def create(name: str) -> None:
        users = [User(email=f"{name}{number}@example.com") for number in range(SIZE)]
        users[4].email = "both@example.com"
        try:
            outcomes.append(create_many(database, users))
        except RequestError as error:
            outcomes.append(error)

    threads = [Thread(target=create, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (error,) = [each for each in outcomes if isinstance(each, RequestError)]
    (made,) = [each for each in outcomes if isinstance(each, list)]
    assert_taken(error, 4, "both@example.com")
    assert made == stored(database)


def test_a_dry_run_that_is_refused_names_the_request_and_leaves_the_next_write_alone(database: Database) -> None:
    (user,) = create_some(database, 1)
    batch = [new_user(1), User(email=user.email)]

    error = refused(database, lambda: database.dry_run(partial(STORE.create_many, messages=batch)))

    assert_taken(error, 1, user.email)
    assert [user, *create_many(database, [new_user(2)])] == stored(database)
