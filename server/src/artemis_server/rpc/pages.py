"""Pages of a list: their size, and the tokens that continue them (AIP-158)."""

import base64
import binascii
import json
import os
from collections.abc import Callable
from typing import TypeVar, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message

from artemis_server.contract import MAX_RESPONSE_BYTES
from artemis_server.db.batches import FRAME_BYTES
from artemis_server.db.listing.keyset import Position
from artemis_server.errors import InvalidArgument, Violation

DEFAULT_SIZE = 50
MAX_SIZE = 1000
MAX_TOKEN_BYTES = 128 * 1024
"""The largest token of the next page, in bytes: it has the sorted fields of a row."""
_NONCE_BYTES = 12
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
    """Makes and reads page tokens: a position in a list, encrypted, that only servers with the same key can read.

    A token is the base64 of a random nonce and of the position as AES-GCM-SIV (RFC 8452) encrypts it. The list is the
    associated data, so the token is good for that list alone. Two tokens of one position differ.

    `key` returns the 32 bytes that all servers on one database share. It is called once: by `load`, or else when the
    key is first needed.
    """

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key
        self._loaded: AESGCMSIV | None = None

    def load(self) -> None:
        """Reads the key, unless it is known. Raises: what `key` raises."""
        self._cipher()

    def encode(self, position: Position, listing: str) -> str:
        """Returns a token for a position in a list."""
        text = json.dumps(position, ensure_ascii=False, separators=(",", ":"))
        nonce = os.urandom(_NONCE_BYTES)
        return _to_text(nonce + self._cipher().encrypt(nonce, text.encode(), listing.encode()))

    def decode(self, token: str, listing: str) -> Position:
        """Returns the position.

        Raises:
            InvalidArgument: the token was not made by `encode` for this list.
        """
        cipher = self._cipher()
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            if _to_text(raw) != token:
                raise _foreign()
            text = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], listing.encode())
        except (binascii.Error, ValueError, InvalidTag):  # a ValueError for a token without a whole nonce
            raise _foreign() from None
        return cast("Position", json.loads(text))

    def _cipher(self) -> AESGCMSIV:
        if self._loaded is None:
            self._loaded = AESGCMSIV(self._key())
        return self._loaded


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
