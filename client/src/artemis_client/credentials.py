"""Credentials: the certificates of a connection, and the token that tells the server who calls.

The token goes into the metadata of a call. gRPC's own call credentials start a thread for each call (1.6 times the CPU
of client and server together), work over TLS alone, and try a provider that fails again until the deadline, which then
hides the cause.
"""

import os
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from artemis_client.errors import Unauthenticated

PemFile: TypeAlias = str | os.PathLike[str]
TokenProvider: TypeAlias = Callable[[], str]
AsyncTokenProvider: TypeAlias = Callable[[], str] | Callable[[], Awaitable[str]]
AnyTokenProvider: TypeAlias = Callable[[], Any]
"""One of these: what it returns is checked for each call."""
_TOKEN = re.compile(r"[!-~]+")  # visible ASCII: no character that separates or ends the values of a header
_ADDRESS = r"(localhost|127(\.[0-9]{1,3}){3}|(\[|%5B)::1(\]|%5D))(:[0-9]+)?"
_LOCAL = re.compile(rf"unix(-abstract)?:.+|(dns:(///)?|ipv4:|ipv6:)?{_ADDRESS}(,{_ADDRESS})*", re.IGNORECASE)
"""Targets such as "localhost:50051", "dns:///[::1]:50051" and "unix:/run/artemis.sock"."""


def tls(ca: PemFile | None = None, cert: PemFile | None = None, key: PemFile | None = None) -> grpc.ChannelCredentials:
    """Returns the credentials of a connection with TLS. The files are in PEM, and are read once.

    `ca` has the certificates of the authorities that the client trusts. Without it, these are the public ones that
    grpcio brings along. `cert` and `key` are the client's own certificate and its private key (mTLS).

    Raises:
        OSError: a file cannot be read.
        ValueError: a file has the wrong content, or only one of `cert` and `key` is given.
    """
    if (cert is None) != (key is None):
        raise ValueError("cert and key belong together: give both, or neither")
    roots, chain, private = (None if path is None else Path(path).read_bytes() for path in (ca, cert, key))
    _check(ca, cert, key)
    return grpc.ssl_channel_credentials(roots, private, chain)


def _check(ca: PemFile | None, cert: PemFile | None, key: PemFile | None) -> None:
    """Raises ValueError if gRPC cannot use the files. gRPC itself would only say that it cannot connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    wrong = f"{ca} has no certificate in PEM"
    try:
        if ca is not None:
            context.load_verify_locations(ca)
        wrong = f"{cert} and {key} are not a certificate and its unencrypted key in PEM"
        if cert is not None:
            context.load_cert_chain(cert, key, password="")  # or OpenSSL asks the terminal for one
    except ssl.SSLError as error:
        raise ValueError(f"{wrong}: {error}") from None


def is_local(target: str) -> bool:
    """Tells whether a target of gRPC is this machine. If it has several addresses, all of them must be."""
    return _LOCAL.fullmatch(target) is not None


def provider_of(token: str | AnyTokenProvider) -> AnyTokenProvider:
    """Returns the function that gives each call its token.

    Raises:
        TypeError: `token` is neither a string nor a function.
        ValueError: `token` is a string that cannot be a token.
    """
    if isinstance(token, str):
        given = checked_token(token)
        return lambda: given
    if not callable(token):
        raise TypeError(f"token must be a string or a function that returns one, not {type(token).__name__}")
    return token


@contextmanager
def token_errors() -> Iterator[None]:
    """Raises the errors of a token provider inside of it as Unauthenticated."""
    try:
        yield
    except Exception as error:
        message = f"the token provider failed: {type(error).__name__}: {error}"
        raise Unauthenticated(grpc.StatusCode.UNAUTHENTICATED, message) from error


def checked_token(token: str) -> str:
    """Returns the token. Raises an error that does not show it; the error of gRPC would."""
    if not isinstance(token, str):
        raise TypeError(f"a token is a string, not {type(token).__name__}")
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token has one or more visible ASCII characters, and no space or end of line")
    return token
