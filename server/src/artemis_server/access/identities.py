"""Client certificates: the name of a certificate, and the role that the identities file gives to it.

[[identity]]
name = "spiffe://example.org/billing"
role = "writer"

[[identity]]
name = "CN=reports"
role = "reader"
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from artemis_server.access.files import Watched, read
from artemis_server.access.principal import Principal
from artemis_server.access.roles import VALUES
from artemis_server.access.toml_entries import entries
from artemis_server.settings import SettingsError

_SPIFFE = "spiffe://"
_COMMON_NAME = "CN="


class Identities:
    """The roles of client certificates in a file, which may change."""

    def __init__(self, path: Path) -> None:
        """Raises: SettingsError, if the file cannot be read or is malformed."""
        self._principals = Watched("the identities", lambda: (read(path),), lambda all_: parse(all_[0], path))
        self.refresh = self._principals.refresh

    def find(self, context: Mapping[str, Sequence[bytes]]) -> Principal | None:
        """Returns the principal of a client's certificate; None if there is none, or the file does not name it.

        `context` has the properties of the certificate, as gRPC names them. If it has a SPIFFE id, the common name
        does not count.
        """
        name = _name(context)
        return None if name is None else self._principals.value.get(name)


def _name(context: Mapping[str, Sequence[bytes]]) -> str | None:
    """Returns the name that stands in the file, such as "CN=reports", of the certificate that gRPC has verified."""
    spiffe, common = context.get("peer_spiffe_id", ()), context.get("x509_common_name", ())
    if len(spiffe) == 1:
        return spiffe[0].decode(errors="replace")
    if any(uri.lower().startswith(_SPIFFE.encode()) for uri in context.get("peer_uri", ())):
        return None  # gRPC takes none of several, nor a malformed one
    return _COMMON_NAME + common[0].decode(errors="replace") if len(common) == 1 else None


def parse(content: bytes, path: Path) -> dict[str, Principal]:
    """Returns the principals of an identities file by their names.

    Raises:
        SettingsError: the file is malformed.
    """
    found: dict[str, Principal] = {}
    for where, entry in entries(content, path, "identity", {"name": str, "role": str}, {}):
        name = entry["name"]
        if not name.startswith((_SPIFFE, _COMMON_NAME)) or not name.isprintable():
            raise SettingsError(f"{where}: the name is neither a SPIFFE id, such as spiffe://..., nor CN=...")
        if name in found:
            raise SettingsError(f"{where} has the name of an earlier identity")
        found[name] = Principal(name=name, role=VALUES[entry["role"]], kind="certificate")
    return found
