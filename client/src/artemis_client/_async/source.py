"""The source of events for watches and mirrors: pages of a list, and changes over as many streams as it takes."""

import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc
from artemis.v1.events_pb2 import ListEventsRequest, ListEventsResponse

from artemis_client._async.calls import AsyncCaller
from artemis_client._async_io import Stream
from artemis_client.calls import closed, explained
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

    async def pages(self, filter: str, timeout: float | None = None) -> Stream[ListEventsResponse]:  # noqa: A002 - its name
        """Yields the pages of all events that match, by id. The timeout is one page's."""
        request = ListEventsRequest(filter=filter, page_size=_MAX_PAGE_SIZE)
        while True:
            page = await self._caller.call(self._stub.ListEvents, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def batches(self, progress: Progress, interrupted: Callable[[], None] = lambda: None) -> Stream[Batch]:
        """Yields batches and checkpoints without end.

        Calls `interrupted` when a stream has failed and another one is to follow.
        """
        while True:
            request = progress.request()
            try:
                async with aclosing(self._caller.responses(self._stub.WatchEvents, request)) as responses:
                    async for response in responses:
                        batch = progress.take(response)
                        if batch is not None:
                            yield batch
                error: ArtemisError = Unavailable(grpc.StatusCode.UNAVAILABLE, "the stream ended")
            except ArtemisError as failed:
                error = failed
            if self._caller.is_closed:
                raise closed() from None
            pause = progress.pause_after(error)
            if pause is None:
                raise explained(error, request, None) from None
            log.warning("a watch of events is interrupted, and goes on in %.1f s: %s", pause, error)
            interrupted()
            await self._caller.pause(pause)
