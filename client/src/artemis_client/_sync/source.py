# Made by client/generate.py of _async/source.py: change that, and run `make client`.
"""The source of events for watches and mirrors: pages of a list, and changes over as many streams as it takes."""

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import grpc
from artemis.v1.events_pb2 import ListEventsRequest, ListEventsResponse, WatchEventsResponse

from artemis_client._sync.calls import Caller
from artemis_client._sync.io import AttentiveResponses
from artemis_client.calls import closed, explained, grpc_errors
from artemis_client.errors import ArtemisError, Unavailable
from artemis_client.watching.progress import Batch, Progress

if TYPE_CHECKING:  # the types of the stubs are in their .pyi alone
    from artemis.v1.events_pb2_grpc import EventServiceStub

_MAX_PAGE_SIZE = 1000

log = logging.getLogger("artemis_client")


class EventSource:
    """Reads events and changes for one watch or mirror. Every method raises ArtemisError; Cancelled if it is closed."""

    def __init__(self, stub: "EventServiceStub", caller: Caller) -> None:
        self._stub = stub
        self._caller = caller

    def check(self) -> None:
        """Raises RuntimeError if the client was made elsewhere, and so cannot be used here."""
        self._caller.check()

    def close(self) -> None:
        """Ends what is under way at once."""
        self._caller.close()

    def resume_token(self, timeout: float | None = None) -> str:
        """Returns the token that continues after everything that is committed now."""
        request = ListEventsRequest(page_size=1)
        return (self._caller.call(self._stub.ListEvents, request, timeout)).resume_token

    def pages(self, filter: str, timeout: float | None = None) -> Iterator[ListEventsResponse]:  # noqa: A002 - its name
        """Yields the pages of all events that match, by id. The timeout is one page's."""
        request = ListEventsRequest(filter=filter, page_size=_MAX_PAGE_SIZE)
        while True:
            page = self._caller.call(self._stub.ListEvents, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def batches(self, progress: Progress, interrupted: Callable[[], None] = lambda: None) -> "Batches":
        """Returns batches and checkpoints without end.

        Calls `interrupted` when a stream has failed and another one is to follow.
        """
        return Batches(self._stub, self._caller, progress, interrupted)


class Batches(Iterator[Batch]):
    """Batches and checkpoints without end, over as many streams as it takes.

    No generator, which a reader that is cancelled while it waits would end.
    """

    def __init__(
        self,
        stub: "EventServiceStub",
        caller: Caller,
        progress: Progress,
        interrupted: Callable[[], None],
    ) -> None:
        self._stub = stub
        self._caller = caller
        self._progress = progress
        self._interrupted = interrupted
        self._request = progress.request()
        self._responses: AttentiveResponses[WatchEventsResponse] | None = None

    def __next__(self) -> Batch:
        while True:
            try:
                batch = self._take()
            except StopIteration:
                self._recover(Unavailable(grpc.StatusCode.UNAVAILABLE, "the stream ended"))
            except ArtemisError as error:
                self._recover(error)
            else:
                if batch is not None:
                    return batch

    def _take(self) -> Batch | None:
        """Returns what the next response completes, of another stream if there is none."""
        if self._responses is None:
            self._request = self._progress.request()
            self._responses = self._caller.stream(self._stub.WatchEvents, self._request)
        try:
            with grpc_errors():
                return self._progress.take(next(self._responses))
        except BaseException:
            self._responses.close()
            self._responses = None
            raise

    def _recover(self, error: ArtemisError) -> None:
        """Waits until the time of the next stream. Raises the error if there is none."""
        if self._caller.is_closed:
            raise closed() from None
        pause = self._progress.pause_after(error)
        if pause is None:
            raise explained(error, self._request, None) from None
        log.warning("a watch of events is interrupted, and goes on in %.1f s: %s", pause, error)
        self._interrupted()
        self._caller.pause(pause)
