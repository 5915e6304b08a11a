"""Update masks: which fields an update changes."""

from collections.abc import Iterable

from google.protobuf.field_mask_pb2 import FieldMask


def field_mask(paths: Iterable[str] | None) -> FieldMask | None:
    """Returns the mask of these paths, None for None. Raises TypeError if they are one string."""
    if isinstance(paths, str):
        raise TypeError(f"update_mask must be several paths, such as [{paths!r}], not the string {paths!r}")
    return None if paths is None else FieldMask(paths=paths)
