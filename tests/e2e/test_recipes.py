"""The page of recipes calls every method that the server has, by the real grpcurl."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from artemis.v1 import events_pb2, users_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.e2e.conftest import Serve
from tests.e2e.documents import Shell, same_in_every_run, steps_of, text_of
from tests.tools import needs

pytestmark = pytest.mark.acceptance

PAGE = "docs/recipes.md"
SERVICES = [
    service
    for module in (events_pb2, users_pb2, health_pb2, reflection_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]


def write_protoset(path: Path) -> None:
    """Writes the descriptors of the contract, as the file of `make build` has them, but without the comments."""
    files = FileDescriptorSet()

    def add(file: FileDescriptor) -> None:
        if file.name not in {each.name for each in files.file}:
            for imported in file.dependencies:
                add(imported)
            file.CopyToProto(files.file.add())

    for module in (events_pb2, users_pb2):
        add(module.DESCRIPTOR)
    path.write_bytes(files.SerializeToString())


def test_there_is_a_recipe_for_every_method() -> None:
    called = set(re.findall(r"^\$ grpcurl .* ([\w.]+/\w+)$", text_of(PAGE), re.MULTILINE))
    names = {f"{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}
    names -= {"grpc.health.v1.Health/List"}  # of newer packages alone

    assert {name.replace("v1alpha", "v1") for name in names} == called


@needs("grpcurl", "openssl")
def test_every_recipe_prints_what_the_page_shows(serve: Serve, tmp_path: Path) -> None:
    write_protoset(tmp_path / "artemis.binpb")
    with closing(Shell(tmp_path, serve().target)) as shell:
        for step in steps_of(PAGE):
            assert same_in_every_run(step.output or "") == same_in_every_run(shell.run(step)), step.source
