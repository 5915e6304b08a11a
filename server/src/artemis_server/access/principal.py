"""The principal: who calls."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A caller whose credentials are valid."""

    name: str
    """Such as "billing", "spiffe://example.org/billing", or the subject of a JWT."""
    role: int
    """A value of artemis.v1.Role, of which a greater one includes the lesser. 0 is no role."""
    kind: str = "token"
    """The credentials: "token", "jwt" or "certificate". Two principals of one name may differ in it."""
