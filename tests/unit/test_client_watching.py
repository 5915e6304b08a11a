"""The parts of watches and mirrors that know no transport: progress, and updates of a store."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from artemis.v1.events_pb2 import Event as EventMessage
from artemis.v1.events_pb2 import EventChange, WatchEventsResponse
from artemis_client import ArtemisError, Event, MemoryStore, Unavailable
from artemis_client._sync.io import AttentiveResponses
from artemis_client.retries import INITIAL_BACKOFF, MAX_BACKOFF
from artemis_client.watching.progress import Batch, Progress
from artemis_client.watching.updates import Listing, Update, position_of, token_of, update_of
from google.protobuf.message import Message
from google.rpc import error_details_pb2

PATIENCE = 60.0  # seconds
Code = grpc.StatusCode
CREATED, UPDATED, DELETED = EventChange.TYPE_CREATED, EventChange.TYPE_UPDATED, EventChange.TYPE_DELETED
REFUSED = ArtemisError(Code.UNAUTHENTICATED, "no")


def change(kind: "EventChange.Type", event_id: int, name: str = "") -> EventChange:
    return EventChange(type=kind, event=EventMessage(id=event_id, name=name))


def part(token: str, *numbers: int) -> WatchEventsResponse:
    return WatchEventsResponse(resume_token=token, changes=[change(CREATED, number) for number in numbers])


def ids(batch: Batch | None) -> list[int] | None:
    return None if batch is None else [change.event.id for change in batch.changes]


def test_the_parts_of_a_transaction_are_one_batch() -> None:
    progress = Progress("t0", "")

    assert [ids(progress.take(each)) for each in (part("", 1, 2), part("", 3), part("t1", 4), part("t2"))] == [
        None,
        None,
        [1, 2, 3, 4],
        [],
    ]
    assert progress.resume_token == "t2"


def test_another_stream_forgets_the_parts_of_the_one_before() -> None:
    progress = Progress("t0", "x = 1")
    progress.take(part("t1", 1))
    progress.take(part("", 2))

    assert (progress.request().resume_token, progress.request().filter) == ("t1", "x = 1")
    assert ids(progress.take(part("t2", 2, 3))) == [2, 3]


def test_pauses_grow_until_a_response_comes() -> None:
    lost, progress = ArtemisError(Code.UNAVAILABLE, "away"), Progress("t0", "")
    pauses = [progress.pause_after(lost) or 0 for _ in range(10)]
    progress.take(part("t1"))

    assert all(MAX_BACKOFF / 2 <= pause <= MAX_BACKOFF for pause in pauses[5:])
    assert 0 < (progress.pause_after(lost) or 0) <= INITIAL_BACKOFF


def test_a_stream_is_tried_for_as_long_as_no_server_answers() -> None:
    progress = Progress("t0", "")

    assert None not in [progress.pause_after(ArtemisError(Code.UNAVAILABLE, "away")) for _ in range(1000)]


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.CANCELLED])
def test_a_server_that_says_when_to_come_back_is_not_asked_before(code: Code) -> None:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=7))

    assert 7 <= (Progress("t0", "").pause_after(ArtemisError(code, "later", [info])) or 0) <= 10.5


@pytest.mark.parametrize("code", [Code.INTERNAL, Code.UNKNOWN])
def test_a_broken_stream_is_final_if_the_server_says_so_or_several_break_in_a_row(code: Code) -> None:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason="INTERNAL")]
    broken, failed = ArtemisError(code, "RST_STREAM"), ArtemisError(code, "oops", details)
    progress = Progress("t0", "")

    assert progress.pause_after(failed) is None
    for token in ("t1", "t2"):
        assert [progress.pause_after(broken) is None for _ in range(6)] == [False] * 5 + [True]
        progress.take(part(token))


def test_a_refused_caller_is_asked_for_another_token_once_after_each_response() -> None:
    progress = Progress("t0", "")

    assert [progress.pause_after(REFUSED), progress.pause_after(REFUSED)] == [0, None]
    progress.take(part(""))
    assert [progress.pause_after(REFUSED), progress.pause_after(REFUSED)] == [0, None]


def test_the_update_of_a_batch_has_what_each_event_became_last() -> None:
    changes = [
        change(CREATED, 1, "a"),
        change(UPDATED, 1, "b"),
        change(CREATED, 2),
        change(DELETED, 2),
        change(DELETED, 3),
        change(CREATED, 3, "c"),
        change(EventChange.TYPE_UNSPECIFIED, 4, "d"),
    ]
    update = update_of(Batch(changes, "t1", False), "p")

    assert {event.id: event.name for event in update.changed} == {1: "b", 3: "c", 4: "d"}
    assert (update.deleted, update.position) == ([2], "p")


def test_a_list_removes_what_no_page_has() -> None:
    listing = Listing([1, 2, 3, 4])
    first, second = [EventMessage(id=1), EventMessage(id=5)], [EventMessage(id=3)]

    assert [listing.page(first), listing.page(second)] == [
        Update([Event(id=1), Event(id=5)], (), None),
        Update([Event(id=3)], (), None),
    ]
    assert listing.end("p") == Update((), [2, 4], "p")


@pytest.mark.parametrize("choice", ["", "category = x", " name = 'a b'  "])
def test_a_position_has_the_token_for_the_same_filter_only(choice: str) -> None:
    assert token_of(position_of("abc", choice), choice) == "abc"
    assert token_of(position_of("abc", choice), choice + "x") is None


@pytest.mark.parametrize("position", [None, "", " ", " x"])
def test_no_position_has_no_token(position: str | None) -> None:
    assert token_of(position, "") is None


def test_a_store_in_memory_is_a_mapping() -> None:
    store, one, two = MemoryStore(), Event(id=1, name="a"), Event(id=2, name="b")
    store.apply([one, two], [7], "p")

    assert dict(store) == {1: one, 2: two} == dict(store.items())
    assert ([*store.values()], [*store.keys()], [*store.ids()]) == ([one, two], [1, 2], [1, 2])
    assert (store[1], store.get(3), 2 in store, 3 in store, len(store)) == (one, None, True, False, 2)
    assert (store == {1: one, 2: two}, store.position()) == (True, "p")
    with pytest.raises(KeyError):
        store[3]


class Calls:
    """A stream with a response that comes when it is let through."""

    def __init__(self) -> None:
        self.waiting, self.arrived, self.cancelled = threading.Event(), threading.Event(), threading.Event()

    def __next__(self) -> str:
        self.waiting.set()
        assert self.arrived.wait(PATIENCE)
        if self.cancelled.is_set():
            raise RuntimeError
        return "response"

    def cancel(self) -> None:
        self.cancelled.set()
        self.arrived.set()


def test_a_stream_is_silent_only_while_its_reader_waits() -> None:
    call = Calls()
    responses = AttentiveResponses(call, PATIENCE)
    responses.cancel_if_silent(0)
    call.arrived.set()
    assert next(responses) == "response"
    responses.cancel_if_silent(0)
    assert not call.cancelled.is_set()

    call.waiting.clear()
    call.arrived.clear()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(next, responses)
        assert call.waiting.wait(PATIENCE)
        responses.cancel_if_silent(PATIENCE)
        assert not call.cancelled.is_set()
        responses.cancel_if_silent(0)
        assert isinstance(reader.exception(PATIENCE), Unavailable)
    responses.close()
