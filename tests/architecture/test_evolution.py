"""`make lint` refuses a contract that breaks callers of a kept release, and takes additions (docs/contract.md)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / ".venv-proto" / "bin" / "python"
BUF = Path(sys.executable).with_name("buf")
BREAKS = (
    ("string publisher = 6 [", "string announcer = 15 ["),
    ("string etag = 14", "bytes etag = 14"),
    ("rpc DeleteEvent(", "rpc RemoveEvent("),
    ("TYPE_UPDATED = 2;", "TYPE_CHANGED = 2;"),
    ("stream WatchEventsResponse", "WatchEventsResponse"),
)
ADDITIONS = (
    ("bool caught_up = 3;", "bool caught_up = 3;\n\n  // Added.\n  int64 lag = 4;"),
    ("TYPE_UPDATED = 2;", "TYPE_UPDATED = 2;\n    // Added.\n    TYPE_MOVED = 4;"),
)


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """A copy of events.proto that may be changed, with what checks it."""
    if not GENERATOR.exists():
        pytest.skip("the generator of the stubs has no wheels for this Python")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("protos", "tests/compatibility"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path / "protos" / "artemis" / "v1" / "events.proto"


def changed(contract: Path, changes: tuple[tuple[str, str], ...]) -> str:
    """Returns what `make lint` says of a contract in which some texts are replaced by others."""
    text = contract.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    contract.write_text(text, encoding="utf-8")
    check = contract.parents[2] / "check.py"
    done = subprocess.run(
        [GENERATOR, check, "--buf", BUF], capture_output=True, text=True, timeout=100, check=False, cwd=check.parent
    )
    assert (done.returncode > 0, done.stderr) == (True, "")  # the stubs, at least, are not what the contract makes
    return done.stdout


def test_what_breaks_a_caller_is_refused(contract: Path) -> None:
    said = changed(contract, BREAKS)

    assert "compared with release 0.1.0" in said
    assert 'Previously present field "6" with name "publisher" on message "Event" was deleted.' in said
    assert 'Field "14" with name "etag" on message "Event" changed type from "string" to "bytes".' in said
    assert 'Previously present RPC "DeleteEvent" on service "EventService" was deleted.' in said
    assert 'Enum value "2" on enum "Type" changed name from "TYPE_UPDATED" to "TYPE_CHANGED".' in said
    assert 'RPC "WatchEvents" on service "EventService" changed from server streaming to server unary.' in said


def test_additions_are_taken(contract: Path) -> None:
    """All that is wrong with them are the generated files, which are to be made anew."""
    said = changed(contract, ADDITIONS).splitlines()

    assert said[0] == "buf breaking: compared with release 0.1.0"
    assert [line for line in said[1:] if not line.endswith("; run `make proto`")] == []
