"""Field masks: which fields an update sets, and what results (AIP-134, 161, 203); which a read returns (AIP-157)."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from artemis_server.contract import writable_fields
from artemis_server.errors import InvalidArgument, Violation

M = TypeVar("M", bound=Message)
ALL = "*"


def updated_fields(mask: FieldMask, message: Message) -> tuple[str, ...]:
    """Returns the fields to set, in the order of their declaration: those in the mask that callers may set.

    The mask ["name", "etag", "location"] gives ("name", "location"), because an etag is never set.

    Raises:
        InvalidArgument: the mask has a path that the message has not, or "*" beside other paths.
    """
    fields, unknown = split(mask, message)
    _refuse(unknown, "update_mask", message.DESCRIPTOR.name)
    return fields


class PartialRead(Protocol):
    """A request to read resources, which may name the fields to return."""

    @property
    def read_mask(self) -> FieldMask:
        """The fields to return."""

    def HasField(self, field_name: Any) -> bool:  # noqa: N802, protobuf's name for it
        """Tells whether a field is set."""


def read_fields(request: PartialRead, descriptor: Descriptor) -> tuple[str, ...] | None:
    """Returns the fields of a message that a read returns, in the order of their declaration; None for all of them.

    The mask ["start_time", "name", "name"] gives ("name", "start_time"). An empty one and ["*"] give None.

    Raises:
        InvalidArgument: the mask has a path that the message has not, or "*" beside other paths.
    """
    if not request.HasField("read_mask"):  # it is cheaper to ask first, and most requests have none
        return None
    paths = set(request.read_mask.paths)
    if not paths or paths == {ALL}:
        return None
    declared = field_names(descriptor)
    _refuse(sorted(paths - declared), "read_mask", descriptor.name)
    return None if paths == declared else tuple(name for name in _declared_names(descriptor) if name in paths)


def _refuse(unknown: Sequence[str], mask: str, kind: str) -> None:
    """Raises InvalidArgument if there are unknown paths in the mask of this name."""
    if ALL in unknown:
        raise InvalidArgument(
            Violation(
                field=mask,
                description=f'"{ALL}" stands for all fields: it must be the only path',
                rule=f"{mask}.star",
                values={"path": ALL},
            )
        )
    if unknown:
        raise InvalidArgument(
            *(
                Violation(
                    field=mask,
                    description=f'{kind} has no field "{path}"',
                    rule=f"{mask}.path",
                    values={"path": path},
                )
                for path in unknown
            ),
            reason="UNKNOWN_FIELD",
        )


def split(mask: FieldMask, message: Message) -> tuple[tuple[str, ...], list[str]]:
    """Returns what `updated_fields` returns, and the paths that the message has not."""
    writable = writable_fields(message.DESCRIPTOR)
    paths = set(mask.paths)
    if not paths:
        paths = {field.name for field, _ in message.ListFields()}
    elif paths == {ALL}:
        paths = set(writable)
    unknown = sorted(paths - field_names(message.DESCRIPTOR))
    return tuple(name for name in writable if name in paths), unknown


@cache
def field_names(descriptor: "Descriptor") -> frozenset[str]:
    """Returns the names of the fields of a message."""
    return frozenset(descriptor.fields_by_name)


@cache
def _declared_names(descriptor: "Descriptor") -> tuple[str, ...]:
    """Returns the names of the fields of a message, in the order of their declaration."""
    return tuple(field.name for field in descriptor.fields)


def merge(stored: M, sent: M, paths: Sequence[str]) -> None:
    """Sets the fields in `paths` of `stored` to those of `sent`; a field that is empty there is cleared."""
    chosen = type(sent)()
    FieldMask(paths=paths).MergeMessage(sent, chosen)
    for path in paths:
        stored.ClearField(path)
    stored.MergeFrom(chosen)
