"""Confines the threads of this process to one core at a time (ADR 0020).

The interpreter's lock lets one thread run Python at a time. When the threads may run on several cores, the lock wanders
between them, and each hand-over wakes a thread on another core: on two cores the server answers 0.45 to 0.50 of the
calls per second that it answers on one, at 2.5 times the CPU per call. Knows nothing of gRPC and the database.
"""

import logging
import os
import random
import resource
import threading
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PERIOD = 0.25, 0.75  # seconds between looks: random, so that two servers on a core do not move at the same time
MARGIN = 0.2
"""How much more of a core another one must promise: less is noise."""
RECOVERY = 0.02
"""How much more of a core one promises after each look: one that gave half a core is tried again after 5 s or more."""
BUSY = 0.1
"""The share of a core from which on the process's switches tell something."""
FEW_SWITCHES = 2000
"""Waits for a lock or a socket per second of CPU, below which the lock hardly wanders. Calls make 6,000 to 20,000; scans
and sorts in SQLite, which run without the lock and gain from every core, make 1,000 and less."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the system had counted at a time. All but `switches` is in seconds."""

    time: float
    used: float
    """CPU that this process has used."""
    switches: int
    """How often a thread of this process has waited for something."""
    idle: Mapping[int, float]
    """How long each core has been idle."""


class Placement:
    """Decides from samples on which cores the threads are to run: one, or all when the lock hardly wanders."""

    def __init__(self, cores: Set[int], core: int) -> None:
        self._promise = dict.fromkeys(cores, 1.0)  # the share of each core that this process may get there
        self._core = core
        self.cores: Set[int] = {core}

    def look(self, before: Sample, after: Sample) -> Set[int]:
        """Returns the cores to run on, by what has happened between two samples."""
        elapsed = after.time - before.time
        used = after.used - before.used
        idle = {core: (after.idle[core] - before.idle[core]) / elapsed for core in self._promise}
        if used > BUSY * elapsed and after.switches - before.switches < FEW_SWITCHES * used:
            self.cores = self._promise.keys()
            return self.cores
        for core, promise in self._promise.items():
            self._promise[core] = min(1.0, max(promise + RECOVERY, idle[core]))
        if self.cores == {self._core}:
            self._promise[self._core] = idle[self._core] + used / elapsed
        best = max(self._promise, key=lambda core: (self._promise[core], idle[core]))
        if self._promise[best] > self._promise[self._core] + MARGIN:
            self._core = best
        self.cores = {self._core}
        return self.cores


def confine() -> None:
    """Confines the threads to one core at a time, of those that the operator allows, until the process ends.

    Does nothing where one core is allowed, or where the system has no affinity (macOS) or does not count (no /proc).
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    if len(allowed) == 1:
        return
    placement = Placement(allowed, sorted(allowed)[os.getpid() % len(allowed)])
    try:
        before = _sample(allowed)
        _move(placement.cores)
    except (OSError, LookupError) as error:
        log.debug("the threads run on all cores: %r", error)
        return
    threading.Thread(target=_watch, args=(placement, before), name="cores", daemon=True).start()


def _watch(placement: Placement, before: Sample) -> None:
    """Moves the threads as the placement says, until somebody else has set their affinity."""
    allowed, cores = before.idle.keys(), placement.cores
    try:
        while True:
            time.sleep(random.uniform(*PERIOD))  # noqa: S311, no secret
            if os.sched_getaffinity(os.getpid()) != cores:
                return
            after = _sample(allowed)
            if placement.look(before, after) != cores:
                cores = placement.cores
                log.debug("the threads move to %s", sorted(cores))
                _move(cores)
            before = after
    except (OSError, LookupError) as error:
        log.debug("the threads run on all cores: %r", error)
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


def _move(cores: Set[int]) -> None:
    """Lets every thread run on these cores only. A thread that starts later inherits that from the one that starts it."""
    seen: set[str] = set()
    while new := set(os.listdir("/proc/self/task")) - seen:
        for thread in new:
            with suppress(ProcessLookupError):  # the thread has ended
                os.sched_setaffinity(int(thread), cores)
        seen |= new
