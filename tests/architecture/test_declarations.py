"""Every service and every field of the contract is declared where the server and the tests need it."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import artemis.v1
import pytest
from artemis.v1.events_pb2 import Event
from artemis_models import create_engine
from artemis_server.app import Service, services
from artemis_server.contract import writable_fields
from artemis_server.db.connection.database import Database
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from tests.e2e import samples as e2e
from tests.storage import samples as storage

STUBS = [path.stem for path in Path(artemis.v1.__path__[0]).glob("*_pb2.py")]


@pytest.fixture
def registered(sqlite_url: str) -> Iterator[tuple[Service, ...]]:
    """The services that the server answers."""
    database = Database(create_engine(sqlite_url))
    yield services(database)
    database.close()


def declared() -> list[ServiceDescriptor]:
    """Returns the services of the contract."""
    modules = [import_module(f"artemis.v1.{name}") for name in STUBS]
    return [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


def test_the_server_answers_every_service_of_the_contract(registered: tuple[Service, ...]) -> None:
    assert {each.full_name for each in declared()} == {each.descriptor.full_name for each in registered}


def test_every_method_of_the_contract_has_an_answer(registered: tuple[Service, ...]) -> None:
    missing = [
        method.full_name
        for each in registered
        for method in each.descriptor.methods
        if method.name not in vars(type(each.servicer))
    ]
    assert missing == []


def test_methods_that_get_one_resource_have_threads_of_their_own(registered: tuple[Service, ...]) -> None:
    """A method that returns one resource by its id is named after it (AIP-131)."""
    for each in registered:
        getters = {method.name for method in each.descriptor.methods if method.name == f"Get{method.output_type.name}"}
        assert getters == set(each.get_methods)


@pytest.mark.parametrize(
    "sample",
    [storage.new_event(owner_id=1), storage.new_user(), e2e.event(owner_id=1), e2e.user()],
    ids=["storage event", "storage user", "e2e event", "e2e user"],
)
def test_a_sample_sets_every_field_that_callers_set(sample: Message) -> None:
    assert set(writable_fields(sample.DESCRIPTOR)) == {field.name for field, _ in sample.ListFields()}


def test_a_field_that_a_sample_lacks_would_be_noticed() -> None:
    assert "category" in writable_fields(Event.DESCRIPTOR)
    assert "id" not in writable_fields(Event.DESCRIPTOR)
