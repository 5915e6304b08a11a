# Made by client/generate_sync.py of _async/events.py: change that, and run `make client`.
"""`client.events`: EventService in Python's terms."""

import builtins
from collections.abc import Iterable, Sequence
from functools import partial

from artemis.v1 import events_pb2

from artemis_client._sync.calls import Caller
from artemis_client._sync.io import Channel, event_service
from artemis_client._sync.pages import Pager, Pages
from artemis_client._sync.resources import Resources
from artemis_client._sync.source import EventSource
from artemis_client._sync.watch import Watch
from artemis_client.batches import MAX_ITEMS, check_once
from artemis_client.entities import Event
from artemis_client.fields import check_integer, checked_ids, message_of
from artemis_client.masks import field_mask
from artemis_client.pages import Page
from artemis_client.watching.changes import EventChange, change_of


class EventClient(Resources[Event]):
    """Calls EventService. Each method raises ArtemisError; `timeout` is in seconds, for this call only.

    The `request_id` of a write is a UUID; the same write with the same id returns the same for 24 hours and is
    made once. If it is empty the client makes a new one; give your own to repeat a call yourself. With
    `validate_only` a write is checked, returns what it would return, and changes nothing.
    """

    def __init__(self, channel: Channel, caller: Caller) -> None:
        super().__init__(caller)
        self._stub = event_service(channel)
        self._call = caller.call
        self._write = caller.write

    def create(
        self, event: Event, *, request_id: str = "", validate_only: bool = False, timeout: float | None = None
    ) -> Event:
        """Creates the event and returns it as it was stored, with its id."""
        request = events_pb2.CreateEventRequest(
            event=message_of(event, Event), request_id=request_id, validate_only=validate_only
        )
        return Event.from_message(self._write(self._stub.CreateEvent, request, timeout))

    def get(self, event_id: int, *, read_mask: Iterable[str] | None = None, timeout: float | None = None) -> Event:
        """Returns the event with this id, or with `read_mask` these fields of it; the others have their defaults."""
        check_integer("event_id", event_id)
        request = events_pb2.GetEventRequest(id=event_id, read_mask=field_mask(read_mask, "read_mask"))
        return Event.from_message(self._call(self._stub.GetEvent, request, timeout))

    def list(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's name for it
        order_by: str = "",
        page_size: int = 0,
        page_token: str = "",
        read_mask: Iterable[str] | None = None,
        return_total_size: bool = False,
        timeout: float | None = None,
    ) -> Pager[Event]:
        """Returns the events that match `filter` in the order of `order_by`. Without these it returns all, by id.

        docs/filters.md describes both, such as `category = "python"` and `start_time desc, name`; `where` makes filters
        with values that cannot break out. A loop gets the events; `pages()` of the result yields pages with their
        tokens, and `page_token` continues after a page. Pages are fetched as they are needed; the timeout is one
        page's.

        With `read_mask`, such as ["id", "name"], the server reads and sends these fields alone; the others have their
        defaults. With `return_total_size`, the first page has a `total_size`.
        """
        request = events_pb2.ListEventsRequest(
            filter=filter,
            order_by=order_by,
            page_size=page_size,
            page_token=page_token,
            read_mask=field_mask(read_mask, "read_mask"),
            return_total_size=return_total_size,
        )
        return Pager(Pages(self._caller, self._stub.ListEvents, request, _page, timeout))

    def update(
        self,
        event: Event,
        *,
        update_mask: Iterable[str] | None = None,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Event:
        """Sets the fields in `update_mask`, or without it all populated fields. Returns the new event.

        Raises Aborted if the event has an etag that is no longer the current one, and TypeError if the mask is a
        string.
        """
        request = events_pb2.UpdateEventRequest(
            event=message_of(event, Event),
            update_mask=field_mask(update_mask),
            request_id=request_id,
            validate_only=validate_only,
        )
        return Event.from_message(self._write(self._stub.UpdateEvent, request, timeout))

    def delete(
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
        check_integer("event_id", event_id)
        request = events_pb2.DeleteEventRequest(
            id=event_id,
            etag=etag,
            allow_missing=allow_missing,
            request_id=request_id,
            validate_only=validate_only,
        )
        return Event.from_message(self._write(self._stub.DeleteEvent, request, timeout))

    def batch_get(
        self, ids: Iterable[int], *, read_mask: Iterable[str] | None = None, timeout: float | None = None
    ) -> builtins.list[Event]:
        """Returns the events with these ids, in their order, or with `read_mask` these fields of them.

        If any does not exist, NotFound is raised. `get_many` tells which do not exist.
        """
        batch = partial(events_pb2.BatchGetEventsRequest, read_mask=field_mask(read_mask, "read_mask"))
        return self._read_many(self._stub.BatchGetEvents, batch, ids, _events, timeout)

    def batch_create(
        self,
        events: Iterable[Event],
        *,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[Event]:
        """Creates the events and returns them in this order, as they were stored.

        `Resources` says what a batch is.
        """
        requests = (events_pb2.CreateEventRequest(event=message_of(event, Event)) for event in events)
        batch = partial(events_pb2.BatchCreateEventsRequest, validate_only=validate_only)
        return self._write_many(self._stub.BatchCreateEvents, batch, requests, request_id, _events, timeout)

    def batch_update(
        self,
        events: Iterable[Event],
        *,
        update_mask: Iterable[str] | None = None,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[Event]:
        """Updates the events and returns them in this order, as they now are. `Resources` says what a batch is.

        Each is changed as by `update`, with the one mask for all. If the etag of any is set and is not the
        current one, Aborted is raised; a mask that is one string raises TypeError. An event that is given twice raises
        ValueError.
        """
        mask, messages = field_mask(update_mask), [message_of(event, Event) for event in events]
        check_once(message.id for message in messages)
        requests = (events_pb2.UpdateEventRequest(event=message, update_mask=mask) for message in messages)
        batch = partial(events_pb2.BatchUpdateEventsRequest, validate_only=validate_only)
        return self._write_many(self._stub.BatchUpdateEvents, batch, requests, request_id, _events, timeout)

    def batch_delete(
        self,
        ids: Iterable[int],
        *,
        allow_missing: bool = False,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[Event]:
        """Deletes the events and returns them in this order, as they last were. `Resources` says what a batch is.

        With `allow_missing`, an event that does not exist is not an error, and an empty one is in its place.
        An id that is given twice raises ValueError.
        """
        requests = [events_pb2.DeleteEventRequest(id=each, allow_missing=allow_missing) for each in checked_ids(ids)]
        check_once(request.id for request in requests)
        batch = partial(events_pb2.BatchDeleteEventsRequest, validate_only=validate_only)
        return self._write_many(self._stub.BatchDeleteEvents, batch, requests, request_id, _events, timeout)

    def history(
        self,
        event_id: int,
        *,
        page_size: int = 0,
        read_mask: Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> Pager[EventChange]:
        """Returns the changes of one event that the server has kept, the newest first, also of a deleted event.

        With `read_mask`, the events in the changes have these fields alone. Pages are fetched as they are needed; the
        timeout is one page's.
        """
        check_integer("event_id", event_id)
        mask = field_mask(read_mask, "read_mask")
        request = events_pb2.ListEventChangesRequest(id=event_id, page_size=page_size, read_mask=mask)
        return Pager(Pages(self._caller, self._stub.ListEventChanges, request, _changes, timeout))

    def watch(
        self,
        resume_token: str | None = None,
        filter: str | None = None,  # noqa: A002 - the contract's name for it
        *,
        read_mask: Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Returns the changes of events, or of those that match `filter`, as they are committed.

        With `resume_token`, a token of a list or of an earlier watch, the changes after that list or watch come first.
        Without it, the first change is the first one that is committed after this method has returned. The method
        calls the server once, within the timeout. With `read_mask`, the events in the changes have these fields alone.
        """
        source, mask = self._source(), field_mask(read_mask, "read_mask")
        return Watch(source, resume_token or source.resume_token(timeout), filter or "", mask)

    def list_and_watch(
        self,
        filter: str | None = None,  # noqa: A002 - the contract's name for it
        *,
        timeout: float | None = None,
    ) -> tuple[Pager[Event], Watch]:
        """Returns the events, or those that match `filter`, and a watch of their changes since.

        Go through the events first, then through the watch. Nothing is missing between them. The watch begins where the
        first page of the events was read; so a change that a later page shows already comes once more, also the
        creation of an event that you have, or the deletion of one that you never got. Pages are fetched as they are
        needed; the timeout is one page's.
        """
        caller = self._caller.cancellable()
        request = events_pb2.ListEventsRequest(filter=filter or "", page_size=MAX_ITEMS)
        events = Pager(Pages(caller, self._stub.ListEvents, request, _page, timeout))
        first = events.begin()
        return events, Watch(EventSource(self._stub, caller), first.resume_token, filter or "")

    def _source(self) -> EventSource:
        """Returns what a watch or an `EventMirror` reads from."""
        return EventSource(self._stub, self._caller.cancellable())

    def _read(self, resource_id: int, timeout: float) -> Event:
        return self.get(resource_id, timeout=timeout)

    def _change(self, resource: Event, paths: Sequence[str], timeout: float) -> Event:
        return self.update(resource, update_mask=paths, timeout=timeout)

    def _choose(self, filter: str, timeout: float | None) -> Pager[Event]:  # noqa: A002 - the contract's name
        return self.list(filter=filter, timeout=timeout)


def _page(response: events_pb2.ListEventsResponse) -> Page[Event]:
    return Page(
        items=[*map(Event.from_message, response.events)],
        next_page_token=response.next_page_token,
        resume_token=response.resume_token,
        total_size=response.total_size if response.HasField("total_size") else None,
        total_size_estimated=response.total_size_estimated,
    )


def _events(
    response: (
        events_pb2.BatchGetEventsResponse
        | events_pb2.BatchCreateEventsResponse
        | events_pb2.BatchUpdateEventsResponse
        | events_pb2.BatchDeleteEventsResponse
    ),
) -> Iterable[Event]:
    return map(Event.from_message, response.events)


def _changes(response: events_pb2.ListEventChangesResponse) -> Page[EventChange]:
    return Page(items=[*map(change_of, response.changes)], next_page_token=response.next_page_token)
