"""A walk through the client's methods that needs the client alone; `test_floor` runs it on its oldest dependencies.

python walk.py TARGET
"""

import sys
from importlib.metadata import version

from artemis_client import Aborted, ArtemisClient, Event, InvalidArgument, NotFound, User


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
    try:
        client.events.delete(created.id, etag=created.etag)
    except Aborted as error:
        assert error.reason == "ETAG_MISMATCH"
    try:
        client.events.create(Event())
    except InvalidArgument as error:
        assert [each.field for each in error.violations] == ["event.name", "event.start_time", "event.end_time"]
    assert moved in list(client.events.list(page_size=1))
    assert moved == client.events.delete(created.id)
    try:
        client.events.get(created.id)
    except NotFound as error:
        assert error.reason == "EVENT_NOT_FOUND"
    assert user == client.users.delete(user.id)


if __name__ == "__main__":
    with ArtemisClient(sys.argv[1]) as artemis:
        walk(artemis)
    print(version("grpcio"), version("protobuf"))  # noqa: T201
