"""The contract for other languages: it is complete, and says the same as the stubs."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from artemis.v1 import access_pb2, events_pb2, users_pb2
from google.api import client_pb2, field_behavior_pb2, field_info_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

OWN = (access_pb2, events_pb2, users_pb2)
NAMES = [module.DESCRIPTOR.name for module in OWN]
OTHERS: tuple[Any, ...] = (client_pb2.method_signature, field_behavior_pb2.field_behavior, field_info_pb2.field_info)
"""Options of google.api in the contract."""


@pytest.fixture
def described(dist: Path) -> dict[str, FileDescriptorProto]:
    """The files of artemis.binpb."""
    return {file.name: file for file in FileDescriptorSet.FromString((dist / "artemis.binpb").read_bytes()).file}


def shape(file: FileDescriptorProto) -> FileDescriptorProto:
    """Returns a file without what the plain files lack, and without comments."""
    copy = FileDescriptorProto.FromString(file.SerializeToString())
    copy.ClearField("source_code_info")
    own = [name for name in copy.dependency if name.startswith(("artemis/", "google/protobuf/"))]
    del copy.dependency[:]
    copy.dependency.extend(own)
    copy.DiscardUnknownFields()  # the options of buf.validate
    remove_options(copy)
    return copy


def remove_options(message: Message) -> None:
    """Removes the options of google.api, and options that have nothing left, from a descriptor and its parts."""
    for extension in OTHERS:
        if extension.containing_type == message.DESCRIPTOR:
            message.ClearExtension(extension)
    for field, value in message.ListFields():
        if field.message_type and not field.is_extension:
            for each in value if field.is_repeated else [value]:
                remove_options(each)
            if field.name == "options" and not value.ByteSize():
                message.ClearField("options")


def test_the_descriptor_set_has_all_imports_and_the_details_of_errors(
    described: dict[str, FileDescriptorProto],
) -> None:
    imported = {name for file in described.values() for name in file.dependency}
    asked_for = {*NAMES, "buf/validate/validate.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"}
    assert imported | asked_for <= described.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_descriptor_set_has_the_comments(name: str, described: dict[str, FileDescriptorProto]) -> None:
    file = described[name]
    commented = {tuple(each.path) for each in file.source_code_info.location if each.leading_comments}
    fields = {(4, place, 2, at) for place, each in enumerate(file.message_type) for at in range(len(each.field))}
    methods = {(6, place, 2, at) for place, each in enumerate(file.service) for at in range(len(each.method))}
    assert fields | methods <= commented


def test_protoc_alone_compiles_the_plain_files_to_the_contract(dist: Path, generator: Path, tmp_path: Path) -> None:
    image = tmp_path / "plain.binpb"
    folder = dist / "artemis-protos-plain"
    command = [generator, "-m", "grpc_tools.protoc", f"--proto_path={folder}", f"--descriptor_set_out={image}", *NAMES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = {file.name: shape(file) for file in FileDescriptorSet.FromString(image.read_bytes()).file}
    expected = {}
    for module in OWN:
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        expected[file.name] = shape(file)
    assert expected == found
    method = found["artemis/v1/events.proto"].service[0].method[0]
    required_role: Any = access_pb2.required_role
    assert method.options.Extensions[required_role] == access_pb2.ROLE_WRITER


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_files_have_nothing_of_other_packages(name: str, dist: Path) -> None:
    plain = (dist / "artemis-protos-plain" / name).read_text(encoding="utf-8")
    assert not [each for each in ("buf.validate", "buf/validate", "google.api", "google/api") if each in plain]
