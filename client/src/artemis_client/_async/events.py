"""`client.events`: EventService in Python's terms."""

import builtins
from collections.abc import AsyncIterator, Iterable

from artemis.v1 import events_pb2
from artemis.v1.events_pb2 import Event

from artemis_client._async.calls import AsyncCaller
from artemis_client._async.source import AsyncEventSource
from artemis_client._async.watch import AsyncWatch
from artemis_client._async_io import Channel, event_service
from artemis_client.masks import field_mask
from artemis_client.watching.changes import EventChange, change_of


class AsyncEventClient:
    """Calls EventService. Each method raises ArtemisError; `timeout` is in seconds, for this call only.

    The `request_id` of a write is a UUID; the same write with the same id returns the same for 24 hours and is
    made once. If it is empty the client makes a new one; give your own to repeat a call yourself. With
    `validate_only` a write is checked, returns what it would return, and changes nothing. A batch is of up to
    1000 events; all of it is done or none. An empty batch returns [] and calls nothing.
    """

    def __init__(self, channel: Channel, caller: AsyncCaller) -> None:
        self._stub = event_service(channel)
        self._caller = caller
        self._call = caller.call
        self._write = caller.write

    async def create(
        self, event: Event, *, request_id: str = "", validate_only: bool = False, timeout: float | None = None
    ) -> Event:
        """Creates the event and returns it as it was stored, with its id."""
        request = events_pb2.CreateEventRequest(event=event, request_id=request_id, validate_only=validate_only)
        return await self._write(self._stub.CreateEvent, request, timeout)

    async def get(self, event_id: int, *, timeout: float | None = None) -> Event:
        """Returns the event with this id."""
        return await self._call(self._stub.GetEvent, events_pb2.GetEventRequest(id=event_id), timeout)

    async def list(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's name for it
        order_by: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Event]:
        """Yields the events that match `filter` in the order of `order_by`. Without these it yields all events, by id.

        docs/filters.md describes both, such as `category = "python"` and `start_time desc, name`.
        Pages are fetched as they are needed; the timeout is one page's.
        """
        request = events_pb2.ListEventsRequest(filter=filter, order_by=order_by, page_size=page_size)
        while True:
            page = await self._call(self._stub.ListEvents, request, timeout)
            for each in page.events:
                yield each
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def update(
        self,
        event: Event,
        *,
        update_mask: Iterable[str] | None = None,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Event:
        """Changes the fields in `update_mask`, or all populated ones without it; returns the event as it now is.

        If the etag of the event is set, it must still be the current one, or Aborted is raised. A mask that is
        one string raises TypeError.
        """
        request = events_pb2.UpdateEventRequest(
            event=event, update_mask=field_mask(update_mask), request_id=request_id, validate_only=validate_only
        )
        return await self._write(self._stub.UpdateEvent, request, timeout)

    async def delete(
        self,
        event_id: int,
        *,
        etag: str = "",
        allow_missing: bool = False,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Event:
        """Deletes the event and returns it as it last was.

        If `etag` is given, it must still be the current one, or Aborted is raised. With `allow_missing`,
        an event that does not exist is not an error, and an empty one is returned.
        """
        request = events_pb2.DeleteEventRequest(
            id=event_id,
            etag=etag,
            allow_missing=allow_missing,
            request_id=request_id,
            validate_only=validate_only,
        )
        return await self._write(self._stub.DeleteEvent, request, timeout)

    async def batch_get(self, ids: Iterable[int], *, timeout: float | None = None) -> builtins.list[Event]:
        """Returns the events with these ids, up to 1000, in their order. If any does not exist, NotFound is raised."""
        request = events_pb2.BatchGetEventsRequest(ids=ids)
        if not request.ids:
            return []
        return [*(await self._call(self._stub.BatchGetEvents, request, timeout)).events]

    async def batch_create(
        self,
        events: Iterable[Event],
        *,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[Event]:
        """Creates the events, up to 1000, all of them or none; returns them in this order, as they were stored."""
        request = events_pb2.BatchCreateEventsRequest(
            requests=[events_pb2.CreateEventRequest(event=event) for event in events],
            request_id=request_id,
            validate_only=validate_only,
        )
        if not request.requests:
            return []
        return [*(await self._write(self._stub.BatchCreateEvents, request, timeout)).events]

    async def batch_update(
        self,
        events: Iterable[Event],
        *,
        update_mask: Iterable[str] | None = None,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[Event]:
        """Updates the events, up to 1000, all of them or none; returns them in this order, as they now are.

        Each is changed as by `update`, with the one mask for all. If the etag of any is set and is not the
        current one, Aborted is raised; a mask that is one string raises TypeError. No event may be given twice.
        """
        mask = field_mask(update_mask)
        request = events_pb2.BatchUpdateEventsRequest(
            requests=[events_pb2.UpdateEventRequest(event=event, update_mask=mask) for event in events],
            request_id=request_id,
            validate_only=validate_only,
        )
        if not request.requests:
            return []
        return [*(await self._write(self._stub.BatchUpdateEvents, request, timeout)).events]

    async def batch_delete(
        self,
        ids: Iterable[int],
        *,
        allow_missing: bool = False,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[Event]:
        """Deletes the events, up to 1000, all of them or none; returns them in this order, as they last were.

        With `allow_missing`, an event that does not exist is not an error, and an empty one is in its place.
        No event may be given twice.
        """
        request = events_pb2.BatchDeleteEventsRequest(
            requests=[events_pb2.DeleteEventRequest(id=each, allow_missing=allow_missing) for each in ids],
            request_id=request_id,
            validate_only=validate_only,
        )
        if not request.requests:
            return []
        return [*(await self._write(self._stub.BatchDeleteEvents, request, timeout)).events]

    async def history(
        self, event_id: int, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[EventChange]:
        """Yields the changes of one event that the server has kept, the newest first, also of a deleted event.

        Pages are fetched as they are needed; the timeout is one page's.
        """
        request = events_pb2.ListEventChangesRequest(id=event_id, page_size=page_size)
        while True:
            page = await self._call(self._stub.ListEventChanges, request, timeout)
            for each in page.changes:
                yield change_of(each)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(
        self,
        resume_token: str | None = None,
        filter: str | None = None,  # noqa: A002 - the contract's name for it
        *,
        timeout: float | None = None,
    ) -> AsyncWatch:
        """Returns the changes of events, or of those that match `filter`, as they are committed.

        They are those since `resume_token`, a token of an earlier watch. Without it they begin with the first change
        that is committed after this method has returned, which asks the server once, within the timeout.
        """
        source = self.source()
        return AsyncWatch(source, resume_token or await source.resume_token(timeout), filter or "")

    async def list_and_watch(
        self,
        filter: str | None = None,  # noqa: A002 - the contract's name for it
        *,
        timeout: float | None = None,
    ) -> tuple[AsyncIterator[Event], AsyncWatch]:
        """Returns the events, or those that match `filter`, and a watch of their changes since.

        Go through the events first, then through the watch. Nothing is missing between them. The watch begins where the
        first page of the events was read; so a change that a later page shows already comes once more, also the
        creation of an event that you have, or the deletion of one that you never got. Pages are fetched as they are
        needed; the timeout is one page's.
        """
        source = self.source()
        pages = source.pages(filter or "", timeout)
        first = await anext(pages)
        return _events_of(first, pages), AsyncWatch(source, first.resume_token, filter or "")

    def source(self) -> AsyncEventSource:
        """Returns what a watch or an `EventMirror` reads from."""
        return AsyncEventSource(self._stub, self._caller.cancellable())


async def _events_of(
    first: events_pb2.ListEventsResponse, others: AsyncIterator[events_pb2.ListEventsResponse]
) -> AsyncIterator[Event]:
    for event in first.events:
        yield event
    async for page in others:
        for event in page.events:
            yield event
