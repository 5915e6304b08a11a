"""EventService."""

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import Event

from artemis_server.rpc.batches import Batches
from artemis_server.rpc.resources import Resources


class EventServicer(events_pb2_grpc.EventServiceServicer):
    """Answers EventService. See events.proto for what each method does."""

    def __init__(self, events: Resources[Event], batches: Batches[Event]) -> None:
        self._events = events
        self._batches = batches

    def CreateEvent(self, request: events_pb2.CreateEventRequest, context: grpc.ServicerContext) -> Event:
        """Creates an event."""
        return self._events.create(request, request.event, context)

    def GetEvent(self, request: events_pb2.GetEventRequest, context: grpc.ServicerContext) -> Event:
        """Returns an event."""
        return self._events.get(request.id, context)

    def ListEvents(
        self, request: events_pb2.ListEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListEventsResponse:
        """Returns a page of events."""
        return self._events.list(request, events_pb2.ListEventsResponse, context)

    def UpdateEvent(self, request: events_pb2.UpdateEventRequest, context: grpc.ServicerContext) -> Event:
        """Updates an event."""
        return self._events.update(request, request.event, request.update_mask, context)

    def DeleteEvent(self, request: events_pb2.DeleteEventRequest, context: grpc.ServicerContext) -> Event:
        """Deletes an event."""
        return self._events.delete(request, context)

    def BatchGetEvents(
        self, request: events_pb2.BatchGetEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchGetEventsResponse:
        """Returns events by their ids."""
        return self._batches.get(request.ids, events_pb2.BatchGetEventsResponse, context)

    def BatchCreateEvents(
        self, request: events_pb2.BatchCreateEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchCreateEventsResponse:
        """Creates events."""
        events = [each.event for each in request.requests]
        return self._batches.create(request, events, events_pb2.BatchCreateEventsResponse, context)

    def BatchUpdateEvents(
        self, request: events_pb2.BatchUpdateEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchUpdateEventsResponse:
        """Updates events."""
        events = [each.event for each in request.requests]
        update_masks = [each.update_mask for each in request.requests]
        return self._batches.update(request, events, update_masks, events_pb2.BatchUpdateEventsResponse, context)

    def BatchDeleteEvents(
        self, request: events_pb2.BatchDeleteEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchDeleteEventsResponse:
        """Deletes events."""
        return self._batches.delete(request, request.requests, events_pb2.BatchDeleteEventsResponse, context)
