"""The audit log: a line for every write, with who wrote what, and the outcome (docs/adr/0028).

It has ids, and neither the fields of a resource nor credentials.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import grpc
from artemis.v1 import access_pb2
from google.protobuf.descriptor import Descriptor

from artemis_server.access.principal import Principal
from artemis_server.logs import AUDIT

MAX_IDS = 50
"""Ids in one line at most. `count` is the number of resources in the request."""
_OPTIONS = {"request_id": "write_request_id", "validate_only": "validate_only"}
"""Fields of a request that its line has if they are set, and their names in the line."""

log = logging.getLogger(AUDIT)


class AuditedCall(Protocol):
    """The parts of a call that the audit log reads."""

    method: str
    request_id: str
    code: grpc.StatusCode | None
    done: bool

    @property
    def principal(self) -> Principal | None:
        """The caller; None if its credentials are not valid."""

    @property
    def exchange(self) -> tuple[Any, Any] | None:
        """The request and the response; None before the method has begun, and no response before its end."""


class Audit:
    """Writes the log."""

    def __init__(self, roles: dict[str, int]) -> None:
        """`roles` has the role that each method needs. A method that needs more than the role reader is a write."""
        self.methods = frozenset(name for name, role in roles.items() if role > access_pb2.ROLE_READER)

    def record(self, call: AuditedCall) -> None:
        """Logs a call that has its answer or has failed, if it is a write.

        Calls without valid credentials are warnings, of which the log has one a second, because anybody can send them.
        """
        if call.method not in self.methods:
            return
        extra = {"fields": _fields(call)}
        if call.principal is None:
            log.warning("audit", extra=extra)
        else:
            # As log.info does, which also looks for the line of code that logs: two thirds of the CPU of a line.
            log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, "audit", (), None, extra=extra))


def _fields(call: AuditedCall) -> dict[str, Any]:
    """Returns the fields of a line. The code is the outcome of the write, also when the caller did not wait for it."""
    code = grpc.StatusCode.OK if call.done else call.code or grpc.StatusCode.CANCELLED
    principal = call.principal
    fields: dict[str, Any] = {}
    if principal is not None:
        fields |= {"principal": principal.name, "credentials": principal.kind}
    fields |= {"method": call.method.removeprefix("/"), "code": code.name, "request_id": call.request_id}
    if call.exchange is not None:
        request, response = call.exchange
        ids, count = _subjects(request, response if call.done else None)
        fields |= {"ids": ",".join(map(str, ids)), "count": count}
        fields |= {shown: value for name, shown in _OPTIONS.items() if (value := getattr(request, name, None))}
    return fields


def _subjects(request: Any, response: Any) -> tuple[list[int], int]:
    """Returns the ids of the resources, MAX_IDS at most, and the number of resources.

    The ids are those of the response, and where it has 0, as for a delete of a missing resource, those of the request.
    A create without a response has no id.
    """
    sent = _parts(request)
    ids = [_id_in_request(each) for each in sent[:MAX_IDS]]
    if response is not None:
        ids = [new.id or old for new, old in zip(_parts(response), ids, strict=False)]
    return [each for each in ids if each], len(sent)


def _parts(message: Any) -> Sequence[Any]:
    """Returns the messages in a batch, and of any other request or response the message itself."""
    field = _children(message.DESCRIPTOR)
    return [message] if field is None else getattr(message, field)


def _id_in_request(request: Any) -> int:
    """Returns the id of the resource to change: `event.id` of UpdateEventRequest, `id` of DeleteEventRequest."""
    path = _id_path(request.DESCRIPTOR)
    if path is None:
        return 0
    found: int = getattr(request, path).id if path else request.id
    return found


@cache
def _id_path(descriptor: "Descriptor") -> str | None:
    """Returns "event" for UpdateEventRequest, whose event has the id, "" for a request with an id, None for creates."""
    if "id" in descriptor.fields_by_name:
        return ""
    if "update_mask" not in descriptor.fields_by_name:
        return None
    return next(
        field.name for field in descriptor.fields if field.message_type and "id" in field.message_type.fields_by_name
    )


@cache
def _children(descriptor: "Descriptor") -> str | None:
    """Returns the repeated messages of a batch: `requests` of a request, and `events` of a response."""
    return next((field.name for field in descriptor.fields if field.message_type and field.is_repeated), None)
