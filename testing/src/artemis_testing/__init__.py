"""A real Artemis server for the tests of its consumers, as fixtures of pytest: `artemis` and `artemis_factory`.

def test_creates_an_event(artemis):
    my_program.plan("Compiler day", target=artemis.target)
    assert [each.name for each in artemis.client.events.list()] == ["Compiler day"]
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artemis_testing.calls import RecordedCall
    from artemis_testing.clock import Clock
    from artemis_testing.faults import Faults
    from artemis_testing.process import ServerFailedError
    from artemis_testing.server import ArtemisServer

__all__ = ["ArtemisServer", "Clock", "Faults", "RecordedCall", "ServerFailedError"]
_MODULES = {
    "ArtemisServer": "server",
    "Clock": "clock",
    "Faults": "faults",
    "RecordedCall": "calls",
    "ServerFailedError": "process",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: pytest imports this package in every run, most of which need no server (PEP 562)."""
    if name == "__version__":
        return _version("artemis-testing")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
