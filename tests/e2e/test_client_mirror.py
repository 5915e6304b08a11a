"""Mirrors of the client: what they keep over lists, failures, restarts and expired positions, and how they end."""

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from artemis.v1.events_pb2 import Event as EventMessage
from artemis_client import (
    ArtemisClient,
    Cancelled,
    Event,
    EventMirror,
    EventStore,
    PermissionDenied,
    ResumeTokenExpired,
)

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
    playing,
    response,
)
from tests.e2e.servers import PATIENCE

pytestmark = pytest.mark.usefixtures("each_client")

Code = grpc.StatusCode
IN_STEP = response("end", caught_up=True)
LISTED = [[EventMessage(id=1, name="a"), EventMessage(id=2, name="b")], [EventMessage(id=3, name="c")]]
"""The pages that a list has."""


@dataclass
class Table:
    """A store of a caller, which remembers every call."""

    rows: dict[int, str] = field(default_factory=dict)
    saved: str | None = None
    calls: list[tuple[dict[int, str], list[int], str | None]] = field(default_factory=list)
    error: BaseException | None = None
    """The error of the call that has a position."""
    failed: threading.Event = field(default_factory=threading.Event)

    def position(self) -> str | None:
        return self.saved

    def ids(self) -> Iterable[int]:
        return list(self.rows)

    def apply(self, changed: Sequence[Event], deleted: Sequence[int], position: str | None) -> None:
        names = {event.id: event.name for event in changed}
        self.calls.append((names, sorted(deleted), position))
        if self.error is not None and position:
            self.failed.set()
            raise self.error
        self.rows.update(names)
        for event_id in deleted:
            self.rows.pop(event_id, None)
        self.saved = position


def follow(store: EventStore, *streams: Sequence[Step], choice: str | None = None) -> Script:
    """Runs a mirror of `LISTED` until it is in sync, and returns what the server was asked."""
    with playing(*streams) as script, ArtemisClient(script.target) as client:
        script.pages = LISTED
        with EventMirror(client, store, filter=choice) as mirror:
            assert mirror.wait_until_synced(PATIENCE)
    return script


def test_a_mirror_has_the_events_that_are_listed_and_then_their_changes() -> None:
    stream = [
        response("t1", change(UPDATED, 1, "A"), change(DELETED, 2)),
        response("t2", change(CREATED, 4, "d"), change(UPDATED, 4, "D")),
        IN_STEP,
    ]
    with playing(stream) as script, ArtemisClient(script.target) as client:
        script.pages = LISTED
        with EventMirror(client) as mirror:
            assert mirror.wait_until_synced(PATIENCE)
            assert {number: event.name for number, event in mirror.events.items()} == {1: "A", 3: "c", 4: "D"}
            assert (mirror.events[4], mirror.events.get(2), 2 in mirror.events, len(mirror.events)) == (
                Event(id=4, name="D"),
                None,
                False,
                3,
            )

    assert (script.lists, script.starts) == (1, ["listed"])


def test_changes_that_a_later_page_shows_already_come_to_the_same() -> None:
    """Between the pages of the list, 1 was changed, 2 deleted, 3 created and changed, and 4 created and deleted."""
    stream = [
        response("t1", change(UPDATED, 1, "new"), change(CREATED, 3, "first")),
        response("t2", change(DELETED, 2), change(CREATED, 4), change(DELETED, 4), change(UPDATED, 3, "c")),
        IN_STEP,
    ]
    store = Table()
    follow(store, stream)

    assert store.rows == {1: "new", 3: "c"}


def test_a_store_gets_pages_without_a_position_and_then_whole_transactions_with_theirs() -> None:
    stream = [
        response("", change(CREATED, 4, "d"), change(UPDATED, 1, "x")),
        response("t1", change(UPDATED, 1, "y"), change(DELETED, 2), change(DELETED, 3), change(CREATED, 3, "z")),
        IN_STEP,
    ]
    store = Table()
    follow(store, stream)

    assert store.calls == [
        ({1: "a", 2: "b"}, [], None),
        ({3: "c"}, [], None),
        ({}, [], "listed "),
        ({4: "d", 1: "y", 3: "z"}, [2], "t1 "),
        ({}, [], "end "),
    ]


def test_a_mirror_that_is_started_again_goes_on_from_its_position() -> None:
    store = Table()
    follow(store, [IN_STEP])
    script = follow(store, [response("t2", change(DELETED, 1)), IN_STEP])

    assert (script.lists, script.starts) == (0, ["end"])
    assert store.rows == {2: "b", 3: "c"}


def test_a_mirror_whose_position_expired_lists_again_and_removes_what_vanished() -> None:
    store = Table({1: "old", 7: "gone", 8: "gone"}, "t0 ")
    script = follow(store, [EXPIRED], [IN_STEP])

    assert store.rows == {1: "a", 2: "b", 3: "c"}
    assert store.calls[2] == ({}, [7, 8], "listed ")
    assert (script.lists, script.starts) == (1, ["t0", "listed"])


def test_a_position_that_expires_while_the_server_is_away_is_one_that_expired() -> None:
    store = Table({7: "gone"}, "t0 ")
    with playing() as script, ArtemisClient(script.target) as client:
        script.pages = LISTED
        script.after = {
            "t0": [response("t1"), LOST],
            "t1": [EXPIRED],
            "listed": [response("t3", change(CREATED, 9, "i")), IN_STEP],
        }
        with EventMirror(client, store) as mirror:
            assert mirror.wait_until_synced(PATIENCE)

    assert store.rows == {1: "a", 2: "b", 3: "c", 9: "i"}
    assert script.starts == ["t0", "t1", "listed"]


def test_a_list_that_was_not_finished_is_begun_again() -> None:
    """The store says so by having no position, also if it had one before the list."""
    store = Table({7: "gone"}, "t0 ")
    store.error = RuntimeError("the store is full")
    with pytest.raises(RuntimeError):
        follow(store, [EXPIRED])
    assert (store.saved, store.rows[1]) == (None, "a")

    store.error = None
    follow(store, [IN_STEP])
    assert store.rows == {1: "a", 2: "b", 3: "c"}


def test_a_mirror_with_another_filter_lists_again() -> None:
    store = Table()
    first = follow(store, [IN_STEP], choice="category = x")
    same = follow(store, [IN_STEP], choice="category = x")
    other = follow(store, [IN_STEP])

    assert [first.lists, same.lists, other.lists] == [1, 0, 1]
    assert [each.requests[0].filter for each in (first, same, other)] == ["category = x", "category = x", ""]


def test_changes_that_are_kept_for_less_time_than_a_list_takes_are_an_error() -> None:
    with pytest.raises(ResumeTokenExpired):
        follow(Table(), [EXPIRED], [EXPIRED], [EXPIRED])


def test_a_mirror_is_in_sync_from_when_it_has_caught_up_until_it_is_interrupted() -> None:
    behind = [response("t1", change(CREATED, 4)), response("t2")]
    with playing(behind, [IN_STEP]) as script, ArtemisClient(script.target) as client, EventMirror(client) as mirror:
        script.wait_until_held()
        assert (mirror.wait_until_synced(0.05), mirror.synced) == (False, False)
        script.end_stream(LOST)
        assert (mirror.wait_until_synced(PATIENCE), mirror.synced) == (True, True)
        script.end_stream(Failure(code=Code.UNAVAILABLE, retry=10 * PATIENCE))
        mirror._changed.wait_for(lambda: not mirror.synced, PATIENCE)
        assert not mirror.synced
        assert not mirror.wait_until_synced(0)


def test_a_mirror_tells_an_error_that_ends_it() -> None:
    refusal = Failure(code=Code.PERMISSION_DENIED)
    with playing([IN_STEP, refusal]) as script, ArtemisClient(script.target) as client:
        mirror = EventMirror(client)
        for wait in (mirror.join, mirror.wait_until_synced):
            with pytest.raises(PermissionDenied):
                wait(PATIENCE)
        assert not mirror.synced
        with pytest.raises(PermissionDenied), mirror:
            mirror.close()


@pytest.mark.parametrize(
    ("each_client", "error"),
    [("threads", OSError("no space")), ("threads", SystemExit(3)), ("asyncio", OSError("no space"))],
    indirect=["each_client"],
)  # in a task, SystemExit ends the event loop
def test_an_error_of_the_store_ends_the_mirror_and_is_raised(error: BaseException) -> None:
    with playing([IN_STEP]) as script, ArtemisClient(script.target) as client:
        mirror = EventMirror(client, Table(error=error))
        with pytest.raises(type(error)):
            mirror.wait_until_synced(PATIENCE)
        script.wait_until_left()
        mirror.close()
        store = Table(error=error)
        with pytest.raises(type(error)), EventMirror(client, store):
            assert store.failed.wait(PATIENCE)


def test_a_mirror_of_a_client_that_was_closed_is_cancelled() -> None:
    with playing([IN_STEP]) as script:
        client = ArtemisClient(script.target)
        mirror = EventMirror(client)
        assert mirror.wait_until_synced(PATIENCE)
        client.close()
        with pytest.raises(Cancelled):
            mirror.join(PATIENCE)


def test_closing_a_mirror_keeps_what_it_has_and_ends_its_stream() -> None:
    with playing([IN_STEP]) as script, ArtemisClient(script.target) as client:
        script.pages = LISTED
        mirror = EventMirror(client)
        assert mirror.wait_until_synced(PATIENCE)
        mirror.close()
        script.wait_until_left()
        assert (mirror.synced, mirror.wait_until_synced(), mirror.join()) == (False, False, True)
        mirror.close()

    assert [*mirror.events] == [1, 2, 3]


@pytest.mark.parametrize("where", ["page", "silence", "pause", "refused list"])
def test_closing_a_mirror_ends_it_at_once(where: str) -> None:
    again = Failure(code=Code.UNAVAILABLE, retry=10 * PATIENCE)
    with playing([again] if where == "pause" else []) as script, ThreadPoolExecutor(1) as pool:
        script.held_page = 0 if where == "page" else None
        script.refusal = again if where == "refused list" else None
        client = ArtemisClient(script.target, timeout=100 * PATIENCE)
        mirror = EventMirror(client)
        {"pause": script.wait_until_failed, "refused list": script.wait_for_lists}.get(where, script.wait_until_held)()
        closed = pool.submit(mirror.close)
        assert closed.exception(PATIENCE / 4) is None
        client.close()

    assert mirror.join(0)


@pytest.mark.parametrize("each_client", ["threads"], indirect=True)  # test_client_asyncio has it for coroutines
def test_a_store_may_close_its_mirror_and_is_not_called_again() -> None:
    class Once(Table):
        def apply(self, changed: Sequence[Event], deleted: Sequence[int], position: str | None) -> None:
            super().apply(changed, deleted, position)
            made.wait(PATIENCE)
            mirrors[0].close()

    made, mirrors, store = threading.Event(), list[EventMirror[Once]](), Once()
    with playing([IN_STEP]) as script, ArtemisClient(script.target) as client:
        script.pages = LISTED
        mirrors.append(EventMirror(client, store))
        made.set()
        assert mirrors[0].join(PATIENCE)

    assert len(store.calls) == 1


def test_readers_never_see_half_a_transaction() -> None:
    """Each of these transactions gives all events one name."""
    numbers = range(1, 9)
    stream = [response(f"t{turn}", *(change(UPDATED, number, str(turn)) for number in numbers)) for turn in range(200)]
    with playing([*stream, IN_STEP]) as script, ArtemisClient(script.target) as client, EventMirror(client) as mirror:
        seen = [{event.name for event in mirror.events.values()}]
        while not mirror.synced:
            seen.append({event.name for event in mirror.events.snapshot().values()})
            assert all(number in numbers for number in mirror.events)

    assert all(len(names) <= 1 for names in seen)


def test_a_snapshot_of_a_mirror_stays_as_it_was() -> None:
    with playing([IN_STEP]) as script, ArtemisClient(script.target) as client:
        script.pages = LISTED
        with EventMirror(client) as mirror:
            assert mirror.wait_until_synced(PATIENCE)
            before = mirror.events.snapshot()
            mirror.events.apply([Event(id=1, name="new")], [2], None)

    assert ([before[1].name, before[2].name], [*mirror.events]) == (["a", "b"], [1, 3])
