"""Confines the threads of this process to one core at a time (ADR 0020).

The interpreter's lock lets one thread run Python at a time. When the threads may run on several cores, the lock wanders
between them, and each hand-over wakes a thread on another core: on two cores the server answers 0.45 to 0.50 of the
calls per second that it answers on one, at 2.5 times the CPU per call. This module knows no gRPC and no database.
"""

import logging
import math
import os
import random
import resource
import sys
import threading
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOK_INTERVAL = 0.25, 0.75  # seconds, random: two servers that share a core must not both leave it at once
MARGIN = 0.2  # the share of a core that another core must offer beyond the present one: less is noise
RECOVERY = 0.005  # growth per look, divided among the other cores: a single one that gave no more is tried after 20 s
ALONE = 0.9  # the share of its core, used and idle, from which the process has no neighbour there
BUSY = 0.1  # the share of a core that the process must use before its switches count
FEW_SWITCHES = 2000
"""Voluntary context switches per second of CPU below which the lock hardly changes hands.

Calls make 6,000 to 20,000. Scans in SQLite, which run without the lock and in parallel, make 1,000.
"""
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""The file in which Linux tells a container its quota of CPU time (cgroups version 2)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Counters of the system at one moment. All but `switches` are in seconds."""

    time: float
    used: float
    """CPU time of this process."""
    switches: int
    """Voluntary context switches of this process: a thread waited for a lock, a socket or a disk."""
    idle: Mapping[int, float]
    """The idle time of each allowed core."""


class Placement:
    """Decides where the threads run: on one core, or on all allowed cores while the lock hardly changes hands.

    `alone` tells that no other process uses the core.
    """

    def __init__(self, allowed: Set[int], core: int) -> None:
        self._core = core
        self._expected = dict.fromkeys(allowed, 1.0)  # the share of each core that a trial would give us
        self.cores: Set[int] = {core}
        self.alone = False

    def update(self, before: Sample, after: Sample) -> None:
        """Sets `cores` and `alone` by what happened between two samples.

        Example: this process used 0.5 of its core, which was never idle, and another core was always idle: it moves
        there. When no core is idle, it tries another one, and returns if that one gives it less.
        """
        elapsed = after.time - before.time
        used = after.used - before.used
        idle = {core: (after.idle[core] - before.idle[core]) / elapsed for core in self._expected}
        self.alone = False
        if used > BUSY * elapsed and after.switches - before.switches < FEW_SWITCHES * used:
            self.cores = self._expected.keys()
            return
        for core, share in self._expected.items():
            self._expected[core] = min(1.0, share + RECOVERY / max(len(idle) - 1, 1))
        if self.cores == {self._core}:
            self._expected[self._core] = idle[self._core] + used / elapsed
            self.alone = self._expected[self._core] > ALONE
        best = max(idle, key=lambda core: (max(self._expected[core], idle[core]), idle[core]))
        if max(self._expected[best], idle[best]) > self._expected[self._core] + MARGIN:
            self._core, self.alone = best, False
        self.cores = {self._core}


def available() -> int:
    """Returns how many cores this process may keep busy: those of its affinity, and not more than its cgroup's quota.

    Without affinity (macOS) it is one.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 1
    return min(len(os.sched_getaffinity(0)), _quota(CPU_MAX))


def _quota(path: Path) -> int:
    """Returns how many cores a file such as CPU_MAX allows. Example: "150000 100000" is 2, and "max 100000" is all."""
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return sys.maxsize


def share_out(number: int, count: int) -> None:
    """Leaves this process the cores of worker `number`, from 1 to `count`, of those that the affinity allows.

    Two workers share a core only if there are more workers than cores. Example: of the cores 0 to 3, the second of two
    workers gets 1 and 3.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        first = (number - 1) % len(allowed)
        os.sched_setaffinity(0, allowed[first::count])


def confine() -> None:
    """Confines all threads to one core at a time, among the allowed cores, until the process ends.

    The allowed cores are the affinity of the process when this is called. Nothing is confined if the system has no
    affinity (macOS) or no counters (a container without /proc/stat).
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        placement = Placement(allowed, sorted(allowed)[os.getpid() % len(allowed)])
        threading.Thread(target=_watch, args=(placement, allowed), name="cores", daemon=True).start()


def _watch(placement: Placement, allowed: Set[int]) -> None:
    """Moves the threads as the placement says. Ends when somebody else has set the affinity of the process.

    After any failure, also that of a move half done, the threads run on all allowed cores.
    """
    cores, alone = allowed, False
    try:
        before = _sample(allowed)
        while os.sched_getaffinity(os.getpid()) == cores:
            if (placement.cores, placement.alone) != (cores, alone):
                cores, alone = placement.cores, placement.alone
                log.debug("the threads run on %s%s", sorted(cores), ", alone" if alone else "")
                _move(cores, alone=alone)
            time.sleep(random.uniform(*LOOK_INTERVAL))  # noqa: S311, no secret
            after = _sample(allowed)
            placement.update(before, after)
            before = after
    except (OSError, LookupError, ValueError) as error:
        log.debug("the threads run on all allowed cores: %r", error)
        with suppress(OSError):
            _move(allowed)


def _sample(cores: Set[int]) -> Sample:
    ticks = os.sysconf("SC_CLK_TCK")
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    fields = {line.split()[0]: line.split() for line in lines if line.startswith("cpu")}
    return Sample(
        time=time.monotonic(),
        used=time.process_time(),
        switches=resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw,
        idle={core: (int(fields[f"cpu{core}"][4]) + int(fields[f"cpu{core}"][5])) / ticks for core in cores},
    )


def _move(cores: Set[int], *, alone: bool = False) -> None:
    """Lets every thread run on these cores only. A thread that starts later inherits this from its creator.

    With `alone`, a thread that is woken does not interrupt the running one (SCHED_BATCH of sched(7)), which mostly has
    the lock that the woken thread waits for: a create of 64 callers takes 0.82 of the CPU. Beside a neighbour, a thread
    that is woken would wait for the neighbour as well. A policy that the operator has set stays.
    """
    seen: set[str] = set()
    while new := set(os.listdir("/proc/self/task")) - seen:
        for thread in new:
            with suppress(ProcessLookupError):  # the thread has ended
                os.sched_setaffinity(int(thread), cores)
                if os.sched_getscheduler(int(thread)) in (os.SCHED_OTHER, os.SCHED_BATCH):
                    policy = os.SCHED_BATCH if alone else os.SCHED_OTHER
                    with suppress(PermissionError):  # a container may forbid it
                        os.sched_setscheduler(int(thread), policy, os.sched_param(0))
        seen |= new
