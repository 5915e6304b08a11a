"""Calls a server with the field, the entity and the format of docs/extending.md; test_extending.py runs it.

`python -m tests.e2e.extended TARGET`, with the packages of the extended copy on the path, after its feed was loaded.
"""

import sys
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any

import grpc
from artemis_client import ArtemisClient, entities
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.e2e.samples import event

VENUES = "artemis.v1.VenueService"
URL = "https://example.com/a?b=c"


def check_field(client: ArtemisClient) -> None:
    """Creates, gets, lists and updates an event with the field, and finds the one that the feed has."""
    new: Any = event(url=URL)
    stored: Any = client.events.create(new)
    assert stored.url == URL
    assert stored == client.events.get(stored.id)
    assert [stored] == list(client.events.list(filter=f'url = "{URL}"', order_by="url"))
    changed: Any = client.events.update(replace(stored, url=""), update_mask=["url"])
    assert changed.url == ""
    loaded: list[Any] = list(client.events.list(filter='source = "fairs"'))
    assert [(each.name, each.url) for each in loaded] == [("Book fair", "https://example.com/books")]


def check_entity(channel: grpc.Channel) -> None:
    """Creates, gets and lists a venue, and looks for its service in health and reflection."""
    venues: Any = import_module("artemis.v1.venues_pb2")
    stub: Any = import_module("artemis.v1.venues_pb2_grpc").VenueServiceStub(channel)
    stored = stub.CreateVenue(venues.CreateVenueRequest(venue=venues.Venue(name="Town hall")))
    assert stored.etag
    assert stored == stub.GetVenue(venues.GetVenueRequest(id=stored.id))
    bare = stub.GetVenue(venues.GetVenueRequest(id=stored.id, read_mask=FieldMask(paths=["name"])))
    assert bare == venues.Venue(name="Town hall")
    assert stub.ListVenues(venues.ListVenuesRequest(return_total_size=True)).total_size == 1
    made: Any = vars(entities)["Venue"].from_message(stored)
    assert (made.id, made.name, made.create_time.utcoffset()) == (stored.id, "Town hall", timedelta(0))
    assert [stored] == list(stub.ListVenues(venues.ListVenuesRequest(filter="hall")).venues)
    assert not stub.ListVenues(venues.ListVenuesRequest(filter='name = "elsewhere"')).venues
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(service=VENUES)).status == health_pb2.HealthCheckResponse.SERVING
    assert VENUES in ProtoReflectionDescriptorDatabase(channel).get_services()


if __name__ == "__main__":
    with ArtemisClient(sys.argv[1], timeout=60) as called:
        check_field(called)
    with grpc.insecure_channel(sys.argv[1]) as opened:
        check_entity(opened)
