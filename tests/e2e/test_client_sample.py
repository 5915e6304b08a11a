"""The samples of the pages for consumers pass a type checker, and the client's runs, also a second time.

Types are checked in the environment that holds the client's dependencies alone, the oldest that it supports.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.servers import PATIENCE, Server
from tests.e2e.test_floor import CLIENT, ROOT

pytestmark = pytest.mark.acceptance

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
GIVEN = """from artemis_client import *
{0}def f(client: {1}ArtemisClient, event: Event, error: ArtemisError) -> None:
"""
MISTAKES = {
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
"""Mistakes, and what mypy says of them."""
ASYNCIO_MISTAKES = {
    "(await client.events.get(1)).nmae": '"Event" has no attribute "nmae"',
    "await client.events.create(User())": 'has incompatible type "User"; expected "Event"',
    "await client.events.get('1')": 'has incompatible type "str"; expected "int"',
    "client.events.get(1).name": '"Coroutine[Any, Any, Event]" has no attribute "name"',
    "client.events.delete(1)": 'Value of type "Coroutine[Any, Any, Event]" must be used',
    "client.events.update(event).name": '"Coroutine[Any, Any, Event]" has no attribute "name"',
    "for each in client.events.list(): pass": 'has no attribute "__iter__"',
    "async for each in client.events.watch(): pass": 'has no attribute "__aiter__"',
    "(await anext(await client.events.watch())).nmae": '"EventChange" has no attribute "nmae"',
    "AsyncArtemisClient('', token=3)": 'Argument "token" to "AsyncArtemisClient" has incompatible type "int"',
    "AsyncEventMirror(client).events[1].nmae": '"Event" has no attribute "nmae"',
    "AsyncEventMirror(client, {})": 'No overload variant of "AsyncEventMirror" matches argument types',
    "EventMirror(client)": 'No overload variant of "EventMirror" matches argument type "AsyncArtemisClient"',
}


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the samples, which are right, and with a wrong program for each client."""
    folder = tmp_path_factory.mktemp("consumer")
    for number, sample in enumerate([SAMPLE, *OTHER_SAMPLES]):
        (folder / f"right_{number}.py").write_text(sample, encoding="utf-8")
    for name, given, mistakes in (
        ("wrong.py", GIVEN.format("", ""), MISTAKES),
        ("wrong_asyncio.py", GIVEN.format("async ", "Async"), ASYNCIO_MISTAKES),
    ):
        (folder / name).write_text(given + "".join(f"    {each}\n" for each in mistakes), encoding="utf-8")
    return folder


@pytest.mark.long
def test_types_are_checked(consumer: Path) -> None:
    """The samples pass, and mistakes do not, so that nothing that a consumer calls is of type Any."""
    assert len(OTHER_SAMPLES) == 12
    files: list[str | Path] = [SEARCH, *sorted(consumer.glob("right*.py")), "wrong.py", "wrong_asyncio.py"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", CLIENT, "--cache-dir", CACHE, *files],
        cwd=consumer,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    errors = [line for line in done.stdout.splitlines() if " error: " in line]
    expected = [("wrong.py", each) for each in MISTAKES.values()]
    expected += [("wrong_asyncio.py", each) for each in ASYNCIO_MISTAKES.values()]
    assert sorted(each.partition(":")[0] for each in errors) == [name for name, _ in expected], done.stdout
    for (name, mistake), error in zip(expected, sorted(errors, key=_place), strict=True):
        assert error.startswith(name)
        assert mistake in error


def _place(error: str) -> tuple[str, int]:
    """Returns the file and the line of an error."""
    name, line, *_ = error.split(":")
    return name, int(line)


@pytest.mark.long
def test_pyright_checks_types_too(consumer: Path) -> None:
    """It finds each mistake, and none in the samples. basedpyright is pyright that needs no network."""
    settings = {
        "include": ["*.py"],
        "typeCheckingMode": "standard",
        "extraPaths": [str(ROOT / "client" / "src"), str(ROOT / "protos")],
        "reportUnusedCoroutine": "error",
    }
    (consumer / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--pythonpath", CLIENT, "--outputjson"],
        cwd=consumer,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = {
        (Path(each["file"]).name, each["range"]["start"]["line"])
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }
    assert found == {
        (name, 2 + number)
        for name, mistakes in (("wrong.py", MISTAKES), ("wrong_asyncio.py", ASYNCIO_MISTAKES))
        for number in range(len(mistakes))
    }, done.stdout
