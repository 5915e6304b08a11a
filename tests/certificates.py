"""Certificates for tests: an authority that signs them in a moment, because its keys are on elliptic curves."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Files(NamedTuple):
    """The files of a pair."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM form."""

    cert: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> Files:
        """Writes the two files, and returns their paths."""
        cert, key = folder / f"{name}.crt", folder / f"{name}.key"
        cert.write_bytes(self.cert)
        key.write_bytes(self.key)
        return Files(cert, key)

    def credentials(self, trusted: bytes) -> grpc.ChannelCredentials:
        """Returns those of a client that has this pair, and trusts an authority."""
        return grpc.ssl_channel_credentials(trusted, self.key, self.cert)


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "Test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._cert = self._sign(self._name, self._key, -DAY, DAY, x509.BasicConstraints(ca=True, path_length=None))

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self._cert.public_bytes(Encoding.PEM)

    def write(self, folder: Path) -> Path:
        """Writes its own certificate, and returns the path."""
        file = folder / "authority.crt"
        file.write_bytes(self.pem)
        return file

    def server(self, begins: timedelta = -DAY, ends: timedelta = DAY) -> Pair:
        """Returns the pair of a server on this machine; the times are from now on."""
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        return self._pair("server", begins, ends, names)

    def client(self, name: str = "billing", uri: str = "", *, begins: timedelta = -DAY, ends: timedelta = DAY) -> Pair:
        """Returns the pair of a client with this common name, and with a URI if one is given."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)] if uri else [x509.DNSName(name)])
        return self._pair(name, begins, ends, names)

    def issue(self, folder: Path, name: str, *names: x509.GeneralName, ends: timedelta = DAY) -> Files:
        """Writes a pair with this common name and these alternative ones; returns the files."""
        extension = x509.SubjectAlternativeName(names) if names else x509.BasicConstraints(ca=False, path_length=None)
        return self._pair(name, -2 * DAY, ends, extension).write(folder, name or "nameless")

    def credentials(self, pair: Pair | None = None) -> grpc.ChannelCredentials:
        """Returns what a client needs that trusts this authority, and has this pair."""
        return grpc.ssl_channel_credentials(self.pem) if pair is None else pair.credentials(self.pem)

    def _pair(self, name: str, begins: timedelta, ends: timedelta, extension: x509.ExtensionType) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(_named(name), key, begins, ends, extension)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(cert.public_bytes(Encoding.PEM), pem)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        begins: timedelta,
        ends: timedelta,
        extension: x509.ExtensionType,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number(), now + begins, now + ends
        )
        return builder.add_extension(extension, critical=False).sign(self._key, SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
