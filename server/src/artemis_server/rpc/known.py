"""Resources of pages that were answered before: filling one from a row costs several times what finding it again does.

What is kept can never be stale, because it is not found by the id of a row alone: the database is asked for the
row's version every time, and the version, which triggers count up whoever changes the row, is in the key.
"""

import threading
from collections.abc import Sequence

from artemis_server.db.listing.list_query import Identity

MOST_BYTES = 16 * 1024 * 1024
MOST_ANSWERS = 25_000


class Known:
    """Serialized answers by the identity of the row that they are of. It is emptied when it is full.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._kept: dict[Identity, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def find_all(self, identities: Sequence[Identity]) -> bytes | None:
        """Returns the answers that were kept, one after the other; None if one of them was not."""
        found = list(map(self._kept.get, identities))
        return None if None in found else b"".join(found)  # type: ignore[arg-type]

    def keep(self, identity: Identity, answer: bytes) -> None:
        """Keeps an answer that was made from a committed row."""
        with self._lock:
            if len(self._kept) >= MOST_ANSWERS or self._bytes + len(answer) > MOST_BYTES:
                self._kept, self._bytes = {}, 0
            self._kept[identity] = answer
            self._bytes += len(answer)
