"""Finds the name of a server in its certificate, for a check that has the certificate and not the name."""

from cryptography import x509
from cryptography.x509.oid import NameOID


class CertificateError(Exception):
    """A certificate without a name; the text follows the name of its file."""


def name_of(pem: bytes) -> str:
    """Returns a name that gRPC finds in the first certificate of a PEM file: a DNS name, an address, or else the CN.

    The name of *.example.org is artemis.example.org.

    Raises:
        CertificateError: there is no certificate, or it has no such name.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise CertificateError("has no certificate in PEM") from None
    names = [*_alternative_names(certificate), *_common_names(certificate)]
    if not names:
        raise CertificateError("has no DNS name and no address, one of which every client of gRPC looks for")
    return names[0].replace("*", "artemis")


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _common_names(certificate: x509.Certificate) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
