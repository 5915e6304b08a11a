"""The samples of the pages for consumers pass a type checker, and the client's runs, also a second time.

Types are checked in the environment that holds the client's dependencies alone, the oldest that it supports.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.servers import PATIENCE, Server
from tests.e2e.test_floor import CLIENT, ROOT

SAMPLE, *OTHER_SAMPLES = (
    sample
    for page in ("client/README.md", "README.md", "docs/watching.md", "docs/tutorials/consumer.md")
    for sample in re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
)
SEARCH = ROOT / "docs" / "samples" / "event_search.py"
PRINTED = "Compiler day 2030-05-04 09:00:00+00:00\n"


def run(python: Path, target: str) -> str:
    """Runs the sample on a server and returns what it prints; it must not fail."""
    code = SAMPLE.replace("127.0.0.1:50051", target)
    assert code != SAMPLE
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("python", [CLIENT, Path(sys.executable)], ids=["oldest", "newest"])
def test_the_sample_runs_again_and_again(server: Server, python: Path) -> None:
    first, second = run(python, server.target), run(python, server.target)

    assert first.endswith(PRINTED)
    assert second.endswith(PRINTED * 2)
    assert second.startswith("user.email: another user has the address grace@example.com\n")


CACHE = ROOT / ".mypy_cache" / "samples"
"""Keeps between runs the facts that mypy finds about the libraries."""


@pytest.mark.long
def test_types_are_checked(tmp_path: Path) -> None:
    """The samples pass, and mistakes do not, so that nothing that a consumer calls is of type Any."""
    mistakes = {
        'Event(nmae="x")': 'Unexpected keyword argument "nmae" for "Event"',
        "Event(start_time=3)": 'Argument "start_time" to "Event" has incompatible type "int"',
        "event.nmae": '"Event" has no attribute "nmae"',
        "event.start_time.minutes": '"datetime" has no attribute "minutes"',
        "client.events.create(User())": 'has incompatible type "User"; expected "Event"',
        "client.events.get('1')": 'has incompatible type "str"; expected "int"',
        "error.code.nmae": '"StatusCode" has no attribute "nmae"',
        "ArtemisClient('', credentials=3)": 'has incompatible type "int"; expected "ChannelCredentials | None"',
        "ArtemisClient('', token=3)": 'has incompatible type "int"; expected "str | Callable[[], str] | None"',
        "next(client.events.watch()).nmae": '"EventChange" has no attribute "nmae"',
        "EventMirror(client).events[1].nmae": '"Event" has no attribute "nmae"',
        "EventMirror(client, {})": 'No overload variant of "EventMirror" matches argument types',
        "event.name = ''": 'Property "name" defined in "Event" is read-only',
        "where('id = {}', None)": 'Argument 2 to "where" has incompatible type "None"',
        "client.events.modify(1, str)": 'Argument 2 to "modify"',
        "client.users.get_many([1])[1].name": '"User" has no attribute "name"',
        "next(client.events.list().pages()).items[0].email": '"Event" has no attribute "email"',
        "tls(3)": 'has incompatible type "int"; expected "str | PathLike[str] | None"',
    }
    given = "from artemis_client import *\ndef f(client: ArtemisClient, event: Event, error: ArtemisError) -> None:\n"
    (tmp_path / "right.py").write_text(SAMPLE, encoding="utf-8")
    for number, sample in enumerate(OTHER_SAMPLES):
        (tmp_path / f"right_{number}.py").write_text(sample, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(given + "".join(f"    {each}\n" for each in mistakes), encoding="utf-8")
    assert len(OTHER_SAMPLES) == 11
    files: list[str | Path] = [SEARCH, *sorted(tmp_path.glob("right*.py")), "wrong.py"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", CLIENT, "--cache-dir", CACHE, *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    errors = [line for line in done.stdout.splitlines() if " error: " in line]
    assert [each.partition(":")[0] for each in errors] == ["wrong.py"] * len(mistakes)
    for mistake, error in zip(mistakes.values(), errors, strict=True):
        assert mistake in error
