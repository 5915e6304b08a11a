"""The public keys of JWTs (RFC 7517), from a file or a URL, and the check of one JWT by them."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Event, Timer
from typing import Any
from urllib.parse import unquote, urlsplit

import jwt

from artemis_server.access.files import MAX_BYTES, read
from artemis_server.access.principal import Principal
from artemis_server.access.roles import VALUES
from artemis_server.settings import SettingsError

LEEWAY = 60.0
"""Seconds by which the clock of the issuer may differ from ours."""
TIMEOUT = 5.0
"""Seconds that the server of the keys has to take a connection, and then to answer."""
MAX_KEYS = 100
MAX_NAME = 200
"""Characters of a subject."""
MAX_VERIFIED = 10_000
"""JWTs whose result is kept. The oldest result makes room for a new one, and all go when the keys change."""
_ALGORITHMS = {
    "RSA": ("RS256", "PS256"),
    "EC P-256": ("ES256",),
    "OKP Ed25519": ("EdDSA",),
}
"""The algorithms of each kind of key. None is symmetric, or a caller could sign with the public key (RFC 8725, 2.1)."""
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 16384
"""OpenSSL checks no signature of a larger key."""
_CLAIMS = ["exp", "iss", "aud", "sub"]
_HEADERS = {"User-Agent": "artemis-server", "Accept": "application/json"}


class UnknownKeyError(Exception):
    """A JWT names a key that is not among the keys."""


class InvalidJwtError(Exception):
    """A JWT is not valid; the text, which has nothing of the JWT, says why."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The claims that a JWT must have."""

    issuer: str
    audience: str
    role_claim: str


@dataclass(frozen=True)
class _Key:
    key: Any
    algorithms: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class KeySet:
    """Keys by their ids, and the JWTs that were found to be valid with them: a new key set begins without any."""

    keys: Mapping[str, tuple[_Key, ...]]
    """Several keys may have one id, or none, which is the id ""."""
    verified: dict[bytes, tuple[Principal, float]] = field(default_factory=dict)
    """The principals of JWTs by their SHA-256, and when the JWTs expire, in seconds since 1970."""

    def find(self, digest: bytes) -> Principal | None:
        """Returns the principal of a JWT with this SHA-256 that was verified and has not expired."""
        principal, expires = self.verified.get(digest, (None, 0.0))
        return principal if time.time() < expires else None

    def verify(self, token: str, digest: bytes, rules: Rules) -> Principal:
        """Returns the principal of a JWT, and remembers it.

        Raises:
            UnknownKeyError: no key has the id that the JWT names.
            InvalidJwtError: it is malformed, has expired, is not signed by the key or is not for this server.
        """
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:
                raise InvalidJwtError("it has critical extensions, and this server knows none (RFC 7515, 4.1.11)")
            keys = self.keys.get(header.get("kid", ""))
            if keys is None:
                raise UnknownKeyError
            claims = _claims(token, keys, rules)
            principal = _principal(claims, rules.role_claim)
            expires = float(claims["exp"]) + LEEWAY
        except (UnknownKeyError, InvalidJwtError):
            raise
        except Exception as error:  # it is the caller's text, whatever the library makes of it
            raise InvalidJwtError(type(error).__name__) from None
        if len(self.verified) >= MAX_VERIFIED:
            self.verified.pop(next(iter(self.verified)), None)
        self.verified[digest] = principal, expires
        return principal


def is_remote(source: str) -> bool:
    """Tells whether the source is a URL, and not a file."""
    return urlsplit(source).scheme in ("http", "https")


def load(source: str) -> bytes:
    """Returns the answer of a URL, or the contents of a file, which may be file://.

    Raises:
        SettingsError: the source cannot be read.
    """
    if is_remote(source):
        return _fetch(source)
    url = urlsplit(source)
    return read(Path(unquote(url.path) if url.scheme == "file" else source))


def _fetch(url: str) -> bytes:
    """Returns the answer of a URL. It follows no redirection, which could lead to any address, and uses no proxy."""
    try:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        with closing(kind(parts.hostname or "", parts.port, timeout=TIMEOUT)) as connection:
            connection.connect()
            with _ending(connection.sock, TIMEOUT) as ended:
                connection.request(
                    "GET", parts._replace(scheme="", netloc="", fragment="").geturl() or "/", headers=_HEADERS
                )
                answer = connection.getresponse()
                content = answer.read(MAX_BYTES + 1)
        if answer.status != 200:  # noqa: PLR2004, OK
            raise SettingsError(f"cannot get {url}: it answers {answer.status}")
        if len(content) > MAX_BYTES or ended.is_set():
            raise SettingsError(f"{url} answers more than {MAX_BYTES} bytes, or takes more than {TIMEOUT:g} s")
    except (OSError, HTTPException, ValueError) as error:
        raise SettingsError(f"cannot get {url}: {_told(error)}") from None
    return content


@contextmanager
def _ending(connected: socket.socket, seconds: float) -> Iterator[Event]:
    """Ends a connection after so many seconds, and sets the event: a timeout of the socket is that of each byte."""
    ended = Event()

    def end() -> None:
        ended.set()
        with suppress(OSError):  # the server has ended it
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # not that of ssl, which drops its state under a read

    timer = Timer(seconds, end)
    timer.start()
    try:
        yield ended
    finally:
        timer.cancel()
        timer.join()  # a process that has a thread must not fork


def _told(reason: object) -> str:
    """Returns an error's text in one line; what a server sent may be in it."""
    text = str(getattr(reason, "strerror", None) or reason or type(reason).__name__)
    return " ".join(text.split())[:MAX_NAME]


def parse(content: bytes, name: str) -> KeySet:
    """Returns the keys in a JSON Web Key Set, which messages call `name`.

    It leaves out keys that no JWT of ours can need: symmetric ones, those for encryption, and unknown kinds.

    Raises:
        SettingsError: it is no key set, has a private key, or has no key that can be used.
    """
    try:
        listed = json.loads(content)["keys"]
        keys = [_parse_key(each) for each in listed[:MAX_KEYS]]
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None
    except Exception:  # there are many ways not to be a key
        raise SettingsError(f"{name} is not a JSON Web Key Set (RFC 7517)") from None
    usable: dict[str, tuple[_Key, ...]] = {}
    for kid, key in keys:
        if key is not None:
            usable[kid] = (*usable.get(kid, ()), key)
    if not usable:
        raise SettingsError(f"{name} has no key for {', '.join(sum(_ALGORITHMS.values(), ()))}")
    return KeySet(usable)


def _parse_key(values: Mapping[str, Any]) -> tuple[str, _Key | None]:
    """Returns the id and the key; None in its place if no JWT of ours can need it."""
    kid = values.get("kid", "")
    if not isinstance(kid, str):
        raise TypeError(kid)
    kind = " ".join(values[name] for name in ("kty", "crv") if name in values)
    algorithms = _ALGORITHMS.get(kind, ())
    if "alg" in values:
        algorithms = tuple(name for name in algorithms if name == values["alg"])
    if not algorithms or values.get("use", "sig") != "sig":
        return kid, None
    if "d" in values:
        raise SettingsError(f"the key {kid!r} is a private key, which nobody but the issuer may have")
    key = jwt.PyJWK(dict(values), algorithms[0]).key
    if kind == "RSA" and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise SettingsError(f"the key {kid!r} has {key.key_size} bits, and not {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    return kid, _Key(key, algorithms)


def _claims(token: str, keys: tuple[_Key, ...], rules: Rules) -> dict[str, Any]:
    """Returns the claims of a JWT that one of the keys has signed. Raises InvalidTokenError."""
    for key in keys:
        with suppress(jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            return jwt.decode(
                token,
                key.key,
                algorithms=key.algorithms,
                issuer=rules.issuer,
                audience=rules.audience,
                leeway=LEEWAY,
                options={"require": _CLAIMS},
            )
    raise jwt.InvalidSignatureError


def _principal(claims: Mapping[str, Any], role_claim: str) -> Principal:
    """Returns the principal: its name is the subject, and its role is the greatest one that the claim names."""
    name = claims["sub"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidJwtError(f"its subject is not a text of 1 to {MAX_NAME} printable characters")
    named = claims.get(role_claim, [])
    names = named.split() if isinstance(named, str) else named if isinstance(named, list) else []
    role = max((VALUES.get(each, 0) for each in names if isinstance(each, str)), default=0)
    return Principal(name=name, role=role, kind="jwt")
