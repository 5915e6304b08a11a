"""The client's distributions, installed where nothing else is, call every method, on every supported Python."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.servers import Server
from tests.packages.test_distributions import ROOT, project, sdist_of, wheel_of

WALK = ROOT / "tests" / "e2e" / "walk.py"
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
VERSION = re.compile(r"Programming Language :: Python :: (\d+\.\d+)")
PYTHONS = VERSION.findall("\n".join(project("client")["classifiers"]))
UV = Path(sys.executable).with_name("uv")


def interpreter(version: str) -> Path:
    """Returns a Python of this version; skips the test if the machine has none."""
    found = shutil.which(f"python{version}")
    candidates = [*sorted(PYENV.glob(f"{version}.*/bin/python")), *([Path(found)] if found else [])]
    for each in candidates:
        said = subprocess.run([each, "--version"], capture_output=True, text=True, check=False).stdout
        if said.startswith(f"Python {version}."):
            return each
    pytest.skip(f"this machine has no Python {version}")


def install(python: Path, folder: Path, *arguments: Path | str) -> Path:
    """Makes an environment and installs into it; returns its Python."""
    commands: tuple[list[Path | str], ...] = (
        [UV, "venv", "--quiet", "--python", python, folder],
        [UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *arguments],
    )
    for command in commands:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


def walk(python: Path, server: Server) -> None:
    """Calls every method. `-E` leaves out PYTHONPATH, which may lead to the sources."""
    done = subprocess.run([python, "-E", "-s", WALK, server.target], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheels_work_in_an_empty_environment(version: str, dist: Path, server: Server, tmp_path: Path) -> None:
    wheels = [wheel_of(package, dist) for package in ("protos", "client")]
    walk(install(interpreter(version), tmp_path / "env", "--no-build", *wheels), server)


def test_the_sdists_work_in_an_empty_environment(dist: Path, server: Server, tmp_path: Path) -> None:
    """Pip fetches the build backend for them."""
    sdists = [sdist_of(package, dist) for package in ("protos", "client")]
    walk(install(Path(sys.executable), tmp_path / "env", *sdists), server)
