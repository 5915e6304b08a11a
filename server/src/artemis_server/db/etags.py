"""Etags (AIP-154): the version of a row, which every change counts up, as an opaque string."""

import base64
import binascii
from functools import lru_cache

MAX_LENGTH = 12  # characters
NO_VERSION = -1
"""The version of an etag that this server never gave out: no row has it."""


@lru_cache(maxsize=1024)  # most versions are small, and a page has many rows of each
def from_version(version: int) -> str:
    """Returns the etag of a row of this version."""
    return base64.urlsafe_b64encode(version.to_bytes(8, "big")).decode()


def to_version(etag: str) -> int:
    """Returns the version that the etag stands for, NO_VERSION if it stands for none."""
    if len(etag) > MAX_LENGTH:
        return NO_VERSION
    try:
        raw = base64.b64decode(etag, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return NO_VERSION
    version = int.from_bytes(raw, "big") if len(raw) == 8 else NO_VERSION  # noqa: PLR2004, bytes of an etag
    return version if from_version(max(version, 0)) == etag and version < 2**63 else NO_VERSION
