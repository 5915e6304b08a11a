"""`client.events`: EventService in Python's terms."""

from collections.abc import Iterable, Iterator

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import Event
from google.protobuf.field_mask_pb2 import FieldMask

from artemis_client.calls import Caller


class EventClient:
    """Calls EventService. Each method raises ArtemisError; `timeout` is in seconds, for this call only."""

    def __init__(self, channel: grpc.Channel, caller: Caller) -> None:
        self._stub = events_pb2_grpc.EventServiceStub(channel)
        self._call = caller.call

    def create(self, event: Event, *, timeout: float | None = None) -> Event:
        """Creates the event and returns it as it was stored, with its id."""
        return self._call(self._stub.CreateEvent, events_pb2.CreateEventRequest(event=event), timeout)

    def get(self, event_id: int, *, timeout: float | None = None) -> Event:
        """Returns the event with this id."""
        return self._call(self._stub.GetEvent, events_pb2.GetEventRequest(id=event_id), timeout)

    def list(self, *, page_size: int = 0, timeout: float | None = None) -> Iterator[Event]:
        """Yields every event in order of id, fetching pages as they are needed; the timeout is one page's."""
        request = events_pb2.ListEventsRequest(page_size=page_size)
        while True:
            page = self._call(self._stub.ListEvents, request, timeout)
            yield from page.events
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def update(self, event: Event, *, update_mask: Iterable[str] | None = None, timeout: float | None = None) -> Event:
        """Changes the fields in `update_mask`, or all populated ones without it; returns the event as it now is.

        If the etag of the event is set, it must still be the current one, or Aborted is raised.
        """
        mask = None if update_mask is None else FieldMask(paths=update_mask)
        request = events_pb2.UpdateEventRequest(event=event, update_mask=mask)
        return self._call(self._stub.UpdateEvent, request, timeout)

    def delete(
        self, event_id: int, *, etag: str = "", allow_missing: bool = False, timeout: float | None = None
    ) -> Event:
        """Deletes the event and returns it as it last was.

        If `etag` is given, it must still be the current one, or Aborted is raised. With `allow_missing`,
        an event that does not exist is not an error, and an empty one is returned.
        """
        request = events_pb2.DeleteEventRequest(id=event_id, etag=etag, allow_missing=allow_missing)
        return self._call(self._stub.DeleteEvent, request, timeout)
