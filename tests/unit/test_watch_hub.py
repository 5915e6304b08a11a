"""The hub of watches: what it sends, in which order, and whom it ends. Streams are in memory, and time passes fast."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from artemis.v1.events_pb2 import Event, EventChange, WatchEventsResponse
from artemis_server.db.changes.records import Change, Page, Position, Transaction, fill_event_of
from artemis_server.errors import RequestError
from artemis_server.watch.entries import MAX_ENTRY, Entry, entries
from artemis_server.watch.hub import Hub, Limits
from artemis_server.watch.watcher import Ended, Watcher

PATIENCE = 30.0
CREATED, UPDATED, DELETED = EventChange.TYPE_CREATED, EventChange.TYPE_UPDATED, EventChange.TYPE_DELETED
FAST = Limits(tick=0.01, checkpoint=1000.0)


def change(row_id: int, name: str = "", kind: int = CREATED, previous: str | None = None) -> Change:
    """Returns a change of an event, to this name."""
    return Change(row_id, row_id, kind, 0, "", row_id, _state(row_id, name), previous and _state(row_id, previous))


def _state(row_id: int, name: str) -> str:
    return json.dumps({"id": row_id, "name": name})


def at(number: int, *, whole: bool = True) -> Position:
    """Returns a position, whose number is what its token says."""
    return Position(mark=None, last_id=number, part_id=0 if whole else number)


def token(position: Position) -> str:
    return str(position.last_id)


def part(number: int, *changes: Change, complete: bool = True) -> Transaction:
    return Transaction(changes=list(changes), position=at(number, whole=complete))


def page(*parts: Transaction, at_end: bool = True) -> Page:
    return Page(transactions=list(parts), position=parts[-1].position, at_end=at_end)


class Client:
    """A stream in memory: `reads` is false for a client that never reads."""

    def __init__(self, *, reads: bool = True) -> None:
        self._reads = reads
        self.responses: list[WatchEventsResponse] = []
        self.error: RequestError | None = None
        self.aborted = False
        self.denied = False
        self.checks = 0
        self._changed = threading.Condition()

    def send(self, message: bytes, sent: Callable[[], None]) -> bool:
        with self._changed:
            self.responses.append(WatchEventsResponse.FromString(message))
            self._changed.notify_all()
        if self._reads:
            sent()
        return True

    def end(self, error: RequestError) -> None:
        with self._changed:
            self.error = error
            self._changed.notify_all()

    def abort(self, error: RequestError) -> None:
        self.aborted = True
        self.end(error)

    def check_access(self) -> None:
        self.checks += 1

    def wait_for(self, condition: Callable[["Client"], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), PATIENCE), self.responses

    def ids(self) -> list[int]:
        """Returns the ids of the events whose changes have arrived."""
        return [change.event.id for response in self.responses for change in response.changes]

    def told(self) -> list[tuple[str, bool]]:
        """Returns the tokens that have arrived, and whether they came with the end of the log."""
        return [(response.resume_token, response.caught_up) for response in self.responses]

    def tokens(self) -> list[str]:
        return [response.resume_token for response in self.responses]


@dataclass
class Setting:
    """A hub, and what it asked for."""

    limits: Limits
    pages: list[Watcher] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub = Hub(token, self.pages.append, lambda: None, limits=self.limits, on_end=self.ended.append)

    def follow(self, client: Client, matches: Callable[[Any], bool] | None = None, position: int = 0) -> Watcher:
        """Lets a client follow from a position, which is that of the hub, and returns when it has its checkpoint."""
        watcher = Watcher(stream=client, matches=matches, position=at(position), sent_position=at(position))
        self.hub.add(watcher, 1000)
        self.hub.deliver(watcher, [], at(position), at_end=True)
        self.hub.join(watcher, [], at(position), at_end=True)
        client.wait_for(lambda each: len(each.responses) == 1)
        return watcher


@pytest.fixture
def make() -> Iterator[Callable[..., Setting]]:
    """Makes hubs with these limits, and ends them."""
    made: list[Setting] = []

    def start(limits: Limits = FAST) -> Setting:
        setting = Setting(limits)
        setting.hub.start()
        made.append(setting)
        return setting

    yield start
    for each in made:
        each.hub.close(0)


Make = Callable[..., Setting]


def test_a_watcher_that_follows_receives_first_its_place_and_then_every_change(make: Make) -> None:
    setting, client = make(), Client()
    setting.follow(client, position=7)
    assert client.tokens() == ["7"]
    setting.hub.publish(entries(page(part(8, change(1), change(2)), part(9, change(3)))), at(9))
    setting.hub.publish(entries(page(part(10, change(4)))), at(10))
    client.wait_for(lambda each: each.tokens()[-1] == "10")
    assert client.ids() == [1, 2, 3, 4]


def test_a_transaction_is_in_one_response(make: Make) -> None:
    setting, client = make(), Client()
    setting.follow(client)
    setting.hub.publish(entries(page(part(1, *(change(number) for number in range(1, 100))))), at(1))
    client.wait_for(lambda each: len(each.responses) == 2)
    assert (len(client.responses[1].changes), client.responses[1].resume_token) == (99, "1")


def test_a_large_transaction_has_a_token_at_its_end_alone(make: Make) -> None:
    setting, client = make(), Client()
    setting.follow(client)
    large = [change(number, "x" * 1000) for number in range(1, 3 * MAX_ENTRY // 1000)]
    setting.hub.publish(entries(page(part(1, change(900)), part(2, *large), part(3, change(901)))), at(3))
    client.wait_for(lambda each: each.tokens()[-1] == "3")
    tokens = [token for token in client.tokens()[2:] if token]
    assert client.tokens()[1] == "1"
    assert tuple(tokens) == ("3",) or tuple(tokens) == ("2", "3")
    assert [900, *(each.state[0] for each in large), 901] == client.ids()
    assert all(response.ByteSize() < 1.5 * MAX_ENTRY for response in client.responses)


def test_a_filter_makes_creates_and_deletes_of_events_that_begin_and_cease_to_match(make: Make) -> None:
    setting, client = make(), Client()
    setting.follow(client, lambda row: row[1] == "a")
    changes = [
        change(1, "a", UPDATED, "b"),
        change(2, "a", UPDATED, "a"),
        change(3, "b", UPDATED, "a"),
        change(4, "b", UPDATED, "b"),
        change(5, "a", CREATED),
        change(6, "b", CREATED),
        change(7, "a", DELETED),
        change(8, "b", DELETED),
    ]
    setting.hub.publish(entries(page(part(1, *changes))), at(1))
    client.wait_for(lambda each: each.tokens()[-1] == "1")
    received = [(each.event.id, each.event.name, each.type) for each in client.responses[1].changes]
    assert received == [(1, "a", CREATED), (2, "a", UPDATED), (3, "b", DELETED), (5, "a", CREATED), (7, "a", DELETED)]


def test_a_transaction_of_several_responses_ends_with_a_token_though_the_filter_drops_its_end(make: Make) -> None:
    setting, client = make(), Client()
    setting.follow(client, lambda row: row[0] == 1)
    setting.hub.publish(entries(page(part(1, change(1), complete=False))), at(1))
    client.wait_for(lambda each: len(each.responses) == 2)
    setting.hub.publish(entries(page(part(2, change(2)))), at(2))
    client.wait_for(lambda each: len(each.responses) == 3)
    assert client.tokens() == ["0", "", "2"]


def test_a_mask_trims_the_events_that_a_watcher_is_sent_whatever_its_filter(make: Make) -> None:
    """A filter may use the fields that the mask leaves out, and other watchers receive whole events."""
    setting, whole, some, none = make(), Client(), Client(), Client()
    for client, matches, fields in (
        (whole, None, None),
        (some, lambda row: row[0] != 2, ("name",)),
        (none, None, ("owner_id",)),
    ):
        setting.follow(client, matches).fill_event = fill_event_of(fields) if fields else None
    setting.hub.publish(entries(page(part(1, change(1, "a"), change(2, "b"), change(3, "c")))), at(1))
    for client in (whole, some, none):
        client.wait_for(lambda each: len(each.responses) == 2)
    sent = [change.event for change in whole.responses[1].changes]
    trimmed = [Event(name=event.name) for event in sent if event.id != 2]
    assert [change.event for change in some.responses[1].changes] == trimmed
    bare = none.responses[1].changes
    assert [(change.HasField("event"), change.event) for change in bare] == [(True, Event())] * 3
    assert (some.tokens(), none.tokens()) == (whole.tokens(), whole.tokens())


def test_checkpoints_come_on_time_though_the_filter_drops_everything(make: Make) -> None:
    setting, client = make(Limits(tick=0.01, checkpoint=0.02)), Client()
    setting.follow(client, lambda _: False)
    setting.hub.publish(entries(page(part(5, change(1)))), at(5))
    client.wait_for(lambda each: each.tokens().count("5") > 2)
    assert client.ids() == []


def test_access_is_checked_again_and_again(make: Make) -> None:
    setting, client = make(Limits(tick=0.01, checkpoint=0.02)), Client()
    setting.follow(client)
    client.wait_for(lambda each: len(each.responses) > 5)
    assert client.checks > 2


def test_a_watch_whose_caller_lost_access_is_counted_as_such_whoever_notices_its_end(make: Make) -> None:
    setting, client = make(), Client()
    watcher = setting.follow(client)
    client.denied = True
    setting.hub.remove(watcher)
    assert setting.ended == [Ended.ACCESS]


def test_a_watcher_that_is_behind_reads_its_pages_one_after_the_other_and_then_joins(make: Make) -> None:
    setting, client, ahead = make(), Client(), Client()
    setting.follow(ahead, position=3)
    behind = Watcher(stream=client, position=at(0), sent_position=at(0))
    setting.hub.add(behind, 1000)
    assert [behind] == setting.pages[1:]
    setting.hub.deliver(behind, entries(page(part(1, change(1)))), at(1), at_end=False)
    client.wait_for(lambda each: each.ids() == [1])
    assert setting.pages[2:] == [behind]
    setting.hub.publish(entries(page(part(4, change(4)))), at(4))
    setting.hub.deliver(behind, entries(page(part(2, change(2)))), at(2), at_end=True)
    assert [behind] == setting.hub.joining()
    setting.hub.join(behind, entries(page(part(3, change(3)), part(4, change(4)))), at(4), at_end=True)
    setting.hub.publish(entries(page(part(5, change(5)))), at(5))
    client.wait_for(lambda each: each.tokens()[-1] == "5")
    assert client.ids() == [1, 2, 3, 4, 5]
    ahead.wait_for(lambda each: each.ids() == [4, 5])


def test_a_watcher_is_told_that_it_has_caught_up_when_it_has(make: Make) -> None:
    """In a checkpoint at once, if its filter drops the last change."""
    setting, client, choosy = make(), Client(), Client()
    for stream, matches in ((client, None), (choosy, lambda row: row[0] == 1)):
        watcher = Watcher(stream=stream, matches=matches, position=at(0), sent_position=at(0))
        setting.hub.add(watcher, 1000)
        setting.hub.deliver(watcher, entries(page(part(1, change(1)))), at(1), at_end=False)
        stream.wait_for(lambda each: each.told() == [("1", False)])
        setting.hub.deliver(watcher, entries(page(part(2, change(2)))), at(2), at_end=True)
        stream.wait_for(lambda each: each.told() == [("1", False), ("2", True)])
        setting.hub.join(watcher, [], at(2), at_end=True)
    setting.hub.publish(entries(page(part(3, change(1)))), at(3))
    for stream in (client, choosy):
        stream.wait_for(lambda each: each.told()[2:] == [("3", True)])


def test_a_watcher_that_does_not_read_is_ended_and_the_others_go_on(make: Make) -> None:
    setting, stuck, client = make(Limits(tick=0.01, checkpoint=1000, max_stall=0.05)), Client(reads=False), Client()
    setting.follow(client)
    setting.follow(stuck)
    setting.hub.publish(entries(page(part(1, change(1)))), at(1))
    stuck.wait_for(lambda each: each.aborted)
    assert (stuck.error and stuck.error.reason, setting.ended) == ("WATCH_TOO_SLOW", [Ended.TOO_SLOW])
    client.wait_for(lambda each: each.ids() == [1])
    assert len(setting.hub) == 1


def test_a_full_ring_waits_for_most_watchers_and_ends_the_few_that_hold_it_up(make: Make) -> None:
    setting = make(Limits(tick=0.01, checkpoint=1000, max_ring=1000, max_straggle=0.05))
    stuck, clients = Client(reads=False), [Client(), Client()]
    for client in (*clients, stuck):
        setting.follow(client)
    setting.hub.publish(entries(page(part(1, change(1, "x" * 2000)))), at(1))
    setting.hub.wait_for_room(lambda: False)
    assert (stuck.aborted, clients[0].ids(), clients[1].ids()) == (True, [1], [1])


def test_a_stop_ends_each_watcher_after_the_last_change(make: Make) -> None:
    setting, client, stuck = make(), Client(), Client(reads=False)
    setting.follow(client)
    setting.follow(stuck)
    setting.hub.publish(entries(page(part(1, change(1)))), at(1))
    setting.hub.close(0.2)
    assert (client.ids(), client.error and client.error.reason, client.aborted) == ([1], "SHUTTING_DOWN", False)
    assert (stuck.error and stuck.error.reason, stuck.aborted) == ("SHUTTING_DOWN", True)
    with pytest.raises(RequestError):
        setting.hub.add(Watcher(stream=Client()), 1000)


def test_no_more_than_the_allowed_watchers_are_let_in(make: Make) -> None:
    setting, client = make(), Client()
    first = setting.follow(client)
    with pytest.raises(RequestError) as refused:
        setting.hub.add(Watcher(stream=Client()), 1)
    assert refused.value.reason == "TOO_MANY_WATCHES"
    setting.hub.remove(first)
    setting.hub.add(Watcher(stream=Client()), 1)


def test_entries_hold_a_change_that_is_larger_than_a_response_should_be() -> None:
    made: Sequence[Entry] = entries(page(part(1, change(1, "x" * 2 * MAX_ENTRY), change(2))))
    assert [(len(entry.changes), entry.complete) for entry in made] == [(1, False), (1, True)]
