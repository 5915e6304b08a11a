"""Many callers at once: none fails, no row is lost, and no id is given twice."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from artemis_client import Aborted, AlreadyExists, ArtemisClient, Event, User

from tests.depth import examples
from tests.e2e.samples import event, sent_part, user
from tests.e2e.servers import PATIENCE, Server, query, serving

CALLERS = 64
CREATES = examples(40)  # by each caller


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("busy") / "artemis.db") as server:
        yield server


@pytest.fixture
def callers(server: Server) -> Iterator[list[ArtemisClient]]:
    """Clients for 64 callers, of which eight share a connection."""
    clients = [ArtemisClient(server.target, timeout=PATIENCE) for _ in range(CALLERS // 8)]
    yield [clients[number % len(clients)] for number in range(CALLERS)]
    for client in clients:
        client.close()


@pytest.mark.thorough
def test_concurrent_creates_are_all_kept_under_ids_of_their_own(server: Server, callers: list[ArtemisClient]) -> None:
    def create(caller: int) -> list[Event]:
        sent = [event(name=f"{caller}/{number}") for number in range(CREATES)]
        return [callers[caller].events.create(each) for each in sent]

    with ThreadPoolExecutor(CALLERS) as pool:
        series = list(pool.map(create, range(CALLERS)))

    created = {each.id: each.name for events in series for each in events}
    assert len(created) == CALLERS * CREATES
    assert all([each.id for each in events] == sorted(each.id for each in events) for events in series)
    assert {each.name for events in series for each in events} == {
        f"{caller}/{number}" for caller in range(CALLERS) for number in range(CREATES)
    }
    stored: dict[int, str] = dict(query(server.database, "SELECT id, name FROM events"))
    assert created == {event_id: name for event_id, name in stored.items() if event_id in created}


def test_of_concurrent_updates_with_one_etag_exactly_one_is_made(callers: list[ArtemisClient]) -> None:
    stored = callers[0].events.create(event())

    def update(caller: int) -> Event | None:
        try:
            return callers[caller].events.update(Event(id=stored.id, name=f"{caller}", etag=stored.etag))
        except Aborted:
            return None

    with ThreadPoolExecutor(CALLERS) as pool:
        made = [each for each in pool.map(update, range(CALLERS)) if each is not None]

    assert made == [callers[0].events.get(stored.id)]


def test_of_concurrent_users_with_one_address_exactly_one_is_made(callers: list[ArtemisClient]) -> None:
    """A refusal in a group commit leaves its neighbours alone."""
    contested = user()

    def create(caller: int) -> tuple[User | None, User]:
        other = user()
        try:
            winner = callers[caller].users.create(contested)
        except AlreadyExists:
            winner = None
        created = callers[caller].users.create(other)
        assert other == sent_part(created)
        return winner, created

    with ThreadPoolExecutor(CALLERS) as pool:
        made = list(pool.map(create, range(CALLERS)))

    winners = [winner for winner, _ in made if winner is not None]
    assert [contested] == [sent_part(winner) for winner in winners]
    listed = {each.id for each in callers[0].users.list(page_size=1000)}
    assert {created.id for _, created in made} | {winners[0].id} <= listed


def test_concurrent_updates_of_different_fields_lose_none(callers: list[ArtemisClient]) -> None:
    stored = callers[0].events.create(event())
    fields = ("name", "description", "category", "location", "publisher")

    def update(caller: int) -> None:
        field = fields[caller % len(fields)]
        callers[caller].events.update(Event(id=stored.id, **{field: f"new {field}"}))  # type: ignore[arg-type]

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(update, range(CALLERS)))

    expected = event(**{field: f"new {field}" for field in fields})
    assert expected == sent_part(callers[0].events.get(stored.id))


@pytest.mark.acceptance
def test_reads_go_on_while_others_write(callers: list[ArtemisClient]) -> None:
    """Each caller reads its own writes at once."""

    def write_and_read(caller: int) -> None:
        client = callers[caller]
        for number in range(5):
            created = client.events.create(event(name=f"{number}"))
            assert created == client.events.get(created.id)
            updated = client.events.update(Event(id=created.id, name="new"))
            assert updated == client.events.get(created.id)

    with ThreadPoolExecutor(CALLERS) as pool:
        assert list(pool.map(write_and_read, range(CALLERS))) == [None] * CALLERS


def test_gets_are_answered_while_every_thread_waits_to_write(tmp_path: Path) -> None:
    path = tmp_path / "artemis.db"
    with (
        serving(path, "--threads", "2") as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ThreadPoolExecutor(8) as pool,
    ):
        stored = client.events.create(event())
        other.execute("BEGIN IMMEDIATE")
        writes = [pool.submit(client.events.create, event()) for _ in range(8)]
        assert stored == client.events.get(stored.id)
        assert not any(write.done() for write in writes)
        other.execute("ROLLBACK")
        assert len({write.result().id for write in writes}) == len(writes)
