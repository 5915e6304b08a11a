"""Watches of the client: what they yield over streams that fail, and how they end."""

import gc
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice

import grpc
import pytest
from artemis.v1.events_pb2 import Event as EventMessage
from artemis.v1.events_pb2 import EventChange as Message
from artemis.v1.events_pb2 import WatchEventsRequest
from artemis_client import (
    ArtemisClient,
    ArtemisError,
    Cancelled,
    ChangeType,
    Event,
    EventChange,
    InvalidArgument,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    ResumeTokenExpired,
    Unauthenticated,
    Watch,
)
from google.protobuf.timestamp_pb2 import Timestamp

from tests.e2e.scripted import (
    CREATED,
    DELETED,
    EXPIRED,
    LOST,
    UPDATED,
    Failure,
    Script,
    Step,
    change,
    impatient_watch,
    playing,
    response,
)
from tests.e2e.servers import PATIENCE

pytestmark = pytest.mark.usefixtures("each_client")

Code = grpc.StatusCode
A, B, C = change(CREATED, 1, "a"), change(UPDATED, 1, "b"), change(DELETED, 1, "b")


def names(watch: Watch, number: int) -> list[str]:
    """Returns the names of the next events."""
    return [change.event.name for change in islice(watch, number)]


def test_a_change_has_all_that_the_server_sent() -> None:
    event, previous = Event(id=1, name="new"), Event(id=1, name="old")
    sent = Message(
        type=UPDATED,
        event=event.to_message(),
        change_time=Timestamp(seconds=7),
        principal="ada",
        previous_event=previous.to_message(),
    )
    with playing([response("t1", sent)]) as script, ArtemisClient(script.target) as client:
        received = next(client.events.watch("t0"))

    assert received == EventChange(
        type=ChangeType.UPDATED,
        event=event,
        change_time=datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC),
        principal="ada",
        previous_event=previous,
        resume_token="t1",
    )


def test_the_type_of_a_change_is_a_word_and_a_later_one_is_an_update() -> None:
    later: Message.Type = 9  # type: ignore[assignment]  # of a later version of the contract
    sent = response("t1", A, B, C, change(later, 2))
    with playing([sent]) as script, ArtemisClient(script.target) as client:
        found = [change.type for change in islice(client.events.watch("t0"), 4)]

    assert found == ["created", "updated", "deleted", "updated"]


def test_the_last_change_of_its_transactions_has_the_token_to_go_on_with() -> None:
    stream = [response("t1", A, B), response("", A), response("t2", B), response("t3", C)]
    with playing(stream) as script, ArtemisClient(script.target) as client:
        found = [change.resume_token for change in islice(client.events.watch("t0"), 5)]

    assert found == [None, "t1", None, "t2", "t3"]


def test_the_token_of_a_watch_is_that_of_what_was_asked_beyond_and_moves_with_checkpoints() -> None:
    stream = [response("t1"), response("t2", A, B), response("t3"), response("t4", C)]
    with playing(stream) as script, ArtemisClient(script.target) as client:
        watch = client.events.watch("t0")
        found = [watch.resume_token]
        for _ in islice(watch, 3):
            found.append(watch.resume_token)

    assert found == ["t0", "t1", "t1", "t3"]


def test_a_watch_without_a_token_begins_when_it_is_made_and_keeps_that_over_failures() -> None:
    with playing([LOST], [response("t1", A)]) as script, ArtemisClient(script.target) as client:
        watch = client.events.watch()
        assert (script.lists, script.requests) == (1, [])
        assert names(watch, 1) == ["a"]

    assert script.starts == ["listed"]


def test_the_filter_is_sent_with_every_stream() -> None:
    with playing([LOST], [response("t1", A)]) as script, ArtemisClient(script.target) as client:
        next(client.events.watch("t0", "category = x"))
        with client.events.watch() as watch:
            threading.Timer(0, watch.close).start()
            assert [*watch] == []

    assert script.requests[:2] == [WatchEventsRequest(resume_token="t0", filter="category = x")] * 2


@pytest.mark.parametrize(
    "failure",
    [
        LOST,
        Failure(code=Code.UNAVAILABLE, reason="SHUTTING_DOWN", retry=0.01),
        Failure(code=Code.RESOURCE_EXHAUSTED, reason="WATCH_TOO_SLOW", retry=0.01),
        Failure(code=Code.CANCELLED),
        Failure(code=Code.DEADLINE_EXCEEDED),
        Failure(code=Code.INTERNAL),
        Failure(code=Code.UNKNOWN),
        Failure(code=Code.UNAUTHENTICATED, reason="CREDENTIALS_INVALID"),
        None,
    ],
    ids=lambda failure: failure.code.name if failure else "end",
)
def test_a_stream_that_fails_is_followed_by_one_that_goes_on(failure: Step) -> None:
    with playing() as script, ArtemisClient(script.target) as client:
        script.after = {
            "t0": [response("t1", A), failure],
            "t1": [response("t2"), failure],
            "t2": [response("t3", B), failure],
            "t3": [response("t4", C)],
        }
        found = names(client.events.watch("t0"), 3)

    assert found == ["a", "b", "b"]
    assert script.starts == ["t0", "t1", "t2", "t3"]


def test_a_stream_that_fails_inside_a_transaction_leaves_no_gap_and_repeats_nothing() -> None:
    """The next stream sends the whole transaction, here after one that has no event in common with it."""
    other = change(CREATED, 2, "other")
    with playing() as script, ArtemisClient(script.target) as client:
        script.after = {
            "t0": [response("t1", A), response("", B), response("", C), LOST],
            "t1": [response("t2", other), response("", B), LOST],
            "t2": [response("", B), response("", C), response("t3", change(CREATED, 3, "end"))],
        }
        found = names(client.events.watch("t0"), 5)

    assert found == ["a", "other", "b", "b", "end"]
    assert script.starts == ["t0", "t1", "t2"]


def test_a_stream_that_stays_silent_is_followed_by_another_one() -> None:
    with playing() as script, impatient_watch(script.target, 0.2) as watch:
        script.after = {"start": [response("t1", A)], "t1": [response("t2", B)]}
        assert names(watch, 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (EXPIRED, ResumeTokenExpired),
        (Failure(code=Code.OUT_OF_RANGE), OutOfRange),
        (Failure(code=Code.INVALID_ARGUMENT, reason="INVALID_FILTER"), InvalidArgument),
        (Failure(code=Code.PERMISSION_DENIED, reason="ROLE_REQUIRED"), PermissionDenied),
        (Failure(code=Code.RESOURCE_EXHAUSTED), ResourceExhausted),
        (Failure(code=Code.UNAUTHENTICATED), Unauthenticated),
        (Failure(code=Code.INTERNAL, reason="INTERNAL"), ArtemisError),
    ],
    ids=lambda each: each.code.name if isinstance(each, Failure) else "",
)
def test_an_error_that_a_new_stream_does_not_mend_is_raised(failure: Failure, error: type[ArtemisError]) -> None:
    """Streams that fail before their first response."""
    with playing([failure], [failure], []) as script, ArtemisClient(script.target) as client:
        watch = client.events.watch("t0")
        with pytest.raises(error) as raised:
            next(watch)

    assert (raised.value.code, raised.value.reason) == (failure.code, failure.reason)
    assert len(script.requests) == (2 if failure.code is Code.UNAUTHENTICATED else 1)


def test_an_expired_token_is_an_error_of_its_own_also_after_a_failure() -> None:
    with playing() as script, ArtemisClient(script.target) as client:
        script.after = {"t0": [response("t1", A), LOST], "t1": [EXPIRED]}
        watch = client.events.watch("t0")
        assert names(watch, 1) == ["a"]
        with pytest.raises(ResumeTokenExpired):
            next(watch)


def test_every_stream_has_the_token_of_its_time() -> None:
    given = iter(["one", "two", "three"])
    refused = Failure(code=Code.UNAUTHENTICATED)
    streams: list[list[Step]] = [[refused], [response("t1", A)]]
    with playing(*streams) as script, ArtemisClient(script.target, token=lambda: next(given)) as client:
        assert names(client.events.watch("t0"), 1) == ["a"]

    assert script.credentials == ["Bearer one", "Bearer two"]


Ending = Callable[[ArtemisClient, Watch], None]


def ended_by(end: Ending, stream: Sequence[Step], ready: Callable[[Script], None]) -> BaseException | list[EventChange]:
    """Returns what a loop over a watch yields or raises that `end` ends on another thread, when the script is ready."""
    with playing(stream) as script, ThreadPoolExecutor(1) as pool:
        client = ArtemisClient(script.target)
        watch = client.events.watch("t0")
        loop = pool.submit(lambda: [*watch])
        ready(script)
        end(client, watch)
        error = loop.exception(PATIENCE / 4)
        client.close()
        script.wait_until_left()
        return error or loop.result()


BLOCKED: list[tuple[Sequence[Step], Callable[[Script], None]]] = [
    ([], Script.wait_until_held),
    ([Failure(code=Code.UNAVAILABLE, retry=10 * PATIENCE)], Script.wait_until_failed),
]


@pytest.mark.parametrize(("stream", "ready"), BLOCKED, ids=["silence", "pause"])
def test_closing_a_watch_ends_its_loop_at_once(stream: Sequence[Step], ready: Callable[[Script], None]) -> None:
    assert ended_by(lambda _, watch: watch.close(), stream, ready) == []


@pytest.mark.parametrize(("stream", "ready"), BLOCKED, ids=["silence", "pause"])
def test_closing_a_client_cancels_its_watches_at_once(stream: Sequence[Step], ready: Callable[[Script], None]) -> None:
    error = ended_by(lambda client, _: client.close(), stream, ready)
    assert isinstance(error, Cancelled)


def test_a_closed_watch_yields_nothing_more() -> None:
    with playing([response("t1", A, B, C)]) as script, ArtemisClient(script.target) as client:
        with client.events.watch("t0") as watch:
            assert names(watch, 1) == ["a"]
        assert [*watch] == []
        script.wait_until_left()
        with client.events.watch("t0") as other:
            other.close()
            assert [*other] == []

    assert len(script.requests) == 1


def test_a_watch_that_is_forgotten_ends_its_stream() -> None:
    with playing([response("t1", A)]) as script, ArtemisClient(script.target) as client:
        next(client.events.watch("t0"))
        gc.collect()
        script.wait_until_left()


def test_watching_with_a_closed_client_is_cancelled() -> None:
    with playing() as script:
        client = ArtemisClient(script.target)
        watch = client.events.watch("t0")
        client.close()
        with pytest.raises(Cancelled):
            next(watch)
        with pytest.raises(Cancelled):
            next(client.events.watch("t0"))


def test_a_list_is_followed_by_the_changes_since_its_first_page() -> None:
    stream = [response("t1", B)]
    with playing(stream) as script, ArtemisClient(script.target) as client:
        script.pages, script.tokens = (
            [[EventMessage(id=1), EventMessage(id=2)], [EventMessage(id=3)]],
            ["first", "second"],
        )
        events, changes = client.events.list_and_watch("category = x")
        assert ([event.id for event in events], names(changes, 1)) == ([1, 2, 3], ["b"])

    assert script.requests == [WatchEventsRequest(resume_token="first", filter="category = x")]
    assert script.lists == 1


def test_closing_the_watch_of_a_list_ends_the_list() -> None:
    with playing() as script, ArtemisClient(script.target) as client, ThreadPoolExecutor(1) as pool:
        script.pages, script.held_page = [[EventMessage(id=1)], [EventMessage(id=2)]], 1
        events, changes = client.events.list_and_watch()
        rest = pool.submit(lambda: [*events])
        script.wait_until_held()
        changes.close()
        assert isinstance(rest.exception(PATIENCE), Cancelled)
