"""The calls that a server has received."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import artemis.v1
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in iter_modules(artemis.v1.__path__, "artemis.v1.")
    if module.name.endswith("_pb2")
    for service in import_module(module.name).DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Every method of the contract, by its full name, such as "/artemis.v1.EventService/GetEvent"."""


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
    message: Message = GetMessageClass(METHODS[method].input_type)()
    message.MergeFromString(b64decode(request))
    return RecordedCall(method=method.rpartition("/")[2], request=message, metadata=pairs)
