"""The promises of WatchEvents, on both engines: every watcher receives every change once, in order and whole.

`python -m tests.watching history` is the long form.
"""

from pathlib import Path

import pytest

from tests.watching.history import broken_promises, faults
from tests.watching.run import run

SECONDS = 1.0


@pytest.mark.acceptance
@pytest.mark.long
def test_every_watcher_receives_every_change_once_in_order_and_whole_though_a_server_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    made = run(database_url, tmp_path, SECONDS, kills=1)
    assert made.problems() == []
    assert len(made.committed) > 10  # a busy machine makes few
    found = {
        name: bool(broken_promises(faulty, made.committed, made.table))
        for name, faulty in faults(made.watchers[0], made.committed).items()
    }
    assert found == dict.fromkeys(("drop", "repeat", "reorder", "split"), True)
