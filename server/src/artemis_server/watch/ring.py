"""The ring: the newest entries of the log, which all watchers share. Each watcher has a cursor in it."""

from collections import deque
from collections.abc import Iterable

from artemis_server.watch.entries import Entry


class Ring:
    """Entries that are numbered one after the other. Its owner has the lock."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self.first = 0
        """The number of the first entry that is kept."""
        self.size = 0
        """Bytes of the entries."""
        self.end = 0
        """The number of the entry that comes next. It may be read without the lock."""

    def __getitem__(self, number: int) -> Entry:
        """Returns the entry of this number, which is kept."""
        return self._entries[number - self.first]

    def extend(self, entries: Iterable[Entry]) -> None:
        """Adds entries."""
        for entry in entries:
            self._entries.append(entry)
            self.size += entry.size
            self.end += 1

    def drop_before(self, number: int) -> None:
        """Drops the entries before this number."""
        while self.first < number and self._entries:
            self.size -= self._entries.popleft().size
            self.first += 1
