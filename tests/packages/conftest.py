"""The folder that `make build` tests, and servers to call."""

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import server

__all__ = ["server"]

ROOT = Path(__file__).parents[2]
collect_ignore_glob = [] if "ARTEMIS_DIST" in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def dist() -> Path:
    """The folder of what was built."""
    return ROOT / os.environ["ARTEMIS_DIST"]


@pytest.fixture(scope="session")
def generator() -> Path:
    """The Python that has protoc: `python -m grpc_tools.protoc`."""
    return ROOT / ".venv-proto" / "bin" / "python"
