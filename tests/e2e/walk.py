"""A walk through the methods of both clients that needs these alone; `test_floor` runs it on its oldest dependencies.

python walk.py TARGET
"""

import importlib
import pickle
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from artemis_client import ArtemisClient, ArtemisError, Event, User, where


def walk(client: ArtemisClient) -> None:
    """Calls every method; an assertion fails when an answer is not the contract's."""
    user = client.users.create(User(email="walker@example.com", first_name="Ada"))
    start, end = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (10, 11))
    sent = Event(name="Walk", owner_id=user.id, start_time=start, end_time=end)
    created = client.events.create(sent)
    assert created == client.events.get(created.id)
    moved = client.events.update(Event(id=created.id, location="Kyoto"), update_mask=["location"])
    assert (moved.location, moved.name) == ("Kyoto", "Walk")
    assert refusal(client.events.delete, created.id, etag=created.etag).reason == "ETAG_MISMATCH"
    refused = refusal(client.events.create, Event())
    assert [each.field for each in refused.violations] == ["event.name", "event.start_time", "event.end_time"]
    assert refused.details == pickle.loads(pickle.dumps(refused)).details  # noqa: S301 - our own bytes
    assert moved in list(client.events.list(page_size=1))
    assert [moved] == list(client.events.list(filter=where("id = {}", created.id), order_by="start_time desc"))
    assert (created.start_time, moved.update_time > moved.create_time) == (start, True)
    (page,) = client.events.list(filter=where("location = {} AND id = {}", "Kyoto", created.id)).pages()
    assert (page.items, page.next_page_token) == ([moved], "")
    found = client.events.get_many([created.id, 2**40])
    assert (found, found.missing) == ({created.id: moved}, (2**40,))
    moved = client.events.modify(created.id, lambda event: replace(event, name=event.name.upper()))
    assert (moved.location, moved.name) == ("Kyoto", "WALK")
    walk_batches(client, sent)
    assert moved == client.events.delete(created.id)
    assert refusal(client.events.get, created.id).reason == "EVENT_NOT_FOUND"
    assert user == client.users.delete(user.id)


def walk_batches(client: ArtemisClient, sent: Event) -> None:
    """Calls the batch methods, and writes that are repeated or only validated."""
    made = client.events.batch_create([sent, sent])
    assert made == client.events.batch_get(each.id for each in made)
    moved = client.events.batch_update([Event(id=each.id, location="Lyon") for each in made], update_mask=["location"])
    assert [each.location for each in moved] == ["Lyon", "Lyon"]
    assert moved == client.events.batch_delete([each.id for each in made])
    assert refusal(client.events.batch_get, [made[0].id]).violations[0].field == "ids[0]"
    oversized = refusal(client.events.batch_create, [Event(description="d" * 5 * 2**20)])
    assert oversized.message.startswith("the request of BatchCreateEvents has "), oversized
    number = str(uuid.uuid4())
    assert client.events.create(sent, validate_only=True, request_id=number).name == "Walk"
    once = client.events.create(sent, request_id=number)
    assert once == client.events.create(sent, request_id=number)
    assert once == client.events.delete(once.id)


def refusal(call: Callable[..., object], *arguments: object, **options: object) -> ArtemisError:
    """Returns what the call raises; it must raise."""
    try:
        call(*arguments, **options)
    except ArtemisError as error:
        return error
    raise AssertionError(f"{call} was not refused")


if __name__ == "__main__":
    for connect in (ArtemisClient, importlib.import_module("blocking").client):  # a module beside this program
        with connect(sys.argv[1], timeout=60) as artemis:
            walk(artemis)
    print(version("grpcio"), version("protobuf"))  # noqa: T201
