"""Requests: the rules that the .proto files cannot state, and the part of a request that counts.

Both derive from the descriptors: a request with an `update_mask` is an update (AIP-134), and one with `requests` is a
batch (AIP-231 to 235). This module knows messages, and neither gRPC nor the database.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from artemis_server import contract, masks
from artemis_server.contract import ETAG, is_timestamp, writable_fields
from artemis_server.errors import MAX_VIOLATIONS, InvalidArgument, Violation, apply_to_each, join

Check = Callable[[Any], None]
"""Raises InvalidArgument if a field of a request is bad."""
M = TypeVar("M", bound=Message)
_ID = "id"
_MASK = "update_mask"
_CHILDREN = "requests"
_OPTIONS = ("request_id", "validate_only")
"""The fields of a write that are not its content. The requests of a batch have none of them."""
_NANOS = 1000  # in a microsecond


def validate(request: Message, method_check: Check | None = None) -> None:
    """Checks the request by the rules in its .proto file and by those of this module.

    `method_check` is a check that the method makes itself. It is called only if another field is bad, and gets the
    request without that field: so the error names every bad field, and a valid request is checked once.

    Raises:
        InvalidArgument: with every violation; its reason is that of the first one.
    """
    found = _errors(_checks(request.DESCRIPTOR), request)
    if found:
        found += _errors([_check_sent_fields], request)
        if method_check:
            found += _errors([method_check], _without_bad_fields(request, found))
        raise join(found)


def content(request: M) -> M:
    """Returns the request without the parts that the server ignores: requests with equal contents ask for the same.

    An update with the mask ["name", "id", "name"] keeps the id, the etag and the name of its resource, and the mask
    ["name"]. Times lose the digits that are not stored.
    """
    kept = type(request)()
    kept.CopyFrom(request)
    kept.DiscardUnknownFields()
    for option in _OPTIONS:
        kept.ClearField(option)
    children = getattr(kept, _CHILDREN) if _CHILDREN in kept.DESCRIPTOR.fields_by_name else [kept]
    for each in children:
        name = _resource_field(each.DESCRIPTOR)
        if name:
            _keep_content(each, getattr(each, name))
    return kept


def _keep_content(request: Any, resource: Message) -> None:
    ignored, times = _ignored_and_times(resource.DESCRIPTOR)
    if _MASK in request.DESCRIPTOR.fields_by_name:
        paths, _ = masks.split(request.update_mask, resource)
        request.update_mask.paths[:] = paths
        ignored = masks.field_names(resource.DESCRIPTOR).difference((_ID, ETAG, *paths))
    for name in ignored:
        resource.ClearField(name)
    for name in times:
        value = getattr(resource, name)
        finer = value.nanos % _NANOS
        if finer:
            value.nanos -= finer


@cache
def _ignored_and_times(descriptor: "Descriptor") -> tuple[Iterable[str], Iterable[str]]:
    """Returns the fields that a create ignores, and the times that callers set."""
    writable = writable_fields(descriptor)
    ignored = [field.name for field in descriptor.fields if field.name not in writable]
    return ignored, [name for name in writable if is_timestamp(descriptor.fields_by_name[name])]


@cache
def _checks(descriptor: "Descriptor") -> tuple[Check, ...]:
    """Returns the checks of a request: of a batch, those that the requests in it need."""
    batch = descriptor.fields_by_name.get(_CHILDREN)
    single = (batch and batch.message_type) or descriptor
    updates = _MASK in single.fields_by_name
    checks: list[Check] = [_check_batch if batch else contract.validate]
    if batch:
        checks += [_check_options] if not updates and _resource_field(single) else [_check_options, _check_distinct]
    return (*checks, _check_masks) if updates else tuple(checks)


def _errors(checks: Iterable[Check], request: Message) -> list[InvalidArgument]:
    found = []
    for check in checks:
        try:
            check(request)
        except InvalidArgument as error:
            found.append(error)
    return found


def _without_bad_fields(request: M, errors: Iterable[InvalidArgument]) -> M:
    rest = type(request)()
    rest.CopyFrom(request)
    for violation in (violation for error in errors for violation in error.violations):
        if violation.field in rest.DESCRIPTOR.fields_by_name:
            rest.ClearField(violation.field)
    return rest


def _check_batch(batch: Any) -> None:
    """Refuses each request in a batch that breaks the contract, until MAX_VIOLATIONS are found, and then the batch.

    A valid batch is validated as a whole, which costs less than one request after another.
    """
    if contract.is_valid(batch):
        return
    raise join(_errors((_check_children, _check_rest), batch) or _errors([contract.validate], batch))


def _check_children(batch: Any) -> None:
    apply_to_each(batch.requests, lambda index, each: contract.validate(each, f"{_CHILDREN}[{index}]."))


def _check_rest(batch: Any) -> None:
    """Refuses what is bad in the batch itself; the first request stays, because a batch without one is bad."""
    rest = type(batch)()
    rest.CopyFrom(batch)
    del rest.requests[1:]
    contract.validate(rest)


def _check_options(batch: Any) -> None:
    """Refuses the options of each request in a batch: only the batch has them."""

    def check(index: int, request: Message) -> None:
        found = [
            Violation(
                field=f"{_CHILDREN}[{index}].{option}",
                description="must not be set; set that of the batch",
                rule=f"{_CHILDREN}.{option}",
            )
            for option in _OPTIONS
            if getattr(request, option)
        ]
        if found:
            raise InvalidArgument(*found)

    apply_to_each(batch.requests, check)


def _check_distinct(batch: Any) -> None:
    """Refuses each request to change or delete a resource that an earlier request of the batch names as well."""
    seen: dict[int, int] = {}

    def check(index: int, request: Any) -> None:
        name = _resource_field(request.DESCRIPTOR)
        row_id: int = getattr(request, name).id if name else request.id
        first = seen.setdefault(row_id, index)
        if first != index and row_id:
            earlier = f"{_CHILDREN}[{first}]"
            raise InvalidArgument(
                Violation(
                    field=f"{_CHILDREN}[{index}].{name}.id" if name else f"{_CHILDREN}[{index}].id",
                    description=f"{row_id} is in {earlier} already",
                    rule=f"{_CHILDREN}.repeated",
                    values={"id": str(row_id), "earlier": earlier},
                )
            )

    apply_to_each(batch.requests, check)


def _check_masks(request: Message) -> None:
    """Refuses each path in a mask that the resource has not."""

    def check(_: int, update: tuple[str, Any, Message]) -> None:
        prefix, each, resource = update
        try:
            masks.updated_fields(each.update_mask, resource)
        except InvalidArgument as error:
            raise error.under(prefix) from None

    apply_to_each(_updates(request), check)


def _check_sent_fields(request: Message) -> None:
    """Refuses each field that an update sets to a bad value. Otherwise that is found in the updated resource.

    Only the first updates of a batch are looked at: each costs 0.3 ms.
    """

    def check(_: int, update: tuple[str, Any, Message]) -> None:
        prefix, each, resource = update
        paths, _unknown = masks.split(each.update_mask, resource)
        sent = type(resource)()
        masks.merge(sent, resource, paths)
        start = f"{prefix}{_resource_field(each.DESCRIPTOR)}."
        found = [
            violation
            for violation in contract.violations(sent, start)
            if violation.field.removeprefix(start).partition(".")[0] in paths
        ]
        if found:
            raise InvalidArgument(*found)

    apply_to_each(_updates(request)[:MAX_VIOLATIONS], check)


def _updates(request: Any) -> list[tuple[str, Any, Message]]:
    """Returns the updates in a request, each with the prefix of its paths ("requests[3].") and its resource."""
    children = getattr(request, _CHILDREN, None)
    named = [("", request)] if children is None else [(f"{_CHILDREN}[{i}].", each) for i, each in enumerate(children)]
    return [
        (prefix, each, getattr(each, _resource_field(each.DESCRIPTOR)))
        for prefix, each in named
        if hasattr(each, _MASK) and each.HasField(_resource_field(each.DESCRIPTOR))
    ]


@cache
def _resource_field(descriptor: "Descriptor") -> str:
    """Returns the name of the field that has the resource, such as `event`; empty if the request has none."""
    for field in descriptor.fields:
        if field.message_type and not field.is_repeated and _ID in field.message_type.fields_by_name:
            return field.name
    return ""
