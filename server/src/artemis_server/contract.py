"""The rules that the contract states, read from the descriptors: validation and field behaviour.

This module knows messages, and neither gRPC nor the database.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import protovalidate
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from artemis_server.errors import MAX_VIOLATIONS, InvalidArgument, Violation

ETAG = "etag"
MAX_NANOS = 999_999_999
MAX_RESPONSE_BYTES = 3 * 1024 * 1024
"""The largest response, in bytes: below the 4 MiB that gRPC clients accept by default."""
_READ_ONLY = {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER}
_LIMIT = re.compile(r"-?\d[\d:.TZ-]*")  # a number or a time
_VALIDATOR = protovalidate.Validator()


def is_valid(message: Message) -> bool:
    """Tells whether the message keeps the rules in its .proto file; it looks no further than the first violation."""
    return not _VALIDATOR.collect_violations(message, fail_fast=True) and not any(_malformed_times(message, ""))


def validate(message: Message, prefix: str = "") -> None:
    """Checks the message against the rules in its .proto file.

    Raises:
        InvalidArgument: with its violations; field paths begin with `prefix`.
    """
    if not is_valid(message):
        found = _VALIDATOR.collect_violations(message)
        raise InvalidArgument(*_translate(found, message, prefix), unlisted=max(len(found) - MAX_VIOLATIONS, 0))


def violations(message: Message, prefix: str = "") -> list[Violation]:
    """Returns the violations of the rules in the message's .proto file; field paths begin with `prefix`."""
    return _translate(_VALIDATOR.collect_violations(message), message, prefix)


def _translate(found: Sequence[protovalidate.Violation], message: Message, prefix: str) -> list[Violation]:
    """Returns the first MAX_VIOLATIONS of them, because one takes 0.1 ms to translate, and those of malformed times."""
    return [*(_violation(each, prefix) for each in found[:MAX_VIOLATIONS]), *_malformed_times(message, prefix)]


def _violation(found: protovalidate.Violation, prefix: str) -> Violation:
    """Translates a violation: `event.tags[2]` is the path of the third tag.

    A rule on a whole message names its field in its id: "end_time.not_before_start" is about `end_time`.
    """
    violation = found.proto
    elements = violation.field.elements if violation.field else ()
    path = [each.field_name + (f"[{each.subscript.value}]" if each.subscript else "") for each in elements]
    if violation.rule is None:
        path.append(violation.rule_id.rpartition(".")[0])
    return Violation(
        field=prefix + ".".join(path),
        description=violation.message,
        rule=violation.rule_id,
        values=_limits(found),
    )


def _limits(found: protovalidate.Violation) -> dict[str, str]:
    """Returns the numbers or times that a rule compares with: {"limit": "200"} of "must be at most 200 characters"."""
    if isinstance(found.rule_value, (str, bool)) or (
        found.proto.rule and found.proto.rule.elements[0].field_name == "cel"
    ):
        return {}  # the digits in its message, if any, are not limits
    limits = _LIMIT.findall(found.proto.message)
    return dict(zip(("minimum", "maximum") if len(limits) > 1 else ("limit",), limits, strict=False))


def _malformed_times(message: Message, prefix: str) -> Iterator[Violation]:
    """Yields a violation for each Timestamp whose nanos are not within 0 and 999,999,999: no rule can check them."""
    times, nested = _time_fields(message.DESCRIPTOR)
    for name in times:
        if not 0 <= getattr(message, name).nanos <= MAX_NANOS:
            description, values = (
                f"nanos must be between 0 and {MAX_NANOS}",
                {"minimum": "0", "maximum": str(MAX_NANOS)},
            )
            yield Violation(field=prefix + name, description=description, rule="timestamp.nanos", values=values)
    for name, repeated in nested:
        value = getattr(message, name)
        for index, each in enumerate(value) if repeated else (("", value),):
            yield from _malformed_times(each, f"{prefix}{name}[{index}]." if repeated else f"{prefix}{name}.")


@cache
def _time_fields(descriptor: "Descriptor") -> tuple[list[str], list[tuple[str, bool]]]:
    """Returns the Timestamps that callers set, and the fields whose messages have some, with whether they repeat.

    A request with an update mask has none: its resource is checked after the update, as a whole.
    """
    if "update_mask" in descriptor.fields_by_name:
        return [], []
    fields = [field for field in descriptor.fields if field.message_type and not _read_only(field)]
    times = [field.name for field in fields if is_timestamp(field)]
    others = [field for field in fields if not is_timestamp(field) and any(_time_fields(field.message_type))]
    return times, [(field.name, bool(field.is_repeated)) for field in others]


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
