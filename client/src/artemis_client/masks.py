"""Field masks: which fields an update changes, or a read returns."""

import dataclasses
from collections.abc import Iterable

from google.protobuf.field_mask_pb2 import FieldMask

from artemis_client.entities import Event, User

_NAMED_BY = "id"
_CONDITION = "etag"


def field_mask(paths: Iterable[str] | None, name: str = "update_mask") -> FieldMask | None:
    """Returns the mask of these paths, None for None. Raises TypeError, with its name, if they are one string."""
    if isinstance(paths, str):
        raise TypeError(f"{name} must be several paths, such as [{paths!r}], not the string {paths!r}")
    return None if paths is None else FieldMask(paths=paths)


def changed_fields(before: Event | User, after: object) -> list[str]:
    """Returns the names of the fields that differ, but for the etag.

    Raises:
        TypeError: `after` is not of the type of `before`, say None because a function returned nothing.
        ValueError: the ids differ.
    """
    name = type(before).__name__
    if type(after) is not type(before):
        raise TypeError(
            f"the function must return the changed {name}, such as dataclasses.replace({name.lower()}, ...), "
            f"not {type(after).__name__}"
        )
    names = [each.name for each in dataclasses.fields(before)]
    changed = [each for each in names if getattr(before, each) != getattr(after, each) and each != _CONDITION]
    if _NAMED_BY in changed:
        raise ValueError(f"the function must not change the id of the {name}")
    return changed
