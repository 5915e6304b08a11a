"""The rules that the contract itself states, read from the descriptors: validation and field behaviour.

It knows messages, and neither gRPC nor the database.
"""

from functools import cache

import protovalidate
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from artemis_server.errors import InvalidArgument, Violation

ETAG = "etag"
MAX_RESPONSE_BYTES = 3 * 1024 * 1024
"""The largest response, in bytes: below the 4 MiB that gRPC clients accept by default."""
_READ_ONLY = {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER}
_VALIDATOR = protovalidate.Validator()


def validate(message: Message, prefix: str = "") -> None:
    """Checks the message against the rules in its .proto file.

    Raises:
        InvalidArgument: with every violation; field paths begin with `prefix`.
    """
    found = [_violation(each, prefix) for each in _VALIDATOR.collect_violations(message)]
    if found:
        raise InvalidArgument(*found)


def _violation(found: protovalidate.Violation, prefix: str) -> Violation:
    """Translates a violation; a rule on a whole message blames the field that its id begins with."""
    violation = found.proto
    path = [_element(element) for element in violation.field.elements] if violation.field else []
    if violation.rule is None:
        path.append(violation.rule_id.rpartition(".")[0])
    return Violation(field=prefix + ".".join(path), description=violation.message, rule=violation.rule_id)


def _element(element: protovalidate.FieldPathElementPb) -> str:
    index = f"[{element.subscript.value}]" if element.subscript else ""
    return element.field_name + index


@cache
def writable_fields(descriptor: "Descriptor") -> tuple[str, ...]:
    """Returns the fields that callers set: neither output only, nor the id, nor the etag (AIP-203)."""
    return tuple(field.name for field in descriptor.fields if field.name != ETAG and not _read_only(field))


def _read_only(field: FieldDescriptor) -> bool:
    behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return not _READ_ONLY.isdisjoint(behaviors)


def is_timestamp(field: FieldDescriptor) -> bool:
    """Tells whether the field holds a google.protobuf.Timestamp."""
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"
