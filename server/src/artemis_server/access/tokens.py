"""Bearer tokens. A file has their hashes, and not the tokens.

    [[token]]
    name = "billing"
    role = "writer"
    hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    created = 2026-11-26T09:00:00Z
    expires = 2027-02-24T09:00:00Z

A token has 256 random bits, so nobody can find it by its hash. A slow hash, as passwords need it, would cost time and
protect nothing (docs/adr/0027).
"""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from artemis_server.access.files import Watched, read
from artemis_server.access.principal import Principal
from artemis_server.access.roles import VALUES
from artemis_server.access.toml_entries import entries
from artemis_server.settings import NAME, SettingsError

PREFIX = "artemis_"
"""The beginning of every token, by which scanners of source code can find one that was committed."""
_HASH = re.compile("sha256:([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class _Entry:
    digest: str
    principal: Principal
    expires: float | None
    """In seconds since 1970; None is never."""


class Tokens:
    """The tokens in a file, which may change."""

    def __init__(self, path: Path) -> None:
        """Raises: SettingsError, if the file cannot be read, is not private or is malformed."""
        self._entries = Watched("the tokens", lambda: (read(path, private=True),), lambda all_: parse(all_[0], path))
        self.refresh = self._entries.refresh

    def find(self, token: str) -> Principal | None:
        """Returns the principal of a token; None if the token is unknown or has expired."""
        digest = digest_of(token)
        entry = self._entries.value.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            return None
        return None if entry.expires is not None and time.time() >= entry.expires else entry.principal


def new_token() -> str:
    """Returns a new token, such as "artemis_4fGx..."."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Returns the SHA-256 of a token in hexadecimal digits."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def parse(content: bytes, path: Path) -> dict[str, _Entry]:
    """Returns the entries of a tokens file by their hashes.

    Raises:
        SettingsError: the file is malformed.
    """
    found: dict[str, _Entry] = {}
    required, optional = {"name": str, "role": str, "hash": str}, {"created": datetime, "expires": datetime}
    for where, entry in entries(content, path, "token", required, optional):
        digest, expires = _HASH.fullmatch(entry["hash"]), entry.get("expires")
        if not re.fullmatch(NAME, entry["name"]):
            raise SettingsError(f"{where}: the name is not 1 to 100 letters, digits and characters of ._@:/+-")
        if digest is None:
            raise SettingsError(f"{where}: the hash is not sha256: and 64 hexadecimal digits in lower case")
        if digest[1] in found:
            raise SettingsError(f"{where} has the hash of an earlier token")
        if expires is not None and expires.tzinfo is None:
            raise SettingsError(f"{where}: expires has no offset from UTC, such as Z")
        found[digest[1]] = _Entry(
            digest=digest[1],
            principal=Principal(name=entry["name"], role=VALUES[entry["role"]]),
            expires=None if expires is None else expires.timestamp(),
        )
    return found


def entry_text(token: str, name: str, role: str, created: datetime, expires: datetime | None) -> str:
    """Returns the entry of a token as it stands in a tokens file."""
    times = {"created": created, "expires": expires}
    lines = [
        "[[token]]",
        f'name = "{name}"',
        f'role = "{role}"',
        f'hash = "sha256:{digest_of(token)}"',
        *(f"{key} = {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for key, at in times.items() if at is not None),
    ]
    return "\n".join(lines) + "\n"
