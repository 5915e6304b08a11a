"""The steps of docs/extending.md, applied to a copy of the repository, make a server that has the additions."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.servers import READY, Server, environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
COPIED = ("Makefile", "pyproject.toml", "docs", "tests", "protos", "models", "server", "client", "loader")
PACKAGES = ("protos", "models/src", "server/src", "client/src", "loader/src", ".")
VERSIONS = Path("models/src/artemis_models/migrations/versions")
GENERATOR = ROOT / ".venv-proto"
FREEZE = "python -m tests.migrations.freeze"
"""It starts PostgreSQL, which takes seconds, so it runs once, for all new revisions."""
CHECKS = (
    "tests/migrations/test_schema.py",
    "tests/architecture/test_declarations.py",
    "tests/unit/test_loader_entities.py",
)
"""The tests that name a forgotten step, and pass when none is."""
PROGRAMS = {"python": [sys.executable], "make": ["make", "--old-file=.venv-proto/.done"]}
"""Programs of the page, as they run in a copy: with this interpreter, and the generator as it is installed."""
SAMPLES = "docs/samples/feeds.toml"
INSTRUCTION = re.compile(
    r"""
      In\ `(?P<file>[^`]+)`                                         # the file that the next instructions change
    | Make\ `(?P<made>[^`]+)`.*?```\w+\n(?P<content>.*?)\n\ +```
    | (?P<place>after|before)\ (?P<anchor>``\ .+?\ ``|`[^`]+`).*?```\w+\n(?P<added>.*?)\n\ +```
    | change\ (?P<old>``\ .+?\ ``|`[^`]+`)\s+to\s+(?P<new>``\ .+?\ ``|`[^`]+`)
    | Run\ `(?P<command>[^`]+)`
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass
class Tree:
    """A copy of the repository."""

    root: Path
    environment: dict[str, str]
    applied: int = 0

    def apply(self, section: str) -> None:
        """Follows the steps of a section of the page."""
        steps = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
        file = Path()
        for found in INSTRUCTION.finditer(steps):
            self.applied += 1
            if found["file"]:
                file = self.root / found["file"]
            elif found["made"]:
                self._make(found["made"], dedented(found["content"]))
            elif found["place"]:
                insert(file, found["place"], unquoted(found["anchor"]), dedented(found["added"]))
            elif found["old"]:
                replace(file, unquoted(found["old"]), unquoted(found["new"]))
            elif found["command"] != FREEZE:
                program, *arguments = found["command"].split()
                self.run(*PROGRAMS[program], *arguments)

    def run(self, *command: str | Path) -> None:
        """Runs a command in the copy."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _make(self, path: str, content: str) -> None:
        head = max(each.name[:4] for each in (self.root / VERSIONS).glob("0*.py"))
        values = {"NEXT": f"{int(head) + 1:04}", "HEAD": head} if "/versions/" in path else {}
        for name, value in values.items():
            path, content = path.replace(name, value), content.replace(name, value)
        assert not (self.root / path).exists()
        (self.root / path).write_text(content, encoding="utf-8")


def dedented(block: str) -> str:
    """Returns the block without the indentation of its list item."""
    return "".join(f"{line.removeprefix('   ')}\n" for line in block.splitlines())


def unquoted(code: str) -> str:
    """Returns the text of a code span; one that has backquotes itself stands between two of them and a blank."""
    return code[3:-3] if code.startswith("`` ") else code.strip("`")


def insert(file: Path, place: str, anchor: str, added: str) -> None:
    """Adds lines after or before the first line that has the anchor."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    index = next(index for index, line in enumerate(lines) if anchor in line)
    lines.insert(index + (place == "after"), added)
    file.write_text("".join(lines), encoding="utf-8")


def replace(file: Path, old: str, new: str) -> None:
    """Changes the only text of its kind."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy of the repository, whose packages come first on the path."""
    root = tmp_path / "copy"
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name)  # with what is compiled already
        else:
            root.mkdir(exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    (root / GENERATOR.name).symlink_to(GENERATOR)
    path = os.pathsep.join(str(root / package) for package in PACKAGES)
    return Tree(root, environment() | {"PYTHONPATH": path, "ARTEMIS_DATABASE_URL": f"sqlite:///{tmp_path}/artemis.db"})


@pytest.mark.timeout(170)
@pytest.mark.skipif(not GENERATOR.exists(), reason="`make test` installs the generator, on Python 3.11 to 3.13")
def test_the_steps_of_the_page_are_all_that_it_takes(tree: Tree, tmp_path: Path) -> None:
    for section in ("Add a field", "Add an entity", "Add a feed format"):
        tree.apply(section)
    command = [sys.executable, "-m", "artemis_server", "serve", "--listen", "127.0.0.1:0"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=tree.environment, stdout=pipe, stderr=pipe, text=True)
    server = Server(process, tmp_path / "artemis.db")
    try:
        tree.run(sys.executable, *FREEZE.split()[1:])
        tree.run(sys.executable, "-m", "pytest", "--quiet", "--numprocesses=0", "-k", "not postgresql", *CHECKS)
        server.log.wait_for(READY)
        tree.run(sys.executable, "-m", "artemis_loader", "load", "--config", SAMPLES, "--feed", "fairs")
        tree.run(sys.executable, "-m", "tests.e2e.extended", server.target)
    finally:
        server.end()
    assert "Traceback" not in server.log.text
