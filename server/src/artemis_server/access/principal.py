"""The principal: the caller, once its credentials are known to be valid."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A caller whose credentials are valid."""

    name: str
    """The name of a token or of a certificate, such as "spiffe://example.org/billing", or the subject of a JWT."""
    role: int
    """A value of artemis.v1.Role, of which a greater one includes the lesser. 0 is no role."""
    kind: str = "token"
    """The kind of the credentials: "token", "jwt" or "certificate". Principals of one name may differ in it."""
