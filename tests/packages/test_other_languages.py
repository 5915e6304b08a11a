"""The programs of docs/other-languages.md do what the page says, with what `make build` made.

Java and Rust take minutes: `ARTEMIS_LANGUAGES=all make build` runs them as well. Where a toolchain is missing, or its
packages cannot be fetched, the test is skipped and says so.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from artemis_client import ArtemisClient

from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, Server, environment
from tests.packages.conftest import ROOT

PAGE = (ROOT / "docs" / "other-languages.md").read_text(encoding="utf-8")
TARGET = "127.0.0.1:50051"
"""The address that the page calls."""
TOOLS = {
    "Go": "go",
    "Node with proto-loader": "npm",
    "TypeScript with Connect": "npm",
    "TypeScript with ts-proto": "npm",
    "Java": "mvn",
    "Rust": "cargo",
}
SLOW = ("Java", "Rust")
BLOCK = re.compile(r"(?:^`([\w./]+)`:\n\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # Maven resets them even where it prints none
FETCHING, RUNNING = 120.0, 1200.0  # seconds; Rust compiles for minutes


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page: commands that fetch packages, commands that run the program, its files and its output."""

    fetch: str
    run: str
    files: dict[str, str]
    output: str


def blocks_of(title: str) -> list[tuple[str, str, str]]:
    """Returns the file names, languages and texts of the blocks of a section."""
    return BLOCK.findall(PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0])


def section(title: str) -> Section:
    blocks = blocks_of(title)
    fetch, run = (text for _, language, text in blocks if language == "sh")
    (output,) = (text for _, language, text in blocks if not language)
    return Section(fetch=fetch, run=run, files={name: text for name, _, text in blocks if name}, output=output)


@pytest.fixture
def workplace(dist: Path, generator: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with the two forms of the contract, and `protoc` in bin/."""
    folder = tmp_path / "caller"
    folder.mkdir()
    shutil.copytree(dist / "artemis-protos-plain", folder / "artemis-protos-plain")
    shutil.copy(dist / "artemis.binpb", folder)
    protoc = tmp_path / "bin" / "protoc"
    protoc.parent.mkdir()
    protoc.write_text(f'#!/bin/sh\nexec {generator} -I -m grpc_tools.protoc "$@"\n', encoding="utf-8")
    protoc.chmod(0o755)
    yield folder
    shutil.rmtree(folder)  # packages of hundreds of MiB


def shell(commands: str, folder: Path, timeout: float) -> "subprocess.CompletedProcess[str]":
    """Runs commands of the page; `protoc` and `buf` are those of this repository."""
    path = os.pathsep.join([str(folder.parent / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        ["sh", "-e", "-c", commands],
        cwd=folder,
        env=environment() | {"PATH": path, "BUF_CACHE_DIR": str(folder.parent / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and what it started
        process.communicate()
        raise
    return subprocess.CompletedProcess(commands, process.returncode, COLOURS.sub("", out), err)


def fetch(commands: str, folder: Path) -> None:
    """Runs the commands that fetch packages; skips the test if they cannot be fetched."""
    try:
        done = shell(commands, folder, FETCHING)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the packages were not fetched within {FETCHING:.0f} seconds")
    if done.returncode:
        pytest.skip(f"the packages cannot be fetched: {(done.stdout + done.stderr).strip()[-300:]}")


@pytest.mark.long
@pytest.mark.timeout(FETCHING + RUNNING + PATIENCE)
@pytest.mark.parametrize("title", TOOLS)
def test_the_program_of_the_page_calls_the_server(title: str, workplace: Path, server: Server) -> None:
    if title in SLOW and os.environ.get("ARTEMIS_LANGUAGES") != "all":
        pytest.skip("it takes minutes; ARTEMIS_LANGUAGES=all runs it")
    if not shutil.which(TOOLS[title]):
        pytest.skip(f"this machine has no {TOOLS[title]}")
    page = section(title)
    for name, text in page.files.items():
        assert TARGET in text or not name.startswith(("main.", "src/"))
        path = workplace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(TARGET, server.target), encoding="utf-8")
    fetch(page.fetch, workplace)
    done = shell(page.run, workplace, RUNNING)
    assert (done.returncode, done.stdout) == (0, page.output), done.stderr


@pytest.mark.parametrize("tool", ["grpcurl", "buf", "ghz"])
def test_the_tools_read_the_descriptor_set(tool: str, workplace: Path, server: Server) -> None:
    ((_, _, text),) = blocks_of("Command line tools")
    (command,) = (line for line in text.splitlines() if line.startswith(f"{tool} "))
    if tool != "buf" and not shutil.which(tool):
        pytest.skip(f"this machine has no {tool}")
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        made = client.events.create(event())
    done = shell(command.replace(TARGET, server.target).replace('"id": 1', f'"id": {made.id}'), workplace, PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert (f'"{made.name}"' in done.stdout) or ("[OK]" in done.stdout)
