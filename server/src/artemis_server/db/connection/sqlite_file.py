"""SQLite's files as the file system has them: which ones they are, and how large the write-ahead log is.

It only looks at them. To open and close a file that SQLite has open would release SQLite's locks (POSIX, "fcntl").
"""

import os
from dataclasses import dataclass
from pathlib import Path

Identity = tuple[int, int]
"""The device and the number of a file's inode: a file that replaces another one has a different identity."""


@dataclass(frozen=True)
class SqliteFile:
    """The database at this path, and its write-ahead log."""

    path: str

    def identity(self) -> Identity | None:
        """Returns which file is at the path, None if there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def wal_size(self) -> int:
        """Returns how many bytes the write-ahead log has, 0 if there is none."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except OSError:
            return 0

    def size(self) -> int:
        """Returns how many bytes the database has, 0 if there is none."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    def free_space(self) -> int:
        """Returns how many bytes a program may still write to the file system, 0 if it cannot be asked."""
        try:
            found = os.statvfs(Path(self.path).parent)
        except OSError:
            return 0
        return found.f_bavail * found.f_frsize
