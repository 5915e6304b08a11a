"""Calls as bytes: past the client, and past what it would not let through."""

import grpc
from artemis.v1 import events_pb2, users_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from grpc_status import rpc_status

from tests.e2e.servers import PATIENCE

SERVICES = [
    file.DESCRIPTOR.services_by_name[name] for file, name in ((events_pb2, "EventService"), (users_pb2, "UserService"))
]
EVENTS, USERS = (service.full_name for service in SERVICES)
REQUESTS: dict[str, type[Message]] = {
    f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for service in SERVICES
    for method in service.methods
}
"""The type of request of every method."""
METHODS = {kind: method for method, kind in REQUESTS.items()}


def send(channel: grpc.Channel, method: str, request: bytes) -> bytes:
    """Calls a method, such as "/artemis.v1.EventService/GetEvent", and returns the bytes of the first response."""
    call = channel.unary_stream(method, request_serializer=bytes, response_deserializer=bytes)(
        request, timeout=PATIENCE
    )
    response: bytes = next(call)
    call.cancel()  # a stream would go on
    return response


def refusal(channel: grpc.Channel, method: str, request: bytes) -> grpc.Call | None:
    """Returns the failed call, None if it succeeds."""
    try:
        send(channel, method, request)
    except grpc.RpcError as error:
        return error if isinstance(error, grpc.Call) else None
    return None


def status_of(call: grpc.Call) -> status_pb2.Status:
    """Returns the status that a failed call carries (AIP-193)."""
    status = rpc_status.from_call(call)
    assert status is not None, f"no details: {call.code()} {call.details()}"
    return status
