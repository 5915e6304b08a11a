"""Pages of a list: their size, and the tokens that continue them (AIP-158)."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import TypeVar, cast

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message

from artemis_server.contract import MAX_RESPONSE_BYTES
from artemis_server.db.listing.keyset import Position
from artemis_server.errors import InvalidArgument, Violation

DEFAULT_SIZE = 50
MAX_SIZE = 1000
FRAME_BYTES = 4
"""The bytes of the tag and the length of a resource of up to 64 KiB in a page."""
MAX_TOKEN_BYTES = 128 * 1024
"""The largest token of the next page, in bytes: it has the sorted fields of a row."""
_SIGNATURE_BYTES = 16
M = TypeVar("M", bound=Message)


def page_size(requested: int) -> int:
    """Returns how many resources a page may hold; `requested` is not negative."""
    return min(requested or DEFAULT_SIZE, MAX_SIZE)


def trim(page: Message, resources: RepeatedCompositeFieldContainer[M], size: int) -> bool:
    """Removes resources from the end until the page holds at most `size`, and its size in bytes is in bounds.

    Returns whether any was removed.
    """
    before = len(resources)
    del resources[size:]
    space = MAX_RESPONSE_BYTES - MAX_TOKEN_BYTES - page.ByteSize()
    while space < 0:
        space += resources[-1].ByteSize() + FRAME_BYTES
        del resources[-1]
    return len(resources) < before


class PageTokens:
    """Makes and reads page tokens: a position in a list, signed together with the list that it is of.

    `key` returns the key that all servers on one database share; it is called once, when first needed.
    """

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._load = key
        self._key: bytes | None = None

    def encode(self, position: Position, listing: str) -> str:
        """Returns the token for a position in a list."""
        payload = json.dumps(position, ensure_ascii=False, separators=(",", ":")).encode()
        return _to_text(self._sign(payload, listing) + payload)

    def decode(self, token: str, listing: str) -> Position:
        """Returns the position.

        Raises:
            InvalidArgument: the token was not made by `encode` for this list.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _foreign() from None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if _to_text(raw) != token or not hmac.compare_digest(signature, self._sign(payload, listing)):
            raise _foreign()
        return cast("Position", json.loads(payload))

    def _sign(self, payload: bytes, listing: str) -> bytes:
        if self._key is None:
            self._key = self._load()
        signed = len(payload).to_bytes(4, "big") + payload + listing.encode()
        return hmac.digest(self._key, signed, hashlib.sha256)[:_SIGNATURE_BYTES]


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _foreign() -> InvalidArgument:
    return InvalidArgument(
        Violation(
            field="page_token",
            description="is not a token that this list returned",
            rule="page_token.foreign",
        ),
        reason="INVALID_PAGE_TOKEN",
    )
