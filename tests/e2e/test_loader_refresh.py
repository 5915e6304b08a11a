"""A refresh on every engine: what it leaves when it is killed, and what others see meanwhile."""

import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from artemis_client import ArtemisClient

from tests.depth import examples
from tests.e2e.loaders import Loader, loading
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, serving

MANY = examples(4_000)
PAGE = 1_000
KILLS = examples(10)
WRITERS = 16


@pytest.fixture
def loader(tmp_path: Path, database_url: str) -> Loader:
    """A loader whose feed is in the database."""
    loader = Loader(tmp_path, database_url)
    loader.publish(MANY, "Old")
    assert loader.load()["inserted"] == MANY
    return loader


def check(loader: Loader, old: str, new: str) -> None:
    """Checks that a load that was killed left all or nothing, and that the next one succeeds."""
    state = loader.state()
    done = state == {new: MANY}
    assert done or state == {old: MANY}
    assert loader.last_status() == ("loaded" if done else "running"), "which the next load sees to"
    assert loader.load()["updated"] == (0 if done else MANY)
    assert loader.state() == {new: MANY}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "step",
    [*(pytest.param(each, marks=pytest.mark.acceptance) for each in ("reading", "indexing", "comparing")), "merging"],
)
def test_kill_9_at_a_step_leaves_the_old_feed_or_the_new_one(loader: Loader, step: str) -> None:
    loader.publish(MANY, "New")
    with loading(loader) as (process, log):
        log.wait_for(f"feed talks: {step}")
        process.kill()
        process.wait(PATIENCE)
    check(loader, "Old", "New")
    assert loader.statuses() == ["loaded", "interrupted", "loaded"] or step == "merging"


@pytest.mark.acceptance
@pytest.mark.thorough
@pytest.mark.long
@pytest.mark.timeout(300)
def test_kill_9_at_a_random_moment_leaves_the_old_feed_or_the_new_one(loader: Loader) -> None:
    old = "Old"
    begin = time.monotonic()
    loader.load()
    longest = time.monotonic() - begin
    for number in range(KILLS):
        new = f"New {number}"
        loader.publish(MANY, new)
        with loading(loader) as (process, _):
            with suppress(subprocess.TimeoutExpired):
                process.wait(random.uniform(0, longest))  # noqa: S311, any moment will do
            process.kill()
            process.wait(PATIENCE)
        if loader.state() == {old: MANY}:
            assert loader.load()["updated"] == MANY
        assert loader.state() == {new: MANY}
        old = new


@pytest.mark.acceptance
def test_readers_see_one_feed_or_the_other_and_writers_no_error(loader: Loader) -> None:
    """A page is one snapshot: what the API answers is of one feed, too."""
    loader.publish(MANY + 5, "New")
    done = threading.Event()

    def write(client: ArtemisClient) -> int:
        written = 0
        while not done.is_set():
            client.events.create(event(name="over the API"))
            written += 1
        return written

    def read(client: ArtemisClient) -> set[str]:
        seen = set()
        while not done.is_set():
            names = {each.name for each in islice(client.events.list(filter='source = "talks"', page_size=PAGE), PAGE)}
            assert len(names) == 1
            seen |= names
        return seen

    counted: list[dict[str, int]] = []
    with (
        serving(loader.url) as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
        ThreadPoolExecutor(WRITERS + 1) as pool,
    ):
        writers = [pool.submit(write, client) for _ in range(WRITERS)]
        reader = pool.submit(read, client)
        try:
            with loading(loader) as (process, _):
                while process.poll() is None:
                    counted.append(loader.state())
                assert process.returncode == 0
        finally:
            done.set()
        written = sum(writer.result(PATIENCE) for writer in writers)
        assert reader.result(PATIENCE) <= {"Old", "New"}
        stored = sum(1 for _ in client.events.list(filter='name = "over the API"', page_size=PAGE))
    assert written == stored
    assert all(state in ({"Old": MANY}, {"New": MANY + 5}) for state in [*counted, loader.state()])
    assert loader.state() == {"New": MANY + 5}
