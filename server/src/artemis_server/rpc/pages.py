"""Pages of a list: their size, and the tokens that continue them (AIP-158), or a watch."""

import base64
import binascii
import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message

from artemis_server.contract import MAX_RESPONSE_BYTES
from artemis_server.db.batches import FRAME_BYTES
from artemis_server.db.changes import records as log
from artemis_server.db.listing.keyset import Position
from artemis_server.errors import InvalidArgument, Violation

DEFAULT_SIZE = 50
MAX_SIZE = 1000
MAX_TOKEN_BYTES = 128 * 1024
"""The largest token of the next page, in bytes: it has the sorted fields of a row."""
RESUME_TOKEN = "resume_token"  # noqa: S105, the name of a field
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
    key is first needed. `field` names the field of requests that has a token.
    """

    def __init__(self, key: Callable[[], bytes], field: str = "page_token") -> None:
        self.key = cache(key)
        """Returns the key."""
        self._field = field
        self._loaded: AESGCMSIV | None = None

    def load(self) -> None:
        """Reads the key, unless it is known. Raises: what `key` raises."""
        self._cipher()

    def encode(self, position: Sequence[object], listing: str) -> str:
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
                raise self._foreign()
            text = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], listing.encode())
        except (binascii.Error, ValueError, InvalidTag):  # a ValueError for a token without a whole nonce
            raise self._foreign() from None
        return cast("Position", json.loads(text))

    def _foreign(self) -> InvalidArgument:
        origin = "database" if self._field == RESUME_TOKEN else "list"
        violation = Violation(
            field=self._field,
            description=f"is not a token that this {origin} returned",
            rule=f"{self._field}.foreign",
        )
        return InvalidArgument(violation, reason=f"INVALID_{self._field.upper()}")

    def _cipher(self) -> AESGCMSIV:
        if self._loaded is None:
            self._loaded = AESGCMSIV(self.key())
        return self._loaded


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class ResumeTokens:
    """Makes and reads resume tokens: positions in the log of changes, encrypted as page tokens are."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._tokens = PageTokens(key, RESUME_TOKEN)

    def encode(self, position: log.Position) -> str:
        """Returns a token for a position, which is `whole`."""
        mark = position.mark
        running = [each - position.lower for each in position.running]
        seen = position.seen_below - position.lower if position.seen_below else 0
        where = [position.last_id, position.lower, position.upper, position.end_id, seen, running]
        return self._tokens.encode([*where, mark and [mark.transaction_id, mark.id, mark.time]], RESUME_TOKEN)

    def decode(self, token: str) -> log.Position:
        """Returns the position.

        Raises:
            InvalidArgument: the token was not made by `encode` on this database.
        """
        last_id, lower, upper, end_id, seen, running, mark = cast("Any", self._tokens.decode(token, RESUME_TOKEN))
        return log.Position(
            mark=log.Mark(transaction_id=mark[0], id=mark[1], time=mark[2]) if mark else None,
            last_id=last_id,
            lower=lower,
            upper=upper,
            end_id=end_id,
            seen_below=lower + seen if seen else 0,
            running=tuple(lower + each for each in running),
        )
