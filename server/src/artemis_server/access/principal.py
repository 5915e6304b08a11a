"""The principal: who calls."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A caller whose credentials are valid."""

    name: str
    """Such as "billing", "spiffe://example.org/billing", or the subject of a JWT."""
    role: int
    """A value of artemis.v1.Role. A greater one includes the lesser."""
