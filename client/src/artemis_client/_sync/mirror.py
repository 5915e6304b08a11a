# Made by client/generate_sync.py of _async/mirror.py: change that, and run `make client`.
"""A mirror: a copy of the events that it keeps in step beside the program."""

import logging
from types import TracebackType
from typing import Generic, TypeVar, overload

from artemis_client._sync.client import ArtemisClient
from artemis_client._sync.io import Background, Failure, Notice, settled
from artemis_client.errors import Cancelled, ResumeTokenExpired
from artemis_client.watching.progress import Progress
from artemis_client.watching.stores import EventStore, MemoryStore
from artemis_client.watching.updates import Listing, Update, position_of, token_of, update_of

Store = TypeVar("Store", bound=EventStore)

log = logging.getLogger("artemis_client")


class EventMirror(Generic[Store]):
    """A copy of the events that match `filter`, or of all events, which the mirror keeps in step in the background.

    `events` is the copy: a `MemoryStore`, or the store that was given. The mirror lists the events and follows their
    changes. If the store has saved a position before, the mirror applies the changes since then. It lists the events
    again if the server no longer keeps these changes, or the filter is another one, and removes those that are gone.

    Close the mirror, or use it as a context manager. An error that ends it, such as an exception of the store or
    PermissionDenied, is logged, and raised by `wait_until_synced`, `join` and at the end of the `with` block.
    """

    @overload
    def __init__(self: "EventMirror[MemoryStore]", client: ArtemisClient, *, filter: str | None = None) -> None: ...

    @overload
    def __init__(self, client: ArtemisClient, store: Store, *, filter: str | None = None) -> None: ...

    def __init__(
        self,
        client: ArtemisClient,
        store: EventStore | None = None,
        *,
        filter: str | None = None,  # noqa: A002 - the contract's name for it
    ) -> None:
        self.events: Store = MemoryStore() if store is None else store  # type: ignore[assignment]  # see the overloads
        self._filter = filter or ""
        self._source = client.events._source()
        self._changed = Notice()
        self._synced = False
        self._ended = False
        self._closing = False
        self._error: BaseException | None = None
        self._background = Background(self._run, "artemis-mirror")

    @property
    def synced(self) -> bool:
        """True while the copy has everything that was committed until a moment ago.

        It is False until the events are listed, while the server cannot be reached, and after the mirror has ended.
        """
        return self._synced

    def wait_until_synced(self, timeout: float | None = None) -> bool:
        """Waits until the copy is in step, for `timeout` seconds at most, and returns whether it is.

        Raises the error that ended the mirror, if one did.
        """
        self._source.check()
        self._changed.wait_for(lambda: self._synced or self._ended, timeout)
        if self._error is not None:
            raise self._error
        return self._synced

    def join(self, timeout: float | None = None) -> bool:
        """Waits until the mirror has ended, for `timeout` seconds at most, and returns whether it has.

        Raises the error that ended the mirror, if one did.
        """
        self._source.check()
        self._changed.wait_for(lambda: self._ended, timeout)
        if self._error is not None:
            raise self._error
        return self._ended

    def close(self) -> None:
        """Ends the mirror at once. After that it does not call the store, which keeps its events and its position."""
        self._closing = True
        self._source.close()
        self._background.join()

    def __enter__(self) -> "EventMirror[Store]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._keep_in_step()
        except Failure as error:
            if not (self._closing and isinstance(error, Cancelled)):
                log.exception("a mirror of events has ended")
                self._error = error
        finally:
            self._synced, self._ended = False, True
            self._changed.notify()

    def _keep_in_step(self) -> None:
        """Runs until it is closed or fails."""
        token = token_of(settled(self.events.position()), self._filter)
        while True:
            listed = token is None
            progress = Progress(token or self._list(), self._filter)
            start = progress.resume_token
            try:
                self._follow(progress)
            except ResumeTokenExpired as error:
                if listed and progress.resume_token == start:
                    raise  # a list takes longer than changes are kept
                log.warning("a mirror of events lists all of them: %s", error)
                token = None

    def _list(self) -> str:
        """Brings the store to what the server lists, and returns the token that continues from there."""
        listing, token = Listing(settled(self.events.ids())), ""
        for page in self._source.pages(self._filter):
            token = token or page.resume_token
            self._apply(listing.page(page.events))
        self._apply(listing.end(position_of(token, self._filter)))
        return token

    def _follow(self, progress: Progress) -> None:
        """Applies changes without end."""
        for batch in self._source.batches(progress, self._interrupted):
            self._apply(update_of(batch, position_of(batch.resume_token, self._filter)))
            if batch.caught_up:
                self._set_synced(True)

    def _apply(self, update: Update) -> None:
        settled(self.events.apply(update.changed, update.deleted, update.position))

    def _interrupted(self) -> None:
        self._set_synced(False)

    def _set_synced(self, synced: bool) -> None:
        self._synced = synced
        self._changed.notify()
