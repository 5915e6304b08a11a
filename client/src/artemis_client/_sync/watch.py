# Made by client/generate_sync.py of _async/watch.py: change that, and run `make client`.
"""A watch: the changes of events as they are committed."""

from collections import deque
from collections.abc import Iterator
from types import TracebackType

from google.protobuf.field_mask_pb2 import FieldMask

from artemis_client._sync.source import EventSource
from artemis_client.calls import OneReader
from artemis_client.errors import Cancelled
from artemis_client.watching.changes import EventChange, change_of
from artemis_client.watching.progress import Progress


class Watch(Iterator[EventChange]):
    """Yields the changes of events as they are committed, and waits for the next change until it is closed.

    Only one reader at a time may use it; anybody may call `close`. When a stream fails, the watch opens another one,
    which continues where the first ended, so no change is missing or comes twice. It tries until a server answers.

    Raises:
        ResumeTokenExpired: the changes after the token are no longer kept.
        Cancelled: the client was closed.
        ArtemisError: another error that trying again does not help, such as InvalidArgument or PermissionDenied.
        RuntimeError: the client was made elsewhere, such as before a fork, or another reader waits.
    """

    def __init__(
        self,
        source: EventSource,
        resume_token: str,
        filter: str,  # noqa: A002 - its name
        read_mask: FieldMask | None = None,
    ) -> None:
        self._source = source
        self._resume_token = resume_token
        self._is_closed = False
        self._batches = source.batches(Progress(resume_token, filter, read_mask))
        self._changes = deque[EventChange]()
        self._reached = resume_token
        self._reader = OneReader()

    @property
    def resume_token(self) -> str:
        """The token that continues after the changes that the reader has handled.

        The last yielded change is handled when the reader asks for the next one. The token also moves while no change
        passes the filter. It may be read at any time, and saved from time to time.
        """
        return self._resume_token

    def close(self) -> None:
        """Ends the watch at once. A loop over it ends as if there were no more changes."""
        self._is_closed = True
        self._source.close()

    def __next__(self) -> EventChange:
        self._source.check()
        if self._is_closed:
            raise StopIteration
        try:
            with self._reader:
                return self._next()
        except Cancelled:
            if self._is_closed:
                raise StopIteration from None
            raise

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> EventChange:
        """Returns the next change. The token of a batch counts when it is asked for more than the batch has."""
        while not self._changes:
            self._resume_token = self._reached
            batch = next(self._batches)
            self._reached = batch.resume_token
            last = len(batch.changes)
            self._changes.extend(
                change_of(change, self._reached if number == last else None)
                for number, change in enumerate(batch.changes, 1)
            )
        return self._changes.popleft()
