"""Access control as a whole: it is made from the settings, and identifies callers."""

from collections.abc import Callable, Mapping, Sequence

import grpc

from artemis_server.access.files import Refreshing, Reloader
from artemis_server.access.identities import Identities
from artemis_server.access.jwt_verifier import JwtVerifier, OnResult
from artemis_server.access.key_sets import Rules
from artemis_server.access.principal import Principal
from artemis_server.access.tls import Tls
from artemis_server.access.tokens import PREFIX, Tokens
from artemis_server.errors import Unauthenticated
from artemis_server.settings import Settings

HEADER = "authorization"
"""The metadata that has a bearer token (RFC 6750)."""
_SCHEME = "bearer "

Metadata = Sequence[tuple[str, str | bytes]]
Certificate = Callable[[], Mapping[str, Sequence[bytes]]]
"""Returns the properties of a client's certificate, as gRPC names them."""


class AccessControl:
    """TLS and authentication by the settings. Each process that serves makes its own."""

    def __init__(self, settings: Settings) -> None:
        """Reads all files, and the keys of JWTs from their URL.

        Raises:
            SettingsError: one of them cannot be used.
        """
        self._tls = tls_of(settings)
        self._tokens = None if settings.auth_tokens_file is None else Tokens(settings.auth_tokens_file)
        self._jwt = jwt_of(settings)
        self._identities = None if settings.auth_identities_file is None else Identities(settings.auth_identities_file)
        parts: tuple[Refreshing | None, ...] = (self._tls, self._tokens, self._identities)
        self._reloader = Reloader([part for part in parts if part is not None])

    @property
    def authenticates(self) -> bool:
        """Tells whether callers must authenticate."""
        return any(part is not None for part in (self._tokens, self._jwt, self._identities))

    def certificate_expiry(self) -> float:
        """Returns when the certificate that serves expires, in seconds since 1970; 0 without TLS."""
        return 0.0 if self._tls is None else self._tls.expires

    def credentials(self) -> grpc.ServerCredentials | None:
        """Returns the credentials of a server; None without TLS."""
        return None if self._tls is None else self._tls.credentials()

    def start(self) -> None:
        """Starts the threads that look at the files and keys."""
        self._reloader.start()
        if self._jwt is not None:
            self._jwt.start()

    def stop(self) -> None:
        """Ends the threads."""
        self._reloader.stop()
        if self._jwt is not None:
            self._jwt.stop()

    def identify(self, metadata: Metadata, certificate: Certificate) -> Principal | None:
        """Returns the caller by its bearer token, or without one by its certificate; None if only `verify` can tell.

        Raises:
            Unauthenticated: the caller has no credentials that are valid.
        """
        token = _bearer_token(metadata)
        if token is None:
            principal = None if self._identities is None else self._identities.find(certificate())
            if principal is None:
                raise Unauthenticated("CREDENTIALS_REQUIRED", _REQUIRED)
            return principal
        if self._tokens is not None and (self._jwt is None or token.startswith(PREFIX)):
            principal = self._tokens.find(token)
        elif self._jwt is not None:
            return self._jwt.find(token)
        else:
            principal = None
        if principal is None:
            raise Unauthenticated("CREDENTIALS_INVALID", INVALID)
        return principal

    def verify(self, metadata: Metadata, on_result: OnResult) -> bool:
        """Checks the JWT on another thread, which calls `on_result`. Returns False if too many JWTs wait for that."""
        token = _bearer_token(metadata)
        return self._jwt is not None and token is not None and self._jwt.verify(token, on_result)


def _bearer_token(metadata: Metadata) -> str | None:
    """Returns the bearer token in the metadata of a call: that of "Bearer abc" is "abc". Returns None without one.

    Raises:
        Unauthenticated: the metadata has another scheme, or several values.
    """
    found = [value for name, value in metadata if name == HEADER]
    if not found:
        return None
    value = found[0]
    if len(found) > 1 or not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated("CREDENTIALS_INVALID", INVALID)
    return value[len(_SCHEME) :].strip(" ")


def tls_of(settings: Settings) -> Tls | None:
    """Returns the TLS of the settings. Raises SettingsError if its files cannot be used."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def jwt_of(settings: Settings) -> JwtVerifier | None:
    """Returns the verifier of JWTs; None without --auth jwt. Raises SettingsError if the keys cannot be loaded."""
    source, issuer, audience = settings.auth_jwks_url, settings.auth_issuer, settings.auth_audience
    if source is None or issuer is None or audience is None:
        return None
    return JwtVerifier(source, Rules(issuer=issuer, audience=audience, role_claim=settings.auth_role_claim))


_REQUIRED = "the call has no credentials, and this server needs some"
INVALID = "the credentials are not valid"
