"""The servers of a session, which tests use one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artemis_testing.process import ServerProcess
from artemis_testing.server import ArtemisServer


class Pool:
    """Starts as many servers as are used at a time, and lends them."""

    def __init__(self, cache: Path | None) -> None:
        """Keeps the migrated database in a folder, if there is one, for the next session."""
        self._cache = cache
        self._free: dict[bool, list[ArtemisServer]] = {True: [], False: []}
        self._all: list[ArtemisServer] = []

    @contextmanager
    def lend(self, *, access: bool = False) -> Iterator[ArtemisServer]:
        """Lends a server that is as new, with access control or without."""
        free = self._free[access]
        server = free.pop() if free else self._start(access=access)
        yield server
        server.close_client()
        server.reset()
        free.append(server)

    def close(self) -> None:
        """Ends all servers."""
        for server in self._all:
            server.close()

    def _start(self, *, access: bool) -> ArtemisServer:
        server = ArtemisServer(ServerProcess(self._cache, access=access))
        self._all.append(server)
        return server
