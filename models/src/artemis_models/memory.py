"""Settings of a process's memory: glibc's allocator and Python's garbage collector."""

import ctypes
import gc
from contextlib import suppress

LARGE_BLOCK = 96 * 2**10  # bytes; SQLite takes and frees 64 KiB for each statement that fires a trigger
MAX_FREE = 2 * 2**20  # bytes
COLLECT_AFTER = 20_000
"""New objects after which the collector looks at the youngest generation; Python's default is 700."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def tune_allocator() -> None:
    """Makes a block of LARGE_BLOCK or more go back to the system when it is freed. Without glibc it does nothing.

    By default glibc raises this bound to the size of the largest block that was freed, up to 32 MiB. From then on the
    heap of each thread keeps such blocks, with free space between them. After ten seconds of pages of 3 MiB that no
    client read, the heaps had 400 MiB, of which 90 MiB were in use. A heap also gives back its free end when that has
    more than MAX_FREE.
    """
    with suppress(AttributeError, OSError):  # the library has no such function
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, MAX_FREE)


def tune_garbage_collector() -> None:
    """Takes every object that exists out of the collector's sight, and makes it run less often.

    Call it once, after start-up: the objects made until then live as long as the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
