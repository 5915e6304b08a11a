"""The placement of the threads, as a function of what the system has counted."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from artemis_server import cores
from artemis_server.cores import Placement, Sample

MANY = 10_000
"""Switches per second of CPU, as calls make them."""


class Machine:
    """A machine on which time passes in looks of half a second; the process starts on core 0."""

    def __init__(self, count: int = 2) -> None:
        self._placement = Placement(set(range(count)), 0)
        self._sample = Sample(time=0.0, used=0.0, switches=0, idle=dict.fromkeys(range(count), 0.0))

    def look(self, used: float, idle: tuple[float, ...], switches: int = MANY) -> set[int]:
        """Lets the process use a share of a core while shares of each core are idle; returns its cores then."""
        before = self._sample
        self._sample = Sample(
            time=before.time + 0.5,
            used=before.used + used / 2,
            switches=before.switches + int(switches * used / 2),
            idle={core: before.idle[core] + share / 2 for core, share in enumerate(idle)},
        )
        self._placement.update(before, self._sample)
        return set(self._placement.cores)

    @property
    def alone(self) -> bool:
        return self._placement.alone


def test_a_process_that_fills_its_core_stays() -> None:
    assert Machine().look(used=0.95, idle=(0.05, 0.5)) == {0}


def test_an_idle_process_stays() -> None:
    assert Machine().look(used=0.0, idle=(0.9, 1.0)) == {0}


def test_a_process_leaves_a_core_that_a_neighbour_fills_for_one_that_is_idle() -> None:
    assert Machine().look(used=0.5, idle=(0.0, 1.0)) == {1}


@pytest.mark.parametrize("count", [1, 2])
def test_a_process_is_alone_on_its_core_until_a_neighbour_uses_it(count: int) -> None:
    machine = Machine(count)
    others = (0.0,) * (count - 1)
    assert not machine.alone
    assert machine.look(used=0.6, idle=(0.38, *others)) == {0}
    assert machine.alone
    machine.look(used=0.5, idle=(0.2, *others))
    assert not machine.alone


def test_a_process_that_moves_or_scans_is_not_taken_to_be_alone() -> None:
    machine = Machine()
    assert machine.look(used=0.5, idle=(0.0, 1.0)) == {1}
    assert not machine.alone
    assert machine.look(used=0.9, idle=(1.0, 0.1), switches=1000) == {0, 1}
    assert not machine.alone


def test_the_threads_of_a_process_that_is_alone_do_not_interrupt_each_other(allowed: set[int]) -> None:
    def policies() -> set[int]:
        with suppress(ProcessLookupError):
            return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}
        return policies()  # a thread has ended

    cores._move(allowed, alone=True)
    assert policies() == {os.SCHED_BATCH}
    cores._move(allowed)
    assert policies() == {os.SCHED_OTHER}


def test_little_more_elsewhere_is_no_reason_to_move() -> None:
    machine = Machine()
    machine.look(used=0.5, idle=(0.0, 0.0))  # tries the other core, which gives as much
    assert machine.look(used=0.5, idle=(0.0, 0.0)) == {1}
    assert machine.look(used=0.5, idle=(0.6, 0.0)) == {1}
    assert machine.look(used=0.35, idle=(0.0, 0.0)) == {1}  # that 0.6 is past


def test_where_no_core_is_idle_the_process_keeps_the_one_that_gives_it_most() -> None:
    machine = Machine()
    assert machine.look(used=0.6, idle=(0.0, 0.0)) == {1}
    assert machine.look(used=0.2, idle=(0.0, 0.0)) == {0}
    assert machine.look(used=0.6, idle=(0.0, 0.0)) == {0}


@pytest.mark.parametrize("count", [2, 16])
def test_a_process_that_gets_little_anywhere_tries_each_core_and_then_seldom_moves(count: int) -> None:
    machine = Machine(count)
    first = [machine.look(used=0.5, idle=(0.0,) * count) for _ in range(count - 1)]
    later = [machine.look(used=0.5, idle=(0.0,) * count) for _ in range(1000)]
    assert {frozenset({core}) for core in range(1, count)} == set(map(frozenset, first))
    assert sum(one != other for one, other in pairwise(later)) <= 1000 / 40 + count


def test_a_process_whose_lock_hardly_wanders_gets_all_cores_for_as_long() -> None:
    machine = Machine()
    assert machine.look(used=0.9, idle=(0.0, 1.0), switches=1000) == {0, 1}
    assert machine.look(used=1.9, idle=(0.0, 0.0), switches=1000) == {0, 1}
    assert len(machine.look(used=1.2, idle=(0.0, 0.0))) == 1


def test_few_switches_of_a_process_with_little_to_do_tell_nothing() -> None:
    assert Machine().look(used=0.05, idle=(0.9, 0.9), switches=0) == {0}


@pytest.fixture
def allowed() -> Iterator[set[int]]:
    """The affinity of this process, which it has again afterwards."""
    before = os.sched_getaffinity(0)
    if len(before) == 1:
        pytest.skip("this machine has one core")
    yield before
    cores._move(before)


def affinities() -> set[frozenset[int]]:
    found = set()
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # the thread has ended
            found.add(frozenset(os.sched_getaffinity(int(thread))))
    return found


def wait_for_the_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "cores":
            thread.join(60)
            assert not thread.is_alive()


def test_all_threads_move_from_a_core_that_is_full_and_then_stay_where_an_operator_puts_them(
    allowed: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, moved, end = os.getpid() % len(allowed), threading.Event(), threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(4)]
    counted = iter(range(1_000_000))

    def sample(names: set[int]) -> Sample:
        looks = next(counted)
        if looks == 2:  # the look before has moved the threads
            moved.set()
            end.wait()
        filled = sorted(names)[first]
        return Sample(time=looks, used=0, switches=0, idle={core: 0 if core == filled else looks for core in names})

    monkeypatch.setattr(cores, "_sample", sample)
    monkeypatch.setattr(cores, "LOOK_INTERVAL", (0, 0))
    for thread in threads:
        thread.start()
    try:
        cores.confine()
        assert moved.wait(60)
        found = affinities()
    finally:
        cores._move(allowed)
        end.set()
    wait_for_the_end()
    assert len(found) == 1
    assert set(*found) < allowed
    assert sorted(allowed)[first] not in set(*found)
    assert affinities() == {frozenset(allowed)}


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000\n", 2), ("150000 100000\n", 2), ("100000 100000\n", 1), ("5000 100000\n", 1)]
)
def test_a_quota_of_processor_time_limits_the_cores_that_are_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: int
) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    monkeypatch.setattr(cores, "CPU_MAX", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5})
    assert expected == cores.available()


def test_without_a_quota_all_cores_of_the_affinity_are_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 5})
    assert cores.available() == 3


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [{1, 3, 5, 7, 9}]),
        (2, [{1, 5, 9}, {3, 7}]),
        (5, [{1}, {3}, {5}, {7}, {9}]),
        (6, [{1}, {3}, {5}, {7}, {9}, {1}]),
    ],
)
def test_workers_share_a_core_only_if_there_are_more_of_them_than_cores(
    monkeypatch: pytest.MonkeyPatch, count: int, expected: list[set[int]]
) -> None:
    shares: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 5, 7, 9})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, share: shares.append(set(share)))
    for number in range(1, count + 1):
        cores.share_out(number, count)
    assert expected == shares


@pytest.mark.parametrize("looks", [0, 1])
@pytest.mark.parametrize("error", [FileNotFoundError, KeyError, ValueError])
def test_a_process_whose_cores_the_system_does_not_count_is_not_confined(
    allowed: set[int], monkeypatch: pytest.MonkeyPatch, error: type[Exception], looks: int
) -> None:
    left = iter([Sample(time=0, used=0, switches=0, idle=dict.fromkeys(allowed, 0))] * looks)

    def sample(names: set[int]) -> Sample:
        for found in left:
            return found
        raise error(names)

    monkeypatch.setattr(cores, "_sample", sample)
    monkeypatch.setattr(cores, "LOOK_INTERVAL", (0, 0))
    cores.confine()
    wait_for_the_end()
    assert {frozenset(allowed)} == affinities()


def test_a_move_that_fails_half_way_leaves_no_thread_confined(
    allowed: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    confined: list[int] = []
    set_affinity = os.sched_setaffinity

    def confine_one(thread: int, names: set[int]) -> None:
        if names != allowed and confined:
            raise PermissionError(thread)
        set_affinity(thread, names)
        if names != allowed:
            confined.append(thread)

    monkeypatch.setattr(os, "sched_setaffinity", confine_one)
    cores.confine()
    wait_for_the_end()
    assert len(confined) == 1
    assert {frozenset(allowed)} == affinities()
