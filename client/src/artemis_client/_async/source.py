"""The source of events for watches and mirrors: pages of a list, and changes over as many streams as it takes."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import grpc
from artemis.v1.events_pb2 import ListEventsRequest, ListEventsResponse, WatchEventsResponse

from artemis_client._async.calls import AsyncCaller
from artemis_client._async.io import AttentiveResponses
from artemis_client.calls import closed, explained, grpc_errors
from artemis_client.errors import ArtemisError, Unavailable
from artemis_client.watching.progress import Batch, Progress

if TYPE_CHECKING:  # the types of the stubs are in their .pyi alone
    from artemis.v1.events_pb2_grpc import EventServiceAsyncStub

_MAX_PAGE_SIZE = 1000

log = logging.getLogger("artemis_client")


class AsyncEventSource:
    """Reads events and changes for one watch or mirror. Every method raises ArtemisError; Cancelled if it is closed."""

    def __init__(self, stub: "EventServiceAsyncStub", caller: AsyncCaller) -> None:
        self._stub = stub
        self._caller = caller

    def check(self) -> None:
        """Raises RuntimeError if the client was made elsewhere, and so cannot be used here."""
        self._caller.check()

    def close(self) -> None:
        """Ends what is under way at once."""
        self._caller.close()

    async def resume_token(self, timeout: float | None = None) -> str:
        """Returns the token that continues after everything that is committed now."""
        request = ListEventsRequest(page_size=1)
        return (await self._caller.call(self._stub.ListEvents, request, timeout)).resume_token

    async def pages(self, filter: str, timeout: float | None = None) -> AsyncIterator[ListEventsResponse]:  # noqa: A002 - its name
        """Yields the pages of all events that match, by id. The timeout is one page's."""
        request = ListEventsRequest(filter=filter, page_size=_MAX_PAGE_SIZE)
        while True:
            page = await self._caller.call(self._stub.ListEvents, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def batches(self, progress: Progress, interrupted: Callable[[], None] = lambda: None) -> "AsyncBatches":
        """Returns batches and checkpoints without end.

        Calls `interrupted` when a stream has failed and another one is to follow.
        """
        return AsyncBatches(self._stub, self._caller, progress, interrupted)


class AsyncBatches(AsyncIterator[Batch]):
    """Batches and checkpoints without end, over as many streams as it takes.

    No generator, which a reader that is cancelled while it waits would end.
    """

    def __init__(
        self,
        stub: "EventServiceAsyncStub",
        caller: AsyncCaller,
        progress: Progress,
        interrupted: Callable[[], None],
    ) -> None:
        self._stub = stub
        self._caller = caller
        self._progress = progress
        self._interrupted = interrupted
        self._request = progress.request()
        self._responses: AttentiveResponses[WatchEventsResponse] | None = None

    async def __anext__(self) -> Batch:
        while True:
            try:
                batch = await self._take()
            except StopAsyncIteration:
                await self._recover(Unavailable(grpc.StatusCode.UNAVAILABLE, "the stream ended"))
            except ArtemisError as error:
                await self._recover(error)
            else:
                if batch is not None:
                    return batch

    async def _take(self) -> Batch | None:
        """Returns what the next response completes, of another stream if there is none."""
        if self._responses is None:
            self._request = self._progress.request()
            self._responses = await self._caller.stream(self._stub.WatchEvents, self._request)
        try:
            with grpc_errors():
                return self._progress.take(await anext(self._responses))
        except BaseException:
            self._responses.close()
            self._responses = None
            raise

    async def _recover(self, error: ArtemisError) -> None:
        """Waits until the time of the next stream. Raises the error if there is none."""
        if self._caller.is_closed:
            raise closed() from None
        pause = self._progress.pause_after(error)
        if pause is None:
            raise explained(error, self._request, None) from None
        log.warning("a watch of events is interrupted, and goes on in %.1f s: %s", pause, error)
        self._interrupted()
        await self._caller.pause(pause)
