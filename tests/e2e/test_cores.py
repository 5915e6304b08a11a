"""The cores that a server process runs on, as the system tells them of each of its threads."""

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import PATIENCE, Server, serving

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")


@pytest.fixture
def allowed() -> set[int]:
    """The affinity of this thread, which a process inherits when it starts."""
    found = os.sched_getaffinity(0)
    if len(found) == 1:
        pytest.skip("this machine has one core")
    return found


@pytest.fixture
def operator(allowed: set[int]) -> Iterator[set[int]]:
    """An affinity of one core, which an operator has set."""
    affinity = {max(allowed)}
    os.sched_setaffinity(0, affinity)
    yield affinity
    os.sched_setaffinity(0, allowed)


def affinities(server: Server) -> list[set[int]]:
    """Returns the affinity of each thread of a server that listens."""
    assert server.port
    tasks = Path(f"/proc/{server.process.pid}/task")
    return [_affinity(task / "status") for task in tasks.iterdir()]


def _affinity(status: Path) -> set[int]:
    found = re.search(r"^Cpus_allowed:\t([0-9a-f,]+)$", status.read_text(encoding="ascii"), re.MULTILINE)
    assert found
    mask = int(found[1].replace(",", ""), 16)
    return {core for core in range(mask.bit_length()) if mask >> core & 1}


def agree_on_one_core(found: list[set[int]]) -> bool:
    return len(found[0]) == 1 and found == [found[0]] * len(found)


def test_all_threads_of_a_server_are_confined_to_one_core(allowed: set[int], tmp_path: Path) -> None:
    with serving(tmp_path / "artemis.db") as server:
        found = affinities(server)
        end = time.monotonic() + PATIENCE
        while not agree_on_one_core(found) and time.monotonic() < end:  # the server moved while they were read
            found = affinities(server)
    assert agree_on_one_core(found)
    assert found[0] < allowed


def test_a_server_on_all_cores_keeps_its_affinity(allowed: set[int], tmp_path: Path) -> None:
    with serving(tmp_path / "artemis.db", "--cores", "all") as server:
        found = affinities(server)
    assert found == [allowed] * len(found)


@pytest.mark.acceptance
@pytest.mark.parametrize("cores", ["one", pytest.param("all", marks=pytest.mark.acceptance)])
def test_the_affinity_that_an_operator_has_set_stays(operator: set[int], tmp_path: Path, cores: str) -> None:
    with serving(tmp_path / "artemis.db", "--cores", cores, python=Path(sys.executable)) as server:
        found = affinities(server)
    assert found == [operator] * len(found)
