"""The turns of processes that share a SQLite file: which one writes next, and whether one cuts back the log.

Only the kernel's locks and shared memory are used, which a process that is killed gives back. This module knows nothing
of SQLite.
"""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable

_POLL = 0.0005
"""Seconds between two tries of a turn that another process has. A commit takes several times as long."""
_NEEDED = struct.Struct("d")
_NOW, _NEXT, _LEAD = 0, 1, 2
"""The bytes of the file whose locks are the present turn, the next one, and the lead."""


class Turn:
    """The turn of a process that shares its file with no other: it always has it."""

    def __init__(self) -> None:
        self._memory: bytearray | mmap.mmap = bytearray(_NEEDED.size)

    @property
    def wal_needed_until(self) -> float:
        """Until when reads must let go of SQLite's write-ahead log, as `time.monotonic` has it in all processes.

        It is a time, and not a switch, which would stay on if its process were killed.
        """
        (value,) = _NEEDED.unpack_from(self._memory)
        return float(value)

    @wal_needed_until.setter
    def wal_needed_until(self, value: float) -> None:
        _NEEDED.pack_into(self._memory, 0, value)

    def take(self, waits: Callable[[], bool]) -> bool:
        """Waits for the turn while `waits` returns True, and tells whether this process has it now."""
        del waits
        return True

    def release(self) -> None:
        """Gives the turn to the next process that waits for it. Without a turn, it does nothing."""

    def lead(self) -> bool:
        """Tells whether this process is the one that does the work in the background, until it ends."""
        return True


class SharedTurn(Turn):
    """A turn that one process has at a time.

    Make it before the processes are forked. One thread of each takes it. A process that has released its turn does not
    overtake one that waits: to wait for the present turn, it must have the next one. SQLite itself lets processes sleep
    for up to 0.1 s and try again, so one that writes much keeps the others out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file = os.memfd_create("artemis-turn")
        self._memory = mmap.mmap(-1, _NEEDED.size)

    def take(self, waits: Callable[[], bool]) -> bool:
        """Waits for the turn while `waits` returns True, and tells whether this process has it now."""
        try:
            return self._wait(_NEXT, waits) and self._wait(_NOW, waits)
        finally:
            self._unlock(_NEXT)

    def release(self) -> None:
        """Gives the turn to the next process that waits for it. Without a turn, it does nothing."""
        self._unlock(_NOW)

    def lead(self) -> bool:
        """Tells whether this process is the one that does the work in the background, until it ends."""
        return self._lock(_LEAD)

    def _wait(self, byte: int, waits: Callable[[], bool]) -> bool:
        while not self._lock(byte):
            if not waits():
                return False
            time.sleep(_POLL)
        return True

    def _lock(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):  # POSIX admits both
            return False
        return True

    def _unlock(self, byte: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)
