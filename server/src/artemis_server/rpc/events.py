"""EventService."""

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import Event

from artemis_server.rpc.resources import Resources


class EventServicer(events_pb2_grpc.EventServiceServicer):
    """Answers EventService. See events.proto for what each method does."""

    def __init__(self, events: Resources[Event]) -> None:
        self._events = events

    def CreateEvent(self, request: events_pb2.CreateEventRequest, context: grpc.ServicerContext) -> Event:
        """Creates an event."""
        return self._events.create(request.event, context)

    def GetEvent(self, request: events_pb2.GetEventRequest, context: grpc.ServicerContext) -> Event:
        """Returns an event."""
        return self._events.get(request.id)

    def ListEvents(
        self, request: events_pb2.ListEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListEventsResponse:
        """Returns a page of events."""
        response = events_pb2.ListEventsResponse()
        response.next_page_token = self._events.list(request, response.events)
        return response

    def UpdateEvent(self, request: events_pb2.UpdateEventRequest, context: grpc.ServicerContext) -> Event:
        """Updates an event."""
        return self._events.update(request.event, request.update_mask, context)

    def DeleteEvent(self, request: events_pb2.DeleteEventRequest, context: grpc.ServicerContext) -> Event:
        """Deletes an event."""
        return self._events.delete(request, context)
