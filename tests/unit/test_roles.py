"""Each method of the contract names the role that it needs, and a server has none that does not."""

import pytest
from artemis.v1 import access_pb2, events_pb2
from artemis_server.access.roles import required_roles
from artemis_server.settings import SettingsError
from google.protobuf import descriptor_pb2, descriptor_pool

from tests.e2e.wire import SERVICES


def test_reads_need_a_reader_and_all_else_a_writer() -> None:
    for method, role in required_roles(SERVICES).items():
        name = method.rpartition("/")[2]
        expected = "ROLE_READER" if name.startswith(("Get", "List", "BatchGet", "Watch")) else "ROLE_WRITER"
        assert (method, access_pb2.Role.Name(role)) == (method, expected)


@pytest.mark.parametrize("option", [None, access_pb2.ROLE_UNSPECIFIED])
def test_a_method_without_a_role_is_refused_in_one_line(option: int | None) -> None:
    file = descriptor_pb2.FileDescriptorProto()
    events_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "other.proto", "other.v1"
    del file.service[1:], file.service[0].method[1:]
    method = file.service[0].method[0]
    method.input_type = method.output_type = ".artemis.v1.Event"
    del file.message_type[:], file.enum_type[:]
    extension = access_pb2.required_role
    method.options.ClearExtension(extension)  # type: ignore[arg-type]
    if option is not None:
        method.options.Extensions[extension] = option  # type: ignore[index]
    file.dependency.append("artemis/v1/events.proto")
    descriptor_pool.Default().AddSerializedFile(_renamed(file, str(option)))
    service = descriptor_pool.Default().FindFileByName(f"other{option}.proto").services_by_name["EventService"]
    with pytest.raises(SettingsError) as refused:
        required_roles([service])
    assert str(refused.value) == (
        f"other{option}.v1.EventService.CreateEvent has no option (artemis.v1.required_role) in its .proto file"
    )


def _renamed(file: descriptor_pb2.FileDescriptorProto, suffix: str) -> bytes:
    file.name, file.package = f"other{suffix}.proto", f"other{suffix}.v1"
    return file.SerializeToString()
