"""The steps of docs/extending.md, applied to a copy of the repository, make a server that has the additions."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.servers import READY, Server, environment

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
COPIED = ("Makefile", "pyproject.toml", "docs", "tests", "protos", "models", "server", "client", "loader", "testing")
PACKAGES = ("protos", "models/src", "server/src", "client/src", "loader/src", "testing/src", ".")
VERSIONS = Path("models/src/artemis_models/migrations/versions")
GENERATOR = ROOT / ".venv-proto"
ENTITIES = "tests/unit/test_loader_entities.py"
DECLARATIONS = "tests/architecture/test_declarations.py"
SURFACES = "tests/architecture/test_surfaces.py"
FROZEN = "tests/migrations/test_frozen.py"
CHECKS = (
    ENTITIES,
    DECLARATIONS,
    f"{SURFACES}::test_a_package_shows_what_it_says_it_does",
    f"{SURFACES}::test_what_a_package_shows_is_listed_once_and_in_order",
    f"{FROZEN}::test_the_newest_revision_is_frozen_too",
    "tests/architecture/test_conformance.py",
    "tests/migrations/test_schema.py",
    "tests/unit/test_masks.py::test_writable_fields_are_those_that_callers_may_set",
    "tests/unit/test_filters.py::test_these_are_all_the_fields",
    "tests/unit/test_filters.py::test_every_text_field_of_events_can_be_filtered",
)
"""The tests that name a forgotten step, and pass when none is; of the longer modules, those that see the fields."""
FORGOTTEN = (
    {
        ("Add a field", 6): (
            f"{ENTITIES}::test_an_entity_has_the_columns_of_its_table[events]",
            r"lacks columns of events.+?left set:\s+E\s+'url'",
        ),
        ("Add an entity", 9): (
            f"{DECLARATIONS}::test_the_server_answers_every_service_of_the_contract",
            "artemis.v1.VenueService",
        ),
        ("Add a feed format", 1): (
            f"{ENTITIES}::test_a_format_has_a_reader_and_options_of_a_feed[tsv]",
            "No module named 'artemis_loader.formats.tsv'",
        ),
    },
    {
        ("Add a field", 7): (
            f"{ENTITIES}::test_the_page_describes_every_field[events]",
            "docs/feeds.md does not describe the field url of events",
        ),
        ("Add a field", 8): (
            f"{ENTITIES}::test_a_sample_sets_every_field_that_callers_can_set[e2e event]",
            r"the sample lacks these fields.+?left set:\s+E\s+'url'",
        ),
        ("Add a feed format", 3): (
            f"{ENTITIES}::test_a_format_is_described_and_has_a_sample[tsv]",
            "docs/feeds.md does not name the format tsv",
        ),
    },
)
"""Steps that are forgotten together, by section and number; the test that fails then, and a pattern of its text."""
KEEPING = {"PYTHONDONTWRITEBYTECODE": ""}
"""Each process of a copy would compile all of it."""
PROGRAMS = {"python": [sys.executable], "make": ["make", "--old-file=.venv-proto/.done"]}
"""Programs of the page, as they run in a copy: with this interpreter, and the generator as it is installed."""
SAMPLES = "docs/samples/feeds.toml"
SECTIONS = ("Add a field", "Add an entity", "Add a feed format")
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


STEP = re.compile(r"^\d+\. .*?(?=^\S|\Z)", re.DOTALL | re.MULTILINE)
"""A step of a section: the first line has its number, the others are indented."""


def steps_of(section: str) -> list[str]:
    """Returns the numbered steps of a section of the page."""
    return STEP.findall(PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0])


@dataclass
class Tree:
    """A copy of the repository."""

    root: Path
    environment: dict[str, str]
    applied: int = 0
    commands: dict[str, None] = field(default_factory=dict)
    """The commands of the steps, each once: all of them may run after the last step."""

    def apply(self, step: str) -> None:
        """Follows a step of the page, but for its commands. Every piece of code in it must belong to an instruction."""
        assert "`" not in INSTRUCTION.sub("", step), f"a part of this step is no instruction:\n{step}"
        file = Path()
        for found in INSTRUCTION.finditer(step):
            if found["file"]:
                file = self.root / found["file"]
            elif found["made"]:
                self._make(found["made"], dedented(found["content"]))
            elif found["place"]:
                insert(file, found["place"], unquoted(found["anchor"]), dedented(found["added"]))
            elif found["old"]:
                replace(file, unquoted(found["old"]), unquoted(found["new"]))
            else:
                self.commands[found["command"]] = None
        self.applied += 1

    @contextmanager
    def without(self, step: str) -> Iterator[None]:
        """Undoes a step that was applied, and does it again at the end."""
        before: dict[Path, str] = {}
        file = Path()
        for found in INSTRUCTION.finditer(step):
            file = self.root / (found["file"] or found["made"] or file)
            before.setdefault(file, file.read_text(encoding="utf-8"))
            if found["made"]:
                file.unlink()
            elif found["place"]:
                replace(file, dedented(found["added"]), "")
            elif found["old"]:
                replace(file, unquoted(found["new"]), unquoted(found["old"]))
        yield
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")

    def expect_failures(self, steps: dict[tuple[str, int], tuple[str, str]]) -> None:
        """Undoes these steps, and runs the tests that must fail without them, each with its message."""
        with ExitStack() as undone:
            for section, number in steps:
                undone.enter_context(self.without(steps_of(section)[number - 1]))
            checked = self.check(*(test for test, _ in steps.values()))
        for step, (test, message) in steps.items():
            assert f"FAILED {test}" in checked.stdout, f"{test} passes without step {step}:\n{checked.stdout}"
            assert re.search(message, checked.stdout, re.DOTALL), f"step {step}:\n{checked.stdout}"

    def check(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs tests of the copy."""
        command = (
            sys.executable,
            "-m",
            "pytest",
            "--quiet",
            "--numprocesses=0",
            "-p",
            "no:cacheprovider",
            "-k",
            "not postgresql",
            *arguments,
        )
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

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
    return Tree(
        root, environment() | {"PYTHONPATH": path, "ARTEMIS_DATABASE_URL": f"sqlite:///{tmp_path}/artemis.db"} | KEEPING
    )


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not GENERATOR.exists(), reason="the pinned grpcio-tools has wheels for Python 3.11 to 3.13 only")
def test_the_steps_of_the_page_are_all_that_it_takes(tree: Tree, tmp_path: Path) -> None:
    for section in SECTIONS:
        for step in steps_of(section):
            tree.apply(step)
    assert len(re.findall(r"^\d+\. ", PAGE, re.MULTILINE)) == tree.applied
    for command in tree.commands:
        program, *arguments = command.split()
        tree.run(*PROGRAMS[program], *arguments)
    serve = [sys.executable, "-m", "artemis_server", "serve", "--listen", "127.0.0.1:0"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(serve, env=tree.environment, stdout=pipe, stderr=pipe, text=True)
    server = Server(process, tmp_path / "artemis.db")
    try:
        checked = tree.check(*CHECKS)
        assert checked.returncode == 0, checked.stdout
        server.log.wait_for(READY)
        tree.run(sys.executable, "-m", "artemis_loader", "load", "--config", SAMPLES, "--feed", "fairs")
        tree.run(sys.executable, "-m", "tests.e2e.extended", server.target)
    finally:
        server.end()
    assert "Traceback" not in server.log.text
    for steps in FORGOTTEN:
        tree.expect_failures(steps)
