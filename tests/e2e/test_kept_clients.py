"""Clients of past releases, kept as wheels, still get from the server what they expect (docs/contract.md)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Serve
from tests.e2e.servers import PATIENCE, environment

pytestmark = pytest.mark.acceptance

RELEASES = sorted((Path(__file__).parents[1] / "compatibility").iterdir())


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_kept_client_calls_every_method_of_its_contract(release: Path, serve: Serve) -> None:
    """A wheel of Python modules is imported as it is, without being installed."""
    server = serve("--log-sample", "1")
    wheels = os.pathsep.join(map(str, release.glob("*.whl")))
    command: list[str | Path] = [sys.executable, "-W", "error", release / "calls.py", server.target]
    done = subprocess.run(
        command,
        env=environment() | {"PYTHONPATH": wheels},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    server.stop()
    answered = re.findall(r"call method=(artemis\.v1\.\S+) code=(?:OK|CANCELLED)", server.log.text)
    unanswered = set(done.stdout.split()) - set(answered)
    assert unanswered == set()
