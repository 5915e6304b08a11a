"""The calls that a server has received."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from artemis.v1 import events_pb2, users_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_REQUESTS = {
    f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for file in (events_pb2.DESCRIPTOR, users_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
"""The class of the request of each method."""


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """A call that the server has received, whatever it answered."""

    method: str
    """The name of the method, such as "CreateEvent"."""
    request: Message
    """A message of the contract, such as a CreateEventRequest."""
    metadata: Sequence[tuple[str, str]]
    """The metadata that the client sent. Values of keys that end in -bin are in base64."""


def recorded(method: str, request: str, metadata: Sequence[Sequence[str]]) -> RecordedCall:
    """Returns a call from what the process of the server tells about it; the request is in base64."""
    pairs: Any = tuple(tuple(each) for each in metadata)
    message = _REQUESTS[method]()
    message.MergeFromString(b64decode(request))
    return RecordedCall(method=method.rpartition("/")[2], request=message, metadata=pairs)
