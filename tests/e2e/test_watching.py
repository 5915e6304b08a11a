"""Watches, histories and mirrors of the client on a real server."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import pytest
from artemis_client import ArtemisClient, Event, EventMirror, MemoryStore, NotFound, ResumeTokenExpired

from tests.e2e.conftest import Serve
from tests.e2e.samples import event, sent_part
from tests.e2e.servers import PATIENCE, serving


def test_a_watch_yields_the_changes_since_it_was_made(client: ArtemisClient) -> None:
    with client.events.watch(filter='category = "watched"') as watch:
        stored = client.events.create(event(category="watched"))
        updated = client.events.update(Event(id=stored.id, name="x"))
        client.events.create(event(category="other"))
        other = client.events.update(Event(id=stored.id, category="other"))
        found = [(change.type, change.event) for change in islice(watch, 3)]

    assert found == [("created", stored), ("updated", updated), ("deleted", other)]


def test_a_watch_goes_on_with_the_token_of_any_change_that_has_one(client: ArtemisClient) -> None:
    with client.events.watch() as watch:
        batch = client.events.batch_create([event(name=str(number)) for number in range(3)])
        last = client.events.create(event(name="last"))
        changes = [*islice(watch, 4)]
    token = next(change.resume_token for change in changes[2:] if change.resume_token)
    rest = changes[[change.resume_token for change in changes].index(token) + 1 :]
    with client.events.watch(token) as watch:
        after = client.events.create(event(name="after"))
        found = [change.event for change in islice(watch, len(rest) + 1)]

    assert [change.event for change in changes] == [*batch, last]
    assert found == [*(change.event for change in rest), after]


def test_a_list_and_its_watch_leave_no_gap(client: ArtemisClient) -> None:
    first = client.events.create(event(category="listed"))
    events, changes = client.events.list_and_watch('category = "listed"')
    second = client.events.create(event(category="listed"))
    assert [*events] == [first]
    with changes:
        assert next(changes).event == second


def test_a_token_that_is_none_is_an_error(client: ArtemisClient) -> None:
    with pytest.raises(Exception, match="INVALID_ARGUMENT") as raised:
        next(client.events.watch("made up"))

    assert getattr(raised.value, "reason", "") == "INVALID_RESUME_TOKEN"


def test_a_deleted_event_comes_back_from_its_history(client: ArtemisClient) -> None:
    stored = client.events.create(event(name="first"))
    changed = client.events.update(Event(id=stored.id, name="second"))
    client.events.delete(stored.id)
    newest, middle, oldest = client.events.history(stored.id, page_size=1)

    assert [each.type for each in (newest, middle, oldest)] == ["deleted", "updated", "created"]
    assert [each.event for each in (newest, middle, oldest)] == [changed, changed, stored]
    assert (middle.previous_event, newest.resume_token) == (stored, None)
    again = client.events.create(newest.event)
    assert (sent_part(again), again.id != stored.id) == (sent_part(changed), True)
    with pytest.raises(NotFound):
        client.events.get(stored.id)
    assert [*client.events.history(2**40)] == []


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, database_path: Path) -> Path | str:
    """A database of each engine."""
    return database_path if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))


@pytest.mark.acceptance
def test_a_mirror_is_in_step_with_writers_over_the_death_of_its_server(database: Path | str) -> None:
    done = threading.Event()

    def write(client: ArtemisClient, number: int) -> None:
        while not done.is_set():
            several = client.events.batch_create([event(name=f"{number}") for _ in range(3)])
            client.events.update(Event(id=several[0].id, name="changed"))
            client.events.batch_delete([several[1].id, several[2].id])

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        first = stack.enter_context(serving(database))
        client = stack.enter_context(ArtemisClient(first.target))
        client.events.batch_create([event() for _ in range(1000)])
        client.events.batch_create([event() for _ in range(1000)])
        writers = [pool.submit(write, client, number) for number in range(2)]
        with EventMirror(client) as mirror:
            assert mirror.wait_until_synced(PATIENCE)
            first.kill()
            stack.enter_context(serving(database, listen=first.target))
            assert mirror.wait_until_synced(PATIENCE)
            done.set()
            for each in writers:
                each.result(PATIENCE)
            wait_for(mirror, client.events.create(event()))
            assert dict(mirror.events) == {each.id: each for each in client.events.list(page_size=1000)}


def test_a_mirror_whose_changes_were_pruned_while_it_was_away_lists_again(serve: Serve, database_path: Path) -> None:
    store = MemoryStore()
    with ArtemisClient(serve().target) as client:
        gone, changed = client.events.create(event()), client.events.create(event())
        with EventMirror(client, store) as mirror:
            assert mirror.wait_until_synced(PATIENCE)
        client.events.delete(gone.id)
        changed = client.events.update(Event(id=changed.id, name="new"))
        added = client.events.create(event())
        with closing(sqlite3.connect(database_path, timeout=PATIENCE)) as database, database:
            database.execute("DELETE FROM event_changes WHERE id < (SELECT max(id) FROM event_changes)")
        with pytest.raises(ResumeTokenExpired):
            next(client.events.watch((store.position() or "").partition(" ")[0]))
        with EventMirror(client, store) as mirror:
            assert mirror.wait_until_synced(PATIENCE)

    assert dict(store) == {changed.id: changed, added.id: added}


def wait_for(mirror: EventMirror[MemoryStore], last: Event) -> None:
    """Waits until the mirror has the event that was written last."""
    finish = threading.Event()
    while last.id not in mirror.events:
        assert not finish.wait(0.005)
