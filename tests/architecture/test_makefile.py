"""The Makefile's set-up: it says what it does, and makes the environment anew for another Python."""

import os
import subprocess
from pathlib import Path

from tests.tools import PACKAGES

ROOT = Path(__file__).parents[2]


def planned(python: Path) -> str:
    """Returns the commands that `make serve` would run with this Python, and runs none of them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "serve", f"PYTHON={python}"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_another_python_makes_the_environment_anew_and_says_so(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 3.99\n")
    python.chmod(0o755)

    lines = planned(python).splitlines()

    assert 'echo "Making .venv with Python 3.99 ..."' in lines
    assert lines.index("rm -rf .venv") < lines.index(f"{python} -m venv .venv")
    assert [line for line in lines if line.startswith('echo "Installing what the server and the loader need')]


def test_ci_installs_the_programs_that_tests_need() -> None:
    """All but those that every Debian has."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    sources = {source.removeprefix("Debian's package ") for source in PACKAGES.values()} - {"bash", "systemd"}
    assert {source for source in sources if source not in script} == set()
