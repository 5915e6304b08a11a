"""The client on the oldest dependencies that it supports, which `make test` installs beside its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.servers import Server

ROOT = Path(__file__).resolve().parents[2]
FLOOR = ROOT / ".venv-floor" / "bin" / "python"
WALK = Path(__file__).with_name("walk.py")


@pytest.mark.parametrize("python", [FLOOR, Path(sys.executable)], ids=["oldest", "newest"])
def test_the_client_works_on_its_dependencies(server: Server, python: Path) -> None:
    done = subprocess.run(
        [python, WALK, server.target], cwd=ROOT / "tests", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_oldest_dependencies_are_the_declared_lower_bounds() -> None:
    """Or the test above would prove nothing of the ranges in client/pyproject.toml."""
    declared = dict(re.findall(r'"(grpcio|protobuf)>=([\d.]+)', (ROOT / "client" / "pyproject.toml").read_text()))
    installed = subprocess.run(
        [FLOOR, "-c", "from importlib.metadata import version as v; print(v('grpcio'), v('protobuf'))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert installed == [declared["grpcio"], declared["protobuf"]]
