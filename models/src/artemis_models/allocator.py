"""The settings of glibc's allocator for processes that use and free large blocks in many threads."""

import ctypes
from contextlib import suppress

LARGE_BLOCK = 96 * 2**10  # bytes; SQLite takes and frees 64 KiB for each statement that fires a trigger
MAX_FREE = 2 * 2**20  # bytes
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
