"""The memory of the metrics: each worker changes its own numbers, and any worker adds up those of all.

Processes share it that are forked after it was made. When a worker dies, its counts stay, and the next worker with its
number goes on with them. The libraries keep such numbers in files, at several times the cost (docs/adr/0029). This
module knows numbers and processes, and no metric.
"""

import fcntl
import mmap
import os
import threading
import time
from collections.abc import Sequence

MAX_AGE = 5.0
"""Seconds without a sign of life after which a process counts as ended."""
_NUMBER = 8  # bytes
_SLOTS = 2  # of a worker: while it is replaced, there are two of it


class Block:
    """The numbers of one process. `lock` is held while several of them change."""

    def __init__(self, numbers: "memoryview[float]", beat: "memoryview[float]") -> None:
        self.numbers = numbers
        self.lock = threading.Lock()
        self._beat = beat

    def beat(self) -> None:
        """Gives a sign of life."""
        self._beat[0] = time.monotonic()

    def leave(self) -> None:
        """Marks the process as ended: its gauges no longer count."""
        self._beat[0] = 0.0


class Memory:
    """Blocks of `size` numbers for each worker, from the number 1 on."""

    def __init__(self, workers: int, size: int) -> None:
        self._size = size
        self._workers = range(1, workers + 1)
        blocks = workers * _SLOTS
        self._all = memoryview(mmap.mmap(-1, blocks * (size + 1) * _NUMBER)).cast("d")
        self._file = os.memfd_create("artemis-metrics") if hasattr(os, "memfd_create") else -1
        """A file with a byte for each block. The process that has the block locks the byte."""

    def take(self, worker: int, gauges: Sequence[int] = ()) -> Block:
        """Returns a block for this process, a worker of this number. The numbers at the places `gauges` are set to 0.

        The process counts as alive from its first `beat` on.
        """
        first = self._first(worker)
        slot = next((slot for slot in range(first, first + _SLOTS) if self._lock(slot)), first)
        block = Block(self._numbers(slot), self._beat(slot))
        block.leave()  # the one before was killed
        for place in gauges:
            block.numbers[place] = 0.0
        return block

    def read(self, worker: int) -> list[tuple[bool, list[float]]]:
        """Returns the numbers of each block of a worker, after True if its process lives."""
        earliest = time.monotonic() - MAX_AGE
        slots = range(self._first(worker), self._first(worker) + _SLOTS)
        return [(self._beat(slot)[0] > max(0.0, earliest), list(self._numbers(slot))) for slot in slots]

    @property
    def workers(self) -> range:
        """The numbers of the workers."""
        return self._workers

    def _first(self, worker: int) -> int:
        return (worker - 1) * _SLOTS

    def _numbers(self, slot: int) -> "memoryview[float]":
        return self._all[slot * (self._size + 1) : (slot + 1) * (self._size + 1) - 1]

    def _beat(self, slot: int) -> "memoryview[float]":
        return self._all[(slot + 1) * (self._size + 1) - 1 :][:1]

    def _lock(self, slot: int) -> bool:
        if self._file < 0:  # there is one process
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):  # POSIX admits both
            return False
        return True
