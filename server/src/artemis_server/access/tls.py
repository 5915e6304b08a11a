"""TLS: the server's certificate, its key and the authorities of clients. Each handshake takes what is in the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from artemis_server.access.files import Watched, read
from artemis_server.settings import SettingsError

_CURVES = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True)
class _Certificate:
    """The contents of the files, and when the server's certificate expires, in seconds since 1970."""

    contents: tuple[bytes, ...]
    expires: float


class Tls:
    """The certificate in files, which may change. A change holds for the connections that begin after it."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        """With `client_ca`, each client must have a certificate that one of these authorities has signed.

        Raises:
            SettingsError: a file cannot be used.
        """
        self._client_ca = client_ca
        paths = (cert, key) if client_ca is None else (cert, key, client_ca)
        self._files = Watched(
            "the certificate", lambda: tuple(read(path) for path in paths), lambda all_: _checked(all_, paths)
        )
        self.refresh = self._files.refresh
        self._given: _Certificate | None = None

    @property
    def expires(self) -> float:
        """The end of the certificate that serves, in seconds since 1970."""
        return self._files.value.expires

    def credentials(self) -> grpc.ServerCredentials:
        """Returns the credentials of a server. gRPC asks them for the present certificate at each handshake.

        Call it after the fork: a process with objects of gRPC must not fork (docs/adr/0024).
        """
        return grpc.dynamic_ssl_server_credentials(
            self._new(), self._new, require_client_authentication=self._client_ca is not None
        )

    def _new(self) -> Any:
        """Returns the certificate if it has changed since the last call; None otherwise, which costs gRPC less."""
        present = self._files.value
        if present is self._given:
            return None
        self._given = present
        chain, key, *client_ca = present.contents
        return grpc.ssl_server_certificate_configuration([(key, chain)], *client_ca)


def _checked(contents: tuple[bytes, ...], paths: Sequence[Path]) -> _Certificate:
    """Returns the certificate. Raises SettingsError if a handshake would fail."""
    chain, key, *client_ca = contents
    leaf = _certificates(chain, paths[0])[0]
    _check_pair(leaf, key, *paths[:2])
    for content in client_ca:
        _check_current(_certificates(content, paths[2]), paths[2])
    return _Certificate(contents, leaf.not_valid_after_utc.timestamp())


def _check_pair(leaf: x509.Certificate, key: bytes, chain_path: Path, key_path: Path) -> None:
    try:
        public = load_pem_private_key(key, None).public_key()
    except TypeError:
        raise SettingsError(f"{key_path} is encrypted: the server takes only a key that is not") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"{key_path} has no private key in PEM form") from None
    if not isinstance(public, RSAPublicKey | EllipticCurvePublicKey):
        raise SettingsError(f"{key_path} is neither an RSA nor an EC key, and gRPC takes no other")
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name not in _CURVES:
        raise SettingsError(f"{key_path} is on the curve {public.curve.name}, and gRPC takes only {', '.join(_CURVES)}")
    if public != leaf.public_key():
        raise SettingsError(f"{key_path} is not the key of the first certificate in {chain_path}")
    _check_current([leaf], chain_path)


def _certificates(content: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise SettingsError(f"{path} has no certificate in PEM form, or a broken one") from None


def _check_current(certificates: Sequence[x509.Certificate], path: Path) -> None:
    """Raises SettingsError if none of the certificates is valid today."""
    now = datetime.now(UTC)
    if all(each.not_valid_after_utc < now for each in certificates):
        raise SettingsError(f"{path} expired on {max(each.not_valid_after_utc for each in certificates)}")
    if not any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in certificates):
        raise SettingsError(f"{path} is not valid before {min(each.not_valid_before_utc for each in certificates)}")
