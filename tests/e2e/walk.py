"""A walk through the client's methods that needs the client alone; `test_floor` runs it on its oldest dependencies.

python walk.py TARGET
"""

import sys
from collections.abc import Callable
from importlib.metadata import version

from artemis_client import ArtemisClient, ArtemisError, Event, User


def walk(client: ArtemisClient) -> None:
    """Calls every method; an assertion fails when an answer is not the contract's."""
    user = client.users.create(User(email="walker@example.com", first_name="Ada"))
    sent = Event(name="Walk", owner_id=user.id)
    sent.start_time.FromJsonString("2026-01-01T10:00:00Z")
    sent.end_time.FromJsonString("2026-01-01T11:00:00Z")
    created = client.events.create(sent)
    assert created == client.events.get(created.id)
    moved = client.events.update(Event(id=created.id, location="Kyoto"), update_mask=["location"])
    assert (moved.location, moved.name) == ("Kyoto", "Walk")
    assert refusal(client.events.delete, created.id, etag=created.etag).reason == "ETAG_MISMATCH"
    fields = [each.field for each in refusal(client.events.create, Event()).violations]
    assert fields == ["event.name", "event.start_time", "event.end_time"]
    assert moved in list(client.events.list(page_size=1))
    assert moved == client.events.delete(created.id)
    assert refusal(client.events.get, created.id).reason == "EVENT_NOT_FOUND"
    assert user == client.users.delete(user.id)


def refusal(call: Callable[..., object], *arguments: object, **options: object) -> ArtemisError:
    """Returns what the call raises; it must raise."""
    try:
        call(*arguments, **options)
    except ArtemisError as error:
        return error
    raise AssertionError(f"{call} was not refused")


if __name__ == "__main__":
    with ArtemisClient(sys.argv[1]) as artemis:
        walk(artemis)
    print(version("grpcio"), version("protobuf"))  # noqa: T201
