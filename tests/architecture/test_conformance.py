"""The table of conformance names tests that exist, and each rule once."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileOptions

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", TABLE)))


@cache
def names_in(path: Path) -> set[str]:
    """Returns the names of the test functions in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_table_names_tests() -> None:
    assert len(NAMED) > 20


def test_every_named_test_exists() -> None:
    for name in NAMED:
        path, _, function = name.partition("::")
        found = names_in(ROOT / path)
        assert function in found if function else found, name


def test_every_row_that_is_followed_names_its_proof() -> None:
    followed = TABLE.partition("## Not followed")[0]
    rows = [line for line in followed.splitlines() if re.match(r"\| [0-9]", line)]
    assert rows
    for row in rows:
        assert "`" in row.rpartition(" | ")[2], row


@pytest.mark.parametrize("path", sorted(ROOT.glob("protos/artemis/v1/*.proto")), ids=lambda path: path.name)
def test_every_file_sets_the_same_packages_of_other_languages(path: Path) -> None:
    expected = FileOptions(
        csharp_namespace="Artemis.V1",
        go_package="artemis/v1;artemisv1",
        java_multiple_files=True,
        java_outer_classname=f"{path.stem.title().replace('_', '')}Proto",
        java_package="artemis.v1",
    )
    options = FileOptions()
    options.CopyFrom(import_module(f"artemis.v1.{path.stem}_pb2").DESCRIPTOR.GetOptions())
    assert expected == options
