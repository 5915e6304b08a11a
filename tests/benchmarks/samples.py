"""The messages that are measured with."""

from artemis.v1.events_pb2 import (
    BatchCreateEventsRequest,
    BatchCreateEventsResponse,
    CreateEventRequest,
    Event,
    ListEventsResponse,
)

PAGE_SIZE = 100
NEW_EVENT = Event(
    name="Regional conference on embedded databases",
    description="Two days of talks and workshops on storage engines, query planners and the people who run them.",
    category="databases",
    location="Kyoto, Japan",
    publisher="Society for Small Data",
)
NEW_EVENT.start_time.seconds = 1_767_225_600
NEW_EVENT.end_time.seconds = 1_767_398_400

EVENT = Event(id=1, etag="AAAAAAAAAAE=")
EVENT.MergeFrom(NEW_EVENT)
EVENT.create_time.FromNanoseconds(1_767_000_000_123_456_000)
EVENT.update_time.FromNanoseconds(1_767_000_000_123_456_000)
PAGE = ListEventsResponse(events=[EVENT] * PAGE_SIZE, next_page_token="x" * 30)

CREATE = CreateEventRequest(event=NEW_EVENT)
BATCH_SIZE = 1000
BATCH = BatchCreateEventsRequest(requests=[CREATE] * BATCH_SIZE)
CREATED = BatchCreateEventsResponse(events=[EVENT] * BATCH_SIZE)
