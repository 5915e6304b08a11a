"""A server that is killed and started again while both clients write."""

from pathlib import Path

import pytest

from tests.e2e.kills import killed


@pytest.mark.acceptance
@pytest.mark.long
def test_no_client_loses_or_repeats_a_write_while_the_server_is_killed(database_path: Path) -> None:
    """`python -m tests.benchmarks.clients` kills it ten times."""
    answered, stored = killed(database_path, 3)

    assert answered == stored
