"""Etags (AIP-154): the version of a row, which every change counts up, as an opaque string."""

import base64
from functools import lru_cache

LENGTH = 12  # characters
NO_VERSION = -1
"""The version of an etag that this server never gave out: no row has it."""


@lru_cache(maxsize=1024)  # most versions are small, and a page has many rows of each
def from_version(version: int) -> str:
    """Returns the etag of a row of this version."""
    return base64.urlsafe_b64encode(version.to_bytes(8, "big")).decode()


def to_version(etag: str) -> int:
    """Returns the version that the etag stands for, NO_VERSION if it stands for none."""
    if len(etag) != LENGTH:
        return NO_VERSION
    try:
        version = int.from_bytes(base64.urlsafe_b64decode(etag), "big")
    except ValueError:
        return NO_VERSION
    return version if version < 2**63 and from_version(version) == etag else NO_VERSION
