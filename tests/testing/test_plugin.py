"""The plugin in runs of pytest like those of consumers, and the examples of its pages."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "testing" / "README.md", ROOT / "docs" / "testing.md")
PLUGIN = ("-p", "artemis_testing.plugin", "-p", "no:cacheprovider")
"""Pytest finds the plugin by itself if the package is installed, and does not load it a second time."""
PATIENCE = 100.0
ISOLATED = """
import os
import signal

import pytest

@pytest.mark.parametrize("number", range(6))
def test_has_a_server_of_its_own(artemis, number):
    assert os.environ["ARTEMIS_TARGET"] == artemis.target
    assert "ARTEMIS_CA" not in os.environ
    assert list(artemis.client.events.list()) == []
    assert artemis.add_event().id == 1
    artemis.faults.drop_connection(calls=100)
    with open(os.environ["PYTEST_XDIST_WORKER"], "w") as file:
        file.write(artemis.target)

def test_has_its_worker_killed(artemis):
    artemis.add_event()
    os.kill(os.getpid(), signal.SIGKILL)
"""
FAILING = """
import os
import signal

def test_fails(artemis):
    assert list(artemis.client.users.list()) == []
    artemis.client.events.get(7)

def test_is_interrupted(artemis):
    artemis.add_event()
    os.kill(os.getpid(), signal.SIGINT)

def test_is_left_out():
    pass
"""


@pytest.fixture
def files(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the run of pytest."""
    folder = pytester.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_the_examples_of_the_pages_pass_and_a_failed_test_shows_the_log_of_the_server(
    pytester: pytest.Pytester, files: Path
) -> None:
    examples = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)]
    pytester.makepyfile(**{f"test_{number}": block for number, block in enumerate(examples)}, test_last=FAILING)

    result = pytester.runpytest_subprocess(*PLUGIN, "-W", "error", timeout=PATIENCE)

    result.assert_outcomes(passed=sum(len(re.findall("^def test_", block, re.M)) for block in examples), failed=1)
    result.stdout.fnmatch_lines(["*Captured artemis call*", "*UserService/ListUsers code=OK*", "*KeyboardInterrupt*"])
    assert left_in(files) == []  # after Ctrl-C


def test_the_first_examples_have_less_than_ten_lines() -> None:
    page = PAGES[1].read_text("utf-8")
    for text in (PAGES[0].read_text("utf-8"), page, page.partition("## asyncio")[2]):
        (first, *_) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert len(first.splitlines()) < 10


def test_each_worker_of_xdist_has_a_server_which_ends_when_the_worker_is_killed(
    pytester: pytest.Pytester, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTEMIS_CA", "/nowhere")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    pytester.makepyfile(ISOLATED)

    result = pytester.runpytest_subprocess(
        *PLUGIN, "-n", "2", "--dist", "each", "--max-worker-restart", "0", timeout=PATIENCE
    )

    assert result.parseoutcomes()["passed"] == 12
    targets = {(pytester.path / worker).read_text() for worker in ("gw0", "gw1")}
    assert len(targets) == 2
    wait_until(lambda: left_in(files) == [])
    for target in targets:
        host, _, port = target.partition(":")
        with socket.socket() as client:
            assert client.connect_ex((host, int(port))) != 0


def left_in(folder: Path) -> list[str]:
    """Returns the names of the servers' files that are left."""
    return [each.name for each in folder.iterdir() if each.name.startswith("artemis-testing-")]


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that another process does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_that_needs_no_server_imports_nothing_of_it() -> None:
    code = (
        "import sys, artemis_testing.plugin; print(sorted({'grpc', 'artemis_client', 'artemis'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
