"""The methods that are measured, and their requests: a different one for each call, but where a row says otherwise."""

import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, repeat
from typing import NamedTuple

from artemis.v1 import events_pb2 as pb
from artemis.v1 import events_pb2_grpc

from tests.benchmarks import samples

ROWS = 100_000
"""Events in the database before the first measurement; their ids are 1 to ROWS."""
PLACE = 20
"""Events from one place where a page begins to the next, so that there are about 5,000 different pages."""
DELETED = 10
"""Batches of events that are stored before each measurement of DeleteEvent, and deleted in it."""


def store_events(stub: "events_pb2_grpc.EventServiceStub") -> list[str]:
    """Stores ROWS events and returns page tokens in a random order, one for each place of a page."""
    for _ in range(ROWS // samples.BATCH_SIZE):
        stub.BatchCreateEvents(samples.BATCH)
    tokens = [""]
    for _ in range((ROWS - samples.PAGE_SIZE) // PLACE):
        page = stub.ListEvents(pb.ListEventsRequest(page_size=PLACE, page_token=tokens[-1]))
        tokens.append(page.next_page_token)
    random.shuffle(tokens)
    return tokens


class Service:
    """A server under load: its stub, and the page tokens and ids that its requests go through, round after round."""

    def __init__(self, stub: "events_pb2_grpc.EventServiceStub", page_tokens: Sequence[str]) -> None:
        self.stub = stub
        self.page_tokens = cycle(page_tokens)
        self.ids = cycle(range(1, ROWS + 1))


def gets(_: Service) -> Iterator[bytes]:
    """Yields requests for random events."""
    while True:
        yield pb.GetEventRequest(id=random.randint(1, ROWS)).SerializeToString()  # noqa: S311, not for secrets


def creates(_: Service) -> Iterator[bytes]:
    """Yields the same request, which has no request_id."""
    return repeat(samples.CREATE.SerializeToString())


def creates_with_request_id(_: Service) -> Iterator[bytes]:
    """Yields requests with a request_id each, as the Python client sends them."""
    fields = samples.CREATE.SerializeToString()
    while True:
        yield fields + pb.CreateEventRequest(request_id=str(uuid.uuid4())).SerializeToString()


def updates(service: Service) -> Iterator[bytes]:
    """Yields requests that each change another row than those in flight."""
    for row_id in service.ids:
        event = pb.Event(id=row_id, location=f"Hall {random.getrandbits(32)}")
        yield pb.UpdateEventRequest(event=event).SerializeToString()


def deletes(service: Service) -> Iterator[bytes]:
    """Stores events and returns requests to delete them; they end."""
    events = (event for _ in range(DELETED) for event in service.stub.BatchCreateEvents(samples.BATCH).events)
    return iter([pb.DeleteEventRequest(id=event.id).SerializeToString() for event in events])


def other_pages(service: Service) -> Iterator[bytes]:
    """Yields requests for pages in a random order; each comes again when all were asked for."""
    for token in service.page_tokens:
        yield pb.ListEventsRequest(page_size=samples.PAGE_SIZE, page_token=token).SerializeToString()


def tutorial_pages(_: Service) -> Iterator[bytes]:
    """Yields the same requests with the page tokens of the tutorial's service: ids."""
    while True:
        token = str(random.randint(0, ROWS - samples.PAGE_SIZE))  # noqa: S311, not for secrets
        yield pb.ListEventsRequest(page_size=samples.PAGE_SIZE, page_token=token).SerializeToString()


def same_page(_: Service) -> Iterator[bytes]:
    """Yields the request for the first page."""
    return repeat(pb.ListEventsRequest(page_size=samples.PAGE_SIZE).SerializeToString())


def batches(_: Service) -> Iterator[bytes]:
    """Yields the same batch."""
    return repeat(samples.BATCH.SerializeToString())


Requests = Callable[[Service], Iterator[bytes]]


class Goal(NamedTuple):
    """The least share of the no-op's calls per second; or, by processor time, the no-op's share of the method's."""

    ratio: float
    processor: bool = False


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method, its requests, how many are in flight, and the goals by engine.

    `tutorial` makes the requests to the tutorial's service, if it is measured. `batch` is how many events a call
    stores, when calls are shown as events per second.
    """

    name: str
    requests: Requests
    concurrent: int = 64
    tutorial: Requests | None = None
    goals: Mapping[str, Goal] = field(default_factory=dict)
    batch: int = 1


CREATE_GOALS = {"sqlite": Goal(0.65), "postgresql": Goal(0.47)}
METHODS = {
    "Get, random ids": Method(
        name="GetEvent",
        requests=gets,
        tutorial=gets,
        goals={"sqlite": Goal(0.75), "postgresql": Goal(0.55)},
    ),
    "Create": Method(name="CreateEvent", requests=creates, tutorial=creates, goals=CREATE_GOALS),
    "Create, request_id": Method(name="CreateEvent", requests=creates_with_request_id),
    "Create, 1 caller": Method(
        name="CreateEvent", requests=creates, concurrent=1, goals={"sqlite": Goal(0.33, processor=True)}
    ),
    "Create, request_id, 1 caller": Method(name="CreateEvent", requests=creates_with_request_id, concurrent=1),
    "Update": Method(name="UpdateEvent", requests=updates),
    "Delete": Method(name="DeleteEvent", requests=deletes),
    "List, another page": Method(name="ListEvents", requests=other_pages, tutorial=tutorial_pages),
    "List, the same page": Method(name="ListEvents", requests=same_page, tutorial=same_page),
    "BatchCreate, 2 callers": Method(
        name="BatchCreateEvents", requests=batches, concurrent=2, batch=samples.BATCH_SIZE
    ),
}
