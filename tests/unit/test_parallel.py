"""The plugin that runs the tests in several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parallel import Shares

TESTS = """
import sys
import threading
import pytest

STDOUT = sys.stdout

@pytest.fixture(scope="module")
def shared():
    yield
    print("the fixture ends")

def test_passes(shared, tmp_path):
    assert (tmp_path / "file").write_text("a") == 1

def test_fails(shared):
    print("what it says", file=STDOUT)
    assert [1] == [2]

@pytest.mark.timeout(0.1)
def test_never_ends():
    threading.Event().wait()

@pytest.mark.skip(reason="for a reason")
def test_is_skipped(): ...

@pytest.mark.parametrize("number", range(6))
def test_numbers(number): ...
"""

LOSS = """
import os
import pytest

@pytest.mark.parametrize("number", range(5))
def test_ends_its_process(number):
    os._exit(7)
"""


def run(folder: Path, *flags: str, tests: str = TESTS) -> str:
    """Returns what pytest prints about tests of which some fail."""
    (folder / "test_some.py").write_text(tests, encoding="utf-8")
    command = (sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "tests.parallel")
    done = subprocess.run(
        [*command, "-rs", *flags, "--rootdir", folder, folder], env=dict(os.environ), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    return done.stdout


def test_every_result_is_reported(tmp_path: Path) -> None:
    printed = run(tmp_path, "-n", "3")

    assert "2 failed, 7 passed, 1 skipped" in printed
    assert "assert [1] == [2]" in printed
    assert "what it says" in printed
    assert "Timeout (>0.1s)" in printed
    assert "for a reason" in printed


def test_the_end_of_a_process_fails_its_test_and_the_tests_that_no_process_is_left_for(tmp_path: Path) -> None:
    printed = run(tmp_path, "-n", "2", tests=LOSS)

    assert "5 failed" in printed
    assert printed.count("its process ended with exit code 7") == 2
    assert printed.count("the process that was to run it has ended before") == 3


def test_no_test_begins_after_the_last_failure_that_may_be(tmp_path: Path) -> None:
    assert "1 failed" in run(tmp_path, "-n", "2", "-x", "-k", "fails or numbers").splitlines()[-1]


def test_each_test_is_taken_once() -> None:
    shares = Shares([[4, 0, 1, 2, 3], [], [5]])

    taken = [shares.take(process) for process in (0, 1, 2, 2, 1, 1, 0, 2)]

    assert sorted(each for each in taken if each is not None) == [0, 1, 2, 3, 4, 5]
    assert taken.count(None) == 2


def test_a_process_without_tests_takes_the_last_half_of_the_largest_share() -> None:
    shares = Shares([[0, 1, 2, 3], [4], []])

    assert [shares.take(2), shares.take(2)] == [2, 3]
    assert [shares.take(0), shares.take(0)] == [0, 1]


def test_none_is_left_after_all_were_given_up() -> None:
    shares = Shares([[0, 1], [2]])
    shares.clear()
    assert [shares.take(0), shares.take(1)] == [None, None]
