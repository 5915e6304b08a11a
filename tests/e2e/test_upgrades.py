"""The next release takes over from this one: the short form of `tests/robustness/upgrades.py`."""

from pathlib import Path

import pytest

from tests.robustness.upgrades import next_release, take_over


@pytest.mark.acceptance
@pytest.mark.long
@pytest.mark.timeout(170)
def test_a_release_takes_over_from_the_last_one_without_an_error(postgresql_url: str, tmp_path: Path) -> None:
    load, _ = take_over(next_release(tmp_path, postgresql_url), postgresql_url)
    assert load.failures == []
    assert load.calls > 0
