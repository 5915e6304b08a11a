"""Writes that are repeated or only validated (AIP-155, AIP-163), on real servers that restart and are killed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from artemis.v1 import events_pb2 as events
from artemis.v1 import users_pb2 as users
from artemis.v1.events_pb2 import Event as EventMessage
from artemis.v1.users_pb2 import User as UserMessage
from artemis_client import ArtemisClient, ArtemisError, InvalidArgument
from google.protobuf.message import Message

from tests.e2e.conftest import Serve
from tests.e2e.refusals import STALE, call, fields
from tests.e2e.samples import event, event_message, user, user_message
from tests.e2e.servers import PATIENCE, Server, contents, query, serving

Build = Callable[[ArtemisClient], Any]
"""Stores what a request needs, and returns the request."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose whole database tests compare before and after."""
    with serving(tmp_path_factory.mktemp("ids") / "artemis.db") as server:
        yield server


def refusal(channel: grpc.Channel, request: Message) -> ArtemisError:
    with pytest.raises(ArtemisError) as caught:
        call(channel, request)
    return caught.value


def create_event(_: ArtemisClient) -> Any:
    return events.CreateEventRequest(event=event_message())


def update_event(client: ArtemisClient) -> Any:
    stored = client.events.create(event())
    return events.UpdateEventRequest(event=EventMessage(id=stored.id, name="New", etag=stored.etag))


def delete_event(client: ArtemisClient) -> Any:
    return events.DeleteEventRequest(id=client.events.create(event()).id)


def create_events(client: ArtemisClient) -> Any:
    return events.BatchCreateEventsRequest(requests=[create_event(client) for _ in range(3)])


def update_events(client: ArtemisClient) -> Any:
    return events.BatchUpdateEventsRequest(requests=[update_event(client) for _ in range(3)])


def delete_events(client: ArtemisClient) -> Any:
    return events.BatchDeleteEventsRequest(requests=[delete_event(client) for _ in range(3)])


def create_user(_: ArtemisClient) -> Any:
    return users.CreateUserRequest(user=user_message())


def update_user(client: ArtemisClient) -> Any:
    stored = client.users.create(user())
    return users.UpdateUserRequest(user=UserMessage(id=stored.id, first_name="New", etag=stored.etag))


def delete_user(client: ArtemisClient) -> Any:
    return users.DeleteUserRequest(id=client.users.create(user()).id)


def create_users(client: ArtemisClient) -> Any:
    return users.BatchCreateUsersRequest(requests=[create_user(client) for _ in range(3)])


def update_users(client: ArtemisClient) -> Any:
    return users.BatchUpdateUsersRequest(requests=[update_user(client) for _ in range(3)])


def delete_users(client: ArtemisClient) -> Any:
    return users.BatchDeleteUsersRequest(requests=[delete_user(client) for _ in range(3)])


WRITES: tuple[Build, ...] = (
    create_event,
    update_event,
    delete_event,
    create_events,
    update_events,
    delete_events,
    create_user,
    update_user,
    delete_user,
    create_users,
    update_users,
    delete_users,
)


def build(client: ArtemisClient, write: Build) -> Any:
    """Returns a request of this kind with an id of its own."""
    request = write(client)
    request.request_id = str(uuid4())
    return request


def copy(request: Any) -> Any:
    made = type(request)()
    made.CopyFrom(request)
    return made


def altered(request: Any) -> Any:
    """Returns the request with other content and the same id."""
    other = copy(request)
    part = other.requests[1] if hasattr(other, "requests") else other
    if hasattr(part, "event"):
        part.event.name = "Other"
    elif hasattr(part, "user"):
        part.user.first_name = "Other"
    else:
        part.allow_missing = True
    return other


every_write = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)


@every_write
def test_a_repeat_gets_the_first_response_and_has_no_effect(
    server: Server, client: ArtemisClient, channel: grpc.Channel, write: Build
) -> None:
    request = build(client, write)
    before = contents(server.database)
    first = call(channel, request)
    after = contents(server.database)

    assert [first] * 3 == [call(channel, request) for _ in range(3)]
    assert before != after
    assert after == contents(server.database)


@every_write
def test_the_case_of_an_id_does_not_matter(
    server: Server, client: ArtemisClient, channel: grpc.Channel, write: Build
) -> None:
    request = build(client, write)
    first = call(channel, request)
    after = contents(server.database)
    request.request_id = request.request_id.upper()

    assert first == call(channel, request)
    assert after == contents(server.database)


@every_write
def test_an_id_with_other_content_is_refused(
    server: Server, client: ArtemisClient, channel: grpc.Channel, write: Build
) -> None:
    request = build(client, write)
    first = call(channel, request)
    after = contents(server.database)

    error = refusal(channel, altered(request))

    assert (InvalidArgument, "REQUEST_ID_REUSED", ["request_id"]) == (type(error), error.reason, fields(error))
    assert after == contents(server.database)
    assert first == call(channel, request)


def test_an_id_is_that_of_one_method(server: Server, client: ArtemisClient, channel: grpc.Channel) -> None:
    used = build(client, create_event)
    call(channel, used)
    requests = [write(client) for write in WRITES if write is not create_event]
    after = contents(server.database)
    for request in requests:
        request.request_id = used.request_id
        error = refusal(channel, request)
        assert (error.reason, fields(error)) == ("REQUEST_ID_REUSED", ["request_id"])
    assert after == contents(server.database)


MALFORMED = (
    "x",
    " ",
    "1",
    "0" * 32,
    str(UUID(int=0)),
    "77b884cc-e924-11f1-a12a-02fc00000001",
    "{0b7a3c1e-5d2f-4a68-9c3b-7e1f00aa42d9}",
    "0b7a3c1e-5d2f-4a68-9c3b-7e1f00aa42dg",
    "é",
)


@every_write
def test_an_id_that_is_no_uuid_of_version_4_is_refused(
    server: Server, client: ArtemisClient, channel: grpc.Channel, write: Build
) -> None:
    request = write(client)
    before = contents(server.database)
    for request_id in MALFORMED:
        request.request_id = request_id
        error = refusal(channel, request)
        assert (type(error), fields(error)) == (InvalidArgument, ["request_id"]), request_id
    assert before == contents(server.database)


@every_write
def test_an_id_whose_request_was_refused_can_be_used_again(
    client: ArtemisClient, channel: grpc.Channel, write: Build
) -> None:
    request = build(client, write)
    bad = copy(delete_event(client) if write is not delete_event else delete_user(client))
    bad.id, bad.request_id = 2**62, request.request_id
    assert refusal(channel, bad).code is grpc.StatusCode.NOT_FOUND

    first = call(channel, request)

    assert first == call(channel, request)


@pytest.mark.parametrize(
    "end",
    [pytest.param(Server.stop, id="restarted", marks=pytest.mark.acceptance), pytest.param(Server.kill, id="killed")],
)
def test_a_repeat_is_known_after_the_server_came_back(serve: Serve, end: Callable[[Server], object]) -> None:
    """It is killed right after the last response."""
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client, grpc.insecure_channel(server.target) as channel:
        requests = [build(client, write) for write in WRITES]
        first = [call(channel, request) for request in requests]
        end(server)
    after = contents(server.database)

    with grpc.insecure_channel(serve().target) as channel:
        assert first == [call(channel, request) for request in requests]
        reused = [refusal(channel, altered(request)).reason for request in requests]

    assert reused == ["REQUEST_ID_REUSED"] * len(requests)
    assert after == contents(server.database)


@every_write
def test_of_concurrent_repeats_one_is_done(
    server: Server, client: ArtemisClient, channel: grpc.Channel, write: Build
) -> None:
    callers = 32
    request = build(client, write)
    barrier = threading.Barrier(callers)

    def repeat(_: int) -> Any:
        barrier.wait(PATIENCE)
        return call(channel, request)

    before = contents(server.database)
    with ThreadPoolExecutor(callers) as pool:
        responses = list(pool.map(repeat, range(callers)))

    assert responses == [responses[0]] * callers
    after = contents(server.database)
    single = {create_event: 1, create_user: 1, delete_event: -1, delete_user: -1}
    batches = {create_events: 3, create_users: 3, delete_events: -3, delete_users: -3}
    assert len(after) - len(before) == (single | batches).get(write, 0)
    assert responses[0] == call(channel, request)
    assert after == contents(server.database)


# validate_only


def lasting(message: Message) -> list[Any]:
    """Returns the events or users of a response without what the next call has a new one of."""
    kept = []
    for each in getattr(message, "events", None) or getattr(message, "users", None) or [message]:
        part = copy(each)
        for name in ("id", "create_time", "update_time"):
            part.ClearField(name)
        kept.append(part)
    return kept


@every_write
def test_a_validated_request_changes_nothing_and_shows_its_response(
    server: Server, client: ArtemisClient, channel: grpc.Channel, write: Build
) -> None:
    """And its id is still free for the real one."""
    request = build(client, write)
    before = contents(server.database)
    listed = [*client.events.list(page_size=1000)], [*client.users.list(page_size=1000)]
    validated = copy(request)
    validated.validate_only = True

    would_be = [call(channel, validated) for _ in range(2)]

    assert before == contents(server.database)
    assert listed == ([*client.events.list(page_size=1000)], [*client.users.list(page_size=1000)])
    real = call(channel, request)
    assert [lasting(real)] * 2 == [lasting(each) for each in would_be]
    assert before != contents(server.database)
    assert real == call(channel, request)


def test_the_id_of_a_validated_request_is_free_for_another(client: ArtemisClient) -> None:
    request_id = str(uuid4())
    client.events.create(event(name="First"), request_id=request_id, validate_only=True)
    created = client.events.create(event(name="Second"), request_id=request_id)
    assert client.events.get(created.id).name == "Second"


def with_event(write: Build, **values: Any) -> Build:
    """Returns what builds a request whose last event has these fields."""

    def build_bad(client: ArtemisClient) -> Any:
        request = write(client)
        part = request.requests[-1] if hasattr(request, "requests") else request
        part.event.MergeFrom(EventMessage(**values))
        return request

    return build_bad


def with_stale_etag(write: Build) -> Build:
    def build_bad(client: ArtemisClient) -> Any:
        request = write(client)
        request.requests[-1].etag = STALE
        return request

    return build_bad


def blank(write: Build) -> Build:
    """Returns what builds a request that leaves the last name blank, as a mask tells."""

    def build_bad(client: ArtemisClient) -> Any:
        request = write(client)
        part = request.requests[-1] if hasattr(request, "requests") else request
        part.event.name = " "
        return request

    return build_bad


def taken_user(client: ArtemisClient) -> Any:
    return users.CreateUserRequest(user=user_message(email=client.users.create(user()).email.upper()))


def update_to_taken_user(client: ArtemisClient) -> Any:
    first, second = client.users.create(user()), client.users.create(user())
    return users.UpdateUserRequest(user=UserMessage(id=second.id, email=first.email.upper()))


def delete_owner(client: ArtemisClient) -> Any:
    owner = client.users.create(user())
    client.events.create(event(owner_id=owner.id))
    return users.DeleteUserRequest(id=owner.id)


def missing(request: Any) -> Build:
    return lambda _: request


BAD: list[tuple[str, Build]] = [
    ("OWNER_NOT_FOUND", with_event(create_event, owner_id=2**62)),
    ("OWNER_NOT_FOUND", with_event(update_event, owner_id=2**62)),
    ("OWNER_NOT_FOUND", with_event(create_events, owner_id=2**62)),
    ("OWNER_NOT_FOUND", with_event(update_events, owner_id=2**62)),
    ("ETAG_MISMATCH", with_event(update_event, etag=STALE)),
    ("ETAG_MISMATCH", with_event(update_events, etag=STALE)),
    ("ETAG_MISMATCH", with_stale_etag(delete_events)),
    ("ETAG_MISMATCH", lambda client: events.DeleteEventRequest(id=client.events.create(event()).id, etag=STALE)),
    ("ETAG_MISMATCH", lambda client: users.DeleteUserRequest(id=client.users.create(user()).id, etag=STALE)),
    ("INVALID_FIELD", blank(create_event)),
    ("INVALID_FIELD", blank(update_event)),
    ("INVALID_FIELD", blank(create_events)),
    ("INVALID_FIELD", blank(update_events)),
    ("EMAIL_TAKEN", taken_user),
    ("EMAIL_TAKEN", update_to_taken_user),
    ("USER_OWNS_EVENTS", delete_owner),
    ("EVENT_NOT_FOUND", missing(events.UpdateEventRequest(event=EventMessage(id=2**62, name="x")))),
    ("EVENT_NOT_FOUND", missing(events.DeleteEventRequest(id=2**62))),
    ("USER_NOT_FOUND", missing(users.UpdateUserRequest(user=UserMessage(id=2**62)))),
    ("USER_NOT_FOUND", missing(users.DeleteUserRequest(id=2**62))),
]


@pytest.mark.parametrize(("reason", "bad"), BAD)
def test_a_validated_request_is_refused_as_the_real_one_is(
    server: Server, client: ArtemisClient, channel: grpc.Channel, reason: str, bad: Build
) -> None:
    real = build(client, bad)
    validated = copy(real)
    validated.validate_only = True
    before = contents(server.database)

    errors = [refusal(channel, request) for request in (validated, real, validated)]

    assert [each.reason for each in errors] == [reason] * 3
    assert {each.code for each in errors} == {errors[0].code}
    assert {str(each) for each in errors} == {str(errors[0])}
    assert [each.details for each in errors] == [errors[0].details] * 3
    assert before == contents(server.database)


# kill


class Repeaters:
    """Threads that create events, and repeat with the same id what failed once there is another server."""

    def __init__(self, target: str, threads: int) -> None:
        self._changed = threading.Condition()
        self._targets = [target]
        self._stopping = False
        self.created: dict[str, int] = {}
        self.repeats = 0
        self._pool = ThreadPoolExecutor(threads)
        self._ends = [self._pool.submit(self._run) for _ in range(threads)]

    def wait_for(self, more: int) -> None:
        """Waits until so many more were acknowledged."""
        with self._changed:
            goal = len(self.created) + more
            assert self._changed.wait_for(lambda: len(self.created) >= goal, PATIENCE)

    def move_to(self, target: str) -> None:
        """Tells of the next server."""
        with self._changed:
            self._targets.append(target)
            self._changed.notify_all()

    def finish(self) -> None:
        """Ends the threads, when what they began is acknowledged."""
        self._stopping = True
        with self._changed:
            self._changed.notify_all()
        for end in self._ends:
            end.result(PATIENCE)
        self._pool.shutdown()

    def _run(self) -> None:
        generation = 0
        pending = ""
        while pending or not self._stopping:
            with grpc.insecure_channel(self._targets[generation]) as channel:
                pending = self._create(channel, pending)
            if pending:
                generation = self._next(generation)

    def _create(self, channel: grpc.Channel, pending: str) -> str:
        """Creates until a call fails, and returns the id of that call."""
        while pending or not self._stopping:
            name = pending or str(uuid4())
            try:
                made = call(channel, events.CreateEventRequest(event=event_message(name=name), request_id=name))
            except ArtemisError:
                return name
            pending = ""
            with self._changed:
                self.created[name] = made.id
                self._changed.notify_all()
        return ""

    def _next(self, generation: int) -> int:
        """Waits for a server after this one."""
        with self._changed:
            self.repeats += 1
            assert self._changed.wait_for(lambda: len(self._targets) > generation + 1, PATIENCE)
            return len(self._targets) - 1


@pytest.mark.acceptance
def test_creates_that_are_repeated_after_kills_are_made_once(serve: Serve) -> None:
    """None is lost and none is made twice, whether the server died before or after the commit."""
    kills, threads = 4, 8
    server = serve()
    repeaters = Repeaters(server.target, threads)
    try:
        for _ in range(kills):
            repeaters.wait_for(100)
            server.kill()
            server = serve()
            repeaters.move_to(server.target)
        repeaters.wait_for(100)
    finally:
        repeaters.finish()

    stored = query(server.database, "SELECT name, id FROM events")
    assert len(stored) == len(repeaters.created)
    assert dict(stored) == repeaters.created
    assert repeaters.repeats >= kills
