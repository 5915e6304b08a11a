"""The server registers every service of the contract. A failure names the service or the method."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import artemis.v1
import pytest
from artemis_models import create_engine
from artemis_server.access.roles import required_roles
from artemis_server.app import Service, methods, page_tokens, services
from artemis_server.db.connection.database import Database
from google.protobuf.descriptor import ServiceDescriptor

STUBS = [path.stem for path in Path(artemis.v1.__path__[0]).glob("*_pb2.py")]


@pytest.fixture
def registered(sqlite_url: str) -> Iterator[tuple[Service, ...]]:
    """The services that the server answers."""
    database = Database(create_engine(sqlite_url))
    yield services(database, page_tokens(database))
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


def test_the_metrics_count_every_method_of_the_contract() -> None:
    """One that they do not know would count as a method that the server does not have."""
    expected = {f"{each.full_name}/{method.name}" for each in declared() for method in each.methods}
    assert expected == {name for name in methods() if name.startswith("artemis.")}


def test_every_method_of_the_contract_says_which_role_it_needs() -> None:
    """A server does not start with one that does not."""
    expected = {f"/{each.full_name}/{method.name}" for each in declared() for method in each.methods}
    assert expected == required_roles(declared()).keys()


def test_methods_that_get_one_resource_have_threads_of_their_own(registered: tuple[Service, ...]) -> None:
    """A method that returns one resource by its id is named after it (AIP-131)."""
    for each in registered:
        getters = {method.name for method in each.descriptor.methods if method.name == f"Get{method.output_type.name}"}
        assert getters == set(each.get_methods)


def test_reads_check_all_of_their_fields_at_once(registered: tuple[Service, ...]) -> None:
    """A method whose request has a token or a read mask adds its own violations to those of the contract."""
    checked = {"page_token", "resume_token", "read_mask"}
    for each in registered:
        reads = {method.name for method in each.descriptor.methods if checked & set(method.input_type.fields_by_name)}
        assert reads == set(each.checks)
