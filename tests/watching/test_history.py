"""The promises of WatchEvents, on both engines: every watcher receives every change once, in order and whole.

`python -m tests.watching history` is the long form.
"""

from pathlib import Path

import pytest

from tests.watching.history import broken_promises, faults
from tests.watching.run import run

SECONDS = 1.5


@pytest.mark.long
def test_every_watcher_receives_every_change_once_in_order_and_whole(database_url: str, tmp_path: Path) -> None:
    made = run(database_url, tmp_path, SECONDS)
    assert made.problems() == []
    assert len(made.committed) > 10  # a busy machine makes few
    found = {
        name: bool(broken_promises(faulty, made.committed, made.table))
        for name, faulty in faults(made.watchers[0], made.committed).items()
    }
    assert found == dict.fromkeys(("drop", "repeat", "reorder", "split"), True)


@pytest.mark.long
def test_a_server_that_is_killed_loses_and_repeats_nothing(database_url: str, tmp_path: Path) -> None:
    assert run(database_url, tmp_path, SECONDS, kills=1).problems() == []
