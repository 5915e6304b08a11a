"""EventService: each method hands its request to the class that answers it for every kind of resource."""

from typing import Protocol

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import Event

from artemis_server.rpc.batches import Batches
from artemis_server.rpc.incoming import IncomingCall
from artemis_server.rpc.lists import History, Lists
from artemis_server.rpc.resources import Resources


class Watches(Protocol):
    """Opens streams of changes. `watch.watches` implements it."""

    def open(self, request: events_pb2.WatchEventsRequest, context: grpc.ServicerContext, call: IncomingCall) -> None:
        """Answers a call with a stream, which goes on after this has returned."""


class EventServicer(events_pb2_grpc.EventServiceServicer):
    """Answers EventService. events.proto describes the methods."""

    def __init__(
        self,
        events: Resources[Event],
        lists: Lists[Event],
        batches: Batches[Event],
        history: History,
        watches: Watches,
    ) -> None:
        self._events = events
        self._watches = watches
        self._lists = lists
        self._batches = batches
        self._history = history

    def CreateEvent(self, request: events_pb2.CreateEventRequest, context: grpc.ServicerContext) -> Event:
        """Creates an event."""
        return self._events.create(request, context)

    def GetEvent(self, request: events_pb2.GetEventRequest, context: grpc.ServicerContext) -> Event:
        """Returns an event."""
        return self._events.get(request, context)

    def ListEvents(
        self, request: events_pb2.ListEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListEventsResponse:
        """Returns a page of events."""
        return self._lists.page(request, events_pb2.ListEventsResponse, context)

    def UpdateEvent(self, request: events_pb2.UpdateEventRequest, context: grpc.ServicerContext) -> Event:
        """Updates an event."""
        return self._events.update(request, context)

    def DeleteEvent(self, request: events_pb2.DeleteEventRequest, context: grpc.ServicerContext) -> Event:
        """Deletes an event."""
        return self._events.delete(request, context)

    def BatchGetEvents(
        self, request: events_pb2.BatchGetEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchGetEventsResponse:
        """Returns events by their ids."""
        return self._batches.get(request, events_pb2.BatchGetEventsResponse, context)

    def BatchCreateEvents(
        self, request: events_pb2.BatchCreateEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchCreateEventsResponse:
        """Creates events."""
        return self._batches.create(request, events_pb2.BatchCreateEventsResponse, context)

    def BatchUpdateEvents(
        self, request: events_pb2.BatchUpdateEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchUpdateEventsResponse:
        """Updates events."""
        return self._batches.update(request, events_pb2.BatchUpdateEventsResponse, context)

    def BatchDeleteEvents(
        self, request: events_pb2.BatchDeleteEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchDeleteEventsResponse:
        """Deletes events."""
        return self._batches.delete(request, events_pb2.BatchDeleteEventsResponse, context)

    def ListEventChanges(
        self, request: events_pb2.ListEventChangesRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListEventChangesResponse:
        """Returns a page of the changes of one event."""
        return self._history.page(request, context)

    def WatchEvents(  # type: ignore[override]  # a stream without a thread, which `IncomingCall.open` begins
        self, request: events_pb2.WatchEventsRequest, context: grpc.ServicerContext, call: IncomingCall
    ) -> None:
        """Streams the changes of events."""
        self._watches.open(request, context, call)
