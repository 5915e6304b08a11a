"""The latest position in the server's database that a client knows of: a replica that has less does not answer it."""

import re
import threading

from artemis_client.errors import Trailers
from artemis_client.tracing import Metadata

_NAME = "x-artemis-position"
_FORM = re.compile("[0-9a-z]{17,64}")
_CLUSTER_DIGITS = 16
"""The first digits of a position name its cluster. Of two positions of one cluster, the greater text is the later."""


class LatestPosition:
    """Keeps the latest of the positions that it is given. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = ""

    @property
    def text(self) -> str:
        """The latest position; empty while there is none."""
        return self._text

    def metadata(self) -> Metadata:
        """Returns the metadata that a call sends."""
        text = self._text
        return ((_NAME, text),) if text else ()

    def keep(self, trailers: Trailers, *, wrote: bool = False) -> None:
        """Keeps the position in the trailers of a call, if they have one.

        A server without replicas returns none. After such a write, no replica may answer this client.
        """
        found = [value for name, value in trailers or () if name == _NAME and _FORM.fullmatch(value)]
        for text in found:
            self._advance(text)
        if wrote and not found:
            self._text = ""

    def advance(self, text: str) -> None:
        """Keeps a position of another client, unless it is an earlier one of the same cluster. An empty one is none.

        Raises:
            ValueError: the text is not a position.
        """
        if text and not _FORM.fullmatch(text):
            raise ValueError(f"{text[:64]!r} is not a position that a client had")
        if text:
            self._advance(text)

    def _advance(self, text: str) -> None:
        with self._lock:
            if text > self._text or text[:_CLUSTER_DIGITS] != self._text[:_CLUSTER_DIGITS]:
                self._text = text
