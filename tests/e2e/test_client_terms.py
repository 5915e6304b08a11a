"""The parts of the clients that the contract does not have: pages, look-ups, changes in turn, batches of any size."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from artemis.v1 import events_pb2
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis_client import Aborted, ArtemisClient, Event, InvalidArgument, NotFound, Retry, User, where

from tests.e2e.refusals import MISSING
from tests.e2e.samples import event, sent_part, user
from tests.e2e.servers import PATIENCE, Server, serving

pytestmark = pytest.mark.usefixtures("each_client")

LONG = "d" * 8192
HOSTILE = [
    "*",
    "a*",
    "\\",
    "\\*",
    '" OR name = "',
    '\\" OR id > 0 OR name = "x',
    "'; DROP TABLE events; --",
    "a AND b OR NOT c",
    "null",
    "{}",
    "\n\r\t\u2028\u00a0",
    "講演 🎉",
    "-1",
    "%_",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: other tests would list the thousands of events."""
    with serving(tmp_path_factory.mktemp("terms") / "artemis.db") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[ArtemisClient]:
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        yield client


def test_a_list_has_pages_with_tokens(client: ArtemisClient) -> None:
    category = str(uuid4())
    made = client.events.batch_create([event(category=category)] * 5)
    matching = where("category = {}", category)
    pages = [*client.events.list(filter=matching, page_size=2).pages()]

    assert [each.items for each in pages] == [made[:2], made[2:4], made[4:]]
    assert [bool(each.next_page_token) for each in pages] == [True, True, False]
    assert [bool(each.resume_token) for each in pages] == [True, False, False]
    rest = client.events.list(filter=matching, page_size=2, page_token=pages[0].next_page_token)
    assert next(rest) == made[2]
    assert [*rest] == made[3:]
    assert [page.items for page in rest.pages()] == [made[2:4], made[4:]]


def test_users_have_pages_too(client: ArtemisClient) -> None:
    made = [client.users.create(user(last_name="Pages")) for _ in range(3)]
    matching = where("last_name = {} AND id >= {}", "Pages", made[0].id)
    first, second = client.users.list(filter=matching, page_size=2, order_by="id").pages()

    assert [first.items, second.items] == [made[:2], made[2:]]
    assert [first.resume_token, second.next_page_token] == ["", ""]
    assert [*client.users.list(filter=matching, page_token=first.next_page_token, order_by="id")] == made[2:]


def test_many_are_found_in_the_order_of_their_ids_and_the_missing_ones_are_told(client: ArtemisClient) -> None:
    made = client.events.batch_create([event() for _ in range(60)])[::-1]
    ids = [each.id for each in made]
    found = client.events.get_many(ids)
    assert (list(found.values()), found.missing) == (made, ())

    found = client.events.get_many([MISSING, *ids[:55], ids[0], 0, *ids[55:], MISSING])
    assert (list(found.values()), list(found), found.missing) == (made, ids, (MISSING, 0))
    assert (found[ids[3]], MISSING in found) == (made[3], False)
    assert (client.events.get_many([]), client.events.get_many([MISSING]).missing) == ({}, (MISSING,))


def test_many_users_are_found(client: ArtemisClient) -> None:
    made = [client.users.create(user()) for _ in range(3)]
    found = client.users.get_many([made[2].id, MISSING, made[0].id])
    assert (list(found.values()), found.missing) == ([made[2], made[0]], (MISSING,))


@pytest.mark.parametrize(("ids", "error"), [(["1"], TypeError), ([None], TypeError), ([2**63], ValueError)])
def test_an_id_that_is_none_is_named(client: ArtemisClient, ids: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"ids\[0\]"):
        client.events.get_many(ids)


@pytest.mark.parametrize(
    ("given", "error"), [(True, TypeError), ("1", TypeError), (None, TypeError), (2**63, ValueError)]
)
def test_what_is_no_id_is_refused_by_every_method_before_a_call(client: ArtemisClient, given: Any, error: Any) -> None:
    for one in (client.events.get, client.events.delete, client.events.history):
        with pytest.raises(error, match="event_id must be"):
            one(given)
    for user_method in (client.users.get, client.users.delete):
        with pytest.raises(error, match="user_id must be"):
            user_method(given)
    for several in (client.events.batch_get, client.events.batch_delete, client.events.get_many, client.users.get_many):
        with pytest.raises(error, match=r"ids\[1\] must be"):
            several([1, given])


def test_a_change_writes_what_differs(client: ArtemisClient) -> None:
    stored = client.events.create(event())
    changed = client.events.modify(stored.id, lambda each: replace(each, name=each.name.upper(), location=""))

    assert sent_part(changed) == event(name=stored.name.upper(), location="")
    assert changed == client.events.get(stored.id)
    person = client.users.create(user())
    assert client.users.modify(person.id, lambda each: replace(each, first_name="Grace")).first_name == "Grace"
    with pytest.raises(NotFound):
        client.events.modify(MISSING, lambda each: each)


def test_a_change_of_nothing_writes_nothing(client: ArtemisClient) -> None:
    stored = client.events.create(event())
    assert client.events.modify(stored.id, replace) == stored
    assert client.events.get(stored.id).etag == stored.etag


def test_a_change_that_meets_another_one_is_made_again(client: ArtemisClient, channel: grpc.Channel) -> None:
    stored, names = client.events.create(event(name="0")), []

    def change(each: Event) -> Event:
        names.append(each.name)
        if len(names) == 1:
            other = events_pb2.Event(id=each.id, name="1", location="Lyon")
            EventServiceStub(channel).UpdateEvent(events_pb2.UpdateEventRequest(event=other))
        return replace(each, name=f"{each.name}!")

    changed = client.events.modify(stored.id, change)
    assert (names, changed.name, changed.location) == (["0", "1"], "1!", "Lyon")


def test_no_change_of_several_writers_is_lost(client: ArtemisClient) -> None:
    stored = client.events.create(event(publisher=""))

    def append(letter: str) -> None:
        client.events.modify(stored.id, lambda each: replace(each, publisher=each.publisher + letter))

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(append, letter) for letter in "abcdefgh"]:
            each.result(PATIENCE)
    assert sorted(client.events.get(stored.id).publisher) == list("abcdefgh")


def test_a_change_that_meets_others_as_often_as_it_is_tried_is_aborted(server: Server, channel: grpc.Channel) -> None:
    calls = []

    def change(each: Event) -> Event:
        calls.append(each)
        other = events_pb2.Event(id=each.id, name=f"{len(calls)}")
        EventServiceStub(channel).UpdateEvent(events_pb2.UpdateEventRequest(event=other))
        return replace(each, location="x")

    retry = Retry(max_attempts=3, initial_backoff=0.01)
    with ArtemisClient(server.target, timeout=PATIENCE, retry=retry) as client:
        stored = client.events.create(event())
        with pytest.raises(Aborted):
            client.events.modify(stored.id, change)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda _: None, TypeError, "must return the changed Event.*not NoneType"),
        (lambda each: each.to_message(), TypeError, "must return the changed Event"),
        (lambda each: replace(each, id=each.id + 1), ValueError, "must not change the id"),
    ],
)
def test_a_function_that_returns_something_else_changes_nothing(
    client: ArtemisClient, change: Any, error: type[Exception], message: str
) -> None:
    stored = client.events.create(event())
    with pytest.raises(error, match=message):
        client.events.modify(stored.id, change)
    assert client.events.get(stored.id) == stored


@pytest.mark.parametrize("sent", [events_pb2.Event(name="x"), User(), {"name": "x"}, None], ids=repr)
def test_what_is_no_event_is_refused(client: ArtemisClient, sent: Any) -> None:
    for call in (client.events.create, client.events.update, lambda each: client.events.batch_create([each])):
        with pytest.raises(TypeError, match=r"expected an artemis_client\.Event, not"):
            call(sent)


def test_a_batch_of_any_size_is_done_in_order(client: ArtemisClient) -> None:
    sent = [event(name=f"{number}", description="", owner_id=None) for number in range(1100)]
    created = client.events.batch_create(iter(sent))
    assert [sent_part(each) for each in created] == sent
    ids = [each.id for each in created]
    assert client.events.batch_get(iter(ids)) == created
    updated = client.events.batch_update([Event(id=each, location="x") for each in ids], update_mask=iter(["location"]))
    assert [(each.id, each.location) for each in updated] == [(each, "x") for each in ids]
    assert client.events.batch_delete(ids[::-1]) == updated[::-1]


def test_an_event_that_is_given_twice_is_refused_also_in_different_parts(client: ArtemisClient) -> None:
    ids = [*range(1, 1101), 7]
    for call in (client.events.batch_delete, lambda ids: client.events.batch_update([Event(id=each) for each in ids])):
        with pytest.raises(ValueError, match="the id 7 is given twice, at 6 and at 1100"):
            call(ids)


@pytest.mark.acceptance
def test_a_batch_of_large_events_is_divided_by_its_bytes(client: ArtemisClient) -> None:
    created = client.events.batch_create([event(name=f"{number}", description=LONG) for number in range(450)])
    assert [each.name for each in created] == [str(number) for number in range(450)]
    ids = [each.id for each in created]
    assert client.events.batch_get(ids) == created
    assert list(client.events.get_many(ids).values()) == created
    updated = client.events.batch_update([Event(id=each, location="x") for each in ids])
    assert [(each.id, each.location) for each in updated] == [(each, "x") for each in ids]
    with pytest.raises(InvalidArgument) as refused:
        client.events.batch_delete(ids, request_id=str(uuid4()))
    assert (refused.value.reason, refused.value.items) == ("RESPONSE_TOO_LARGE", range(450))
    assert client.events.batch_delete(ids) == updated


def test_a_failed_batch_tells_its_part_and_what_is_done_and_can_be_repeated(client: ArtemisClient) -> None:
    category, number = str(uuid4()), str(uuid4())
    batch = [event(name=f"{index}", category=category, description="") for index in range(1010)]
    batch[1003] = replace(batch[1003], name="")
    with pytest.raises(InvalidArgument) as refused:
        client.events.batch_create(batch, request_id=number)

    error = refused.value
    assert error.items == range(1000, 1010)
    assert [each.name for each in error.done] == [each.name for each in batch[:1000]]
    assert [each.field for each in error.violations] == ["requests[1003].event.name"]
    assert error.message.startswith("requests[1003].event.name: ")

    batch[1003] = replace(batch[1003], name="mended")
    created = client.events.batch_create(batch, request_id=number)
    assert tuple(created[:1000]) == error.done
    assert client.events.batch_create(batch, request_id=number) == created
    stored = client.events.list(filter=where("category = {}", category), page_size=1000)
    assert [each.id for each in stored] == sorted(each.id for each in created)


def test_a_batch_that_misses_one_names_its_place(client: ArtemisClient) -> None:
    ids = [each.id for each in client.events.batch_create([event(description="")] * 1001)]
    with pytest.raises(NotFound) as refused:
        client.events.batch_get([*ids, MISSING])
    assert [each.field for each in refused.value.violations] == ["ids[1001]"]
    assert (refused.value.items, len(refused.value.done)) == (range(1000, 1002), 1000)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.acceptance)])
def test_a_hostile_value_chooses_the_event_that_has_it(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = tmp_path / "artemis.db" if engine == "sqlite" else str(request.getfixturevalue("postgresql_url"))
    with serving(database) as server, ArtemisClient(server.target, timeout=PATIENCE) as client:
        made = {value: client.events.create(event(name=f"x{value}y", location=value)) for value in HOSTILE}
        for value, stored in made.items():
            assert [*client.events.list(filter=where("location = {}", value))] == [stored]
            assert [*client.events.list(filter=where("name = {}* AND NOT id = 0", f"x{value}y"))] == [stored]
            assert len([*client.events.list(filter=where("location != {}", value))]) == len(made) - 1
            since = where(
                "location = {} AND start_time >= {start} AND id = {}", value, stored.id, start=stored.start_time
            )
            assert [*client.events.list(filter=since)] == [stored]
