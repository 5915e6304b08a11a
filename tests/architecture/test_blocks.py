"""Every block of code of every page is run by a test, or is of a kind that is checked here. Any other block fails.

`tests/e2e/test_documents.py` runs commands and programs, and compares what they print.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

import artemis_loader.settings
import artemis_server.settings
import pytest
from sqlalchemy import create_engine, text

from tests.architecture.test_conformance import names_in as named_tests_in
from tests.architecture.test_documents import PAGES, ROOT
from tests.e2e.documents import steps_of
from tests.e2e.test_documents import RUN
from tests.telemetry.names import names_in as metrics_in

KIT = "tests/testing/test_plugin.py::test_the_examples_of_the_pages_pass_and_a_failed_test_shows_the_log_of_the_server"
ELSEWHERE = {
    "docs/extending.md": "tests/e2e/test_extending.py::test_the_steps_of_the_page_are_all_that_it_takes",
    "docs/other-languages.md": "tests/packages/test_other_languages.py::test_the_program_of_the_page_calls_the_server",
    "docs/recipes.md": "tests/e2e/test_recipes.py::test_every_recipe_prints_what_the_page_shows",
    "docs/testing.md": KIT,
    "testing/README.md": KIT,
    "docs/feeds.md": "tests/unit/test_loader_docs.py::test_an_example_of_the_page_can_be_read",
}
"""Pages all of whose blocks are tested by a test of their own, and that test."""
BLOCK = re.compile(r"^( *)(```+)(\w*)\n(.*?)^\1\2$", re.DOTALL | re.MULTILINE)
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 (INFO|WARNING|ERROR) artemis[\w.]*: .+")
PROVEN = {
    ("client/README.md", "UNAVAILABLE: connections"): "tests/e2e/test_client_errors.py::"
    "test_a_request_that_is_too_large_is_told_with_its_size_and_the_limit",
    ("docs/beyond-one-machine.md", "settings are right"): "tests/e2e/test_documents.py::"
    "test_the_steps_of_the_tutorial_on_servers_print_what_it_shows",
    ("docs/beyond-one-machine.md", "connections: 26"): "tests/e2e/test_documents.py::"
    "test_the_steps_of_the_tutorial_on_servers_print_what_it_shows",
}
"""Outputs that other tests compare: the page and the beginning of the block, and the test."""
PARSERS: dict[str, Callable[[list[str], dict[str, str]], object]] = {
    "server": artemis_server.settings.parse,
    "loader": artemis_loader.settings.parse,
}
DRAWINGS = {("docs/beyond-one-machine.md", "                   knows")}


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        """True if a test runs it, writes it as a file, or compares it with what a program prints."""
        if self.page in ELSEWHERE:
            return True
        if self.page not in RUN:
            return False
        return self.language in {"console", "python"} or self.text in files_and_outputs(self.page)

    def begins_as(self, places: "dict[tuple[str, str], str] | set[tuple[str, str]]") -> bool:
        """Tells whether it is one of these blocks, each named by its page and its beginning."""
        return any(page == self.page and self.text.startswith(beginning) for page, beginning in places)


@cache
def files_and_outputs(page: str) -> set[str]:
    """Returns the files of a page, and what its programs print."""
    steps = list(steps_of(page))
    return {each.source for each in steps if each.file} | {each.output or "" for each in steps if each.is_program}


def blocks_of(path: Path) -> Iterator[Block]:
    page = path.relative_to(ROOT).as_posix()
    for _, _, language, content in BLOCK.findall(path.read_text(encoding="utf-8")):
        yield Block(page, language, content)


ALL = [block for path in PAGES for block in blocks_of(path)]


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if "```" in path.read_text("utf-8")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_block_of_a_page_is_run_or_checked(path: Path) -> None:
    blocks = list(blocks_of(path))
    fences = re.findall(r"^ *```", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks)
    unknown = [block for block in blocks if not block.is_run and block.language not in CHECKS]
    assert unknown == [], "no test runs these blocks, and no check knows their kind"
    for block in blocks:
        if not block.is_run:
            CHECKS[block.language](block)


def test_every_output_that_another_test_proves_is_there() -> None:
    assert [place for place in PROVEN if not any(block.begins_as({place}) for block in ALL)] == []


@pytest.mark.parametrize("test", sorted({*ELSEWHERE.values(), *PROVEN.values()}))
def test_a_test_that_this_module_names_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert name in named_tests_in(ROOT / file)


def check_commands(block: Block) -> None:
    """Bash can read it, and what it calls of ours exists: targets of make, commands and flags, packages, files."""
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True, timeout=10)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", block.text)) <= set(targets)
    check_flags(block)
    named = re.findall(r"(?:subdirectory=|ARGS=|(?<=\s)\./|(?=docs/))([\w./-]+)", block.text)
    assert [each for each in named if not list(ROOT.glob(each.rstrip("-") + "*"))] == []


def check_flags(block: Block) -> None:
    """The commands of ours take the flags that the block gives them."""
    lines = block.text.replace("\\\n", " ").splitlines()
    for line in lines:
        for program, command, rest in re.findall(r"\bartemis-(server|loader) +([a-z]+)(.*)", line):
            assert set(re.findall(r"--[a-z][a-z-]+", rest)) <= flags_of(program, command), line


@cache
def flags_of(program: str, command: str) -> set[str]:
    """Returns the flags that --help of a command lists."""
    usage = StringIO()
    arguments = [command, "new", "--help"] if command == "token" else [command, "--help"]
    with redirect_stdout(usage), suppress(SystemExit):
        PARSERS[program](arguments, {})
    return set(re.findall(r"--[a-z][a-z-]+", usage.getvalue()))


def check_settings(block: Block) -> None:
    """It has the form NAME=VALUE, and each variable of ours is a setting of the server or the loader."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(f"[block]\n{block.text}")
    pages = (ROOT / "docs" / "operations.md", ROOT / "loader" / "README.md")
    known = {name for page in pages for name in re.findall(r"\| `(ARTEMIS_\w+)` \|", page.read_text(encoding="utf-8"))}
    ours = {name.upper() for name in parser["block"] if name.startswith("artemis_")}
    assert ours <= known
    assert parser["block"]


def check_text(block: Block) -> None:
    """It is a log, an output that another test compares, a drawing, or names of ours that exist."""
    if block.begins_as(PROVEN) or block.begins_as(DRAWINGS):
        return
    if block.text.startswith("artemis-loader "):
        check_flags(block)
    elif block.page == "docs/architecture.md":
        check_names(block)
    else:
        for line in block.text.splitlines():
            logged = json.loads(line) if line.startswith("{") else {}
            assert LOG_LINE.fullmatch(line) or {"time", "level", "logger", "message"} <= set(logged), line


def check_names(block: Block) -> None:
    """The page lists the packages, folders and modules that exist. A folder stands below the one that it is in.

    Of each package it lists all modules, and of each folder all folders.
    """
    sources = {path.name: path for path in (*ROOT.glob("*/src/artemis_*"), ROOT / "protos" / "artemis")}
    folders: list[Path] = []
    listed: dict[Path, set[str]] = {}
    for line in re.sub(r",\n +", ", ", block.text).splitlines():  # a list of modules may go on below
        if found := re.match(r"artemis-\w+ +import (\w+)", line):
            assert found[1] in sources, line
        elif found := re.fullmatch(r"( *)(\w+)/ +(.+)", line):
            depth = len(found[1]) // 2
            folders[depth:] = [folders[depth - 1] / found[2] if depth else sources[found[2]]]
            assert folders[depth].is_dir(), line
            listed[folders[depth]] = set(found[3].split(", ")) if depth == 0 else set()
            listed.get(folders[depth].parent, set()).add(found[2])
        else:
            assert line == "", line
    for folder, names in listed.items():
        assert names_below(folder, modules=folder in sources.values()) == names, folder


def names_below(folder: Path, *, modules: bool) -> set[str]:
    """Returns the packages of a folder, and with `modules` also its modules."""
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return packages | {path.stem for path in folder.glob("[!_]*.py") if modules}


def check_metrics(block: Block) -> None:
    """The page describes each metric of the query; a histogram has three, such as `NAME_bucket`."""
    page = (ROOT / block.page).read_text(encoding="utf-8")
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics_in(block.text)}
    assert names
    assert {name for name in names if f"`{name}`" not in page and not name.startswith("process_")} == set()


def check_sql(block: Block) -> None:
    """PostgreSQL runs it: see `test_statements_of_the_pages_run_on_postgresql`."""
    assert block in SQL


SQL = [block for block in ALL if block.language == "sql"]


def test_statements_of_the_pages_run_on_postgresql(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        for block in SQL:
            assert connection.execute(text(block.text)).all()
    engine.dispose()


CHECKS: dict[str, Callable[[Block], object]] = {
    "sh": check_commands,
    "toml": lambda block: tomllib.loads(block.text),
    "json": lambda block: json.loads(block.text),
    "ini": check_settings,
    "promql": check_metrics,
    "sql": check_sql,
    "text": check_text,
}
"""Checks of blocks that no test runs, by their language."""
