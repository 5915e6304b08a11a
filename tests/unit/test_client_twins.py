"""The two clients have one shape, and the public names are these."""

import inspect
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import artemis_client
import pytest

PACKAGE = Path(artemis_client.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
MODULES = ("calls", "client", "events", "mirror", "pages", "resources", "source", "users", "watch")
RENAMED = {"Async": "", "__aenter__": "__enter__", "__aexit__": "__exit__", "__anext__": "__next__"}
SYNC_ONLY = "Threads may share it."
ASYNC_ONLY = "The tasks of one event loop may share it."


def generator() -> ModuleType:
    """Returns the program that writes the client without asyncio."""
    sys.path.insert(0, str(ROOT / "client"))
    try:
        return import_module("generate_sync")
    finally:
        sys.path.pop(0)
        sys.modules.pop("generate_sync", None)


def plain(text: str) -> str:
    """Returns a text of the asynchronous client as the other one has it."""
    for name, other in RENAMED.items():
        text = text.replace(name, other)
    text = text.replace(ASYNC_ONLY, SYNC_ONLY).replace("_async", "_sync").replace("aio.Channel", "Channel")
    return " ".join(re.sub(r"\b(async|await) ", "", text).split())


def members(kind: type[Any]) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("_") or name.endswith("__")}


def shape(kind: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Yields the names of a class with their parameters and documentation."""
    yield kind.__name__, "", inspect.getdoc(kind) or ""
    for name, value in members(kind).items():
        function = value.fget if isinstance(value, property) else value
        if inspect.isfunction(function):
            yield name, parameters(function), function.__doc__ or ""


def parameters(function: Any) -> str:
    """Returns the names, kinds and defaults of the parameters."""
    found = inspect.signature(function).parameters.values()
    return str([(each.name, each.kind, None if callable(each.default) else each.default) for each in found])


def classes(side: str, name: str) -> dict[str, type[Any]]:
    module = import_module(f"artemis_client.{side}.{name}")
    return {
        plain(name): kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_both_clients_have_the_same_names_parameters_and_documentation(name: str) -> None:
    with_asyncio, without = classes("_async", name), classes("_sync", name)

    assert with_asyncio.keys() == without.keys()
    for each, kind in with_asyncio.items():
        assert [tuple(map(plain, part)) for part in shape(kind)] == [
            tuple(" ".join(text.split()) for text in part) for part in shape(without[each])
        ]


def test_what_either_client_does_in_its_own_way_has_the_same_names() -> None:
    names = [
        {
            name
            for name in vars(import_module(f"artemis_client.{side}.io"))
            if re.match("[A-Z]|connect|limited|settled", name)
        }
        for side in ("_sync", "_async")
    ]
    used = {
        name
        for path in (PACKAGE / "_async").glob("*.py")
        for found in re.findall(r"_async\.io import ([\w, ]+)", path.read_text("utf-8"))
        for name in found.split(", ")
    }
    assert used - {"event_service", "user_service"} <= names[0] & names[1]


def test_the_client_without_asyncio_is_what_the_generator_writes() -> None:
    """Run `make client` if it is not."""
    assert generator().outdated() == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async def f() -> AsyncWatch: return await anext(x)", "def f() -> Watch: return next(x)"),
        ("async with AsyncArtemisClient() as c:", "with ArtemisClient() as c:"),
        ("async for x in y: raise StopAsyncIteration", "for x in y: raise StopIteration"),
        ("from artemis_client._async.io import A", "from artemis_client._sync.io import A"),
        ("def __aexit__(self): asynchronous", "def __exit__(self): asynchronous"),
        ("EventServiceAsyncStub", "EventServiceStub"),
    ],
)
def test_the_generator_takes_asyncio_out(source: str, expected: str) -> None:
    assert generator().converted(source) == expected


def test_every_sentence_that_the_generator_replaces_is_there() -> None:
    sources = "".join(path.read_text("utf-8") for path in (PACKAGE / "_async").glob("*.py"))

    assert [text for text in generator().TEXTS if text not in sources] == []


EXCEPTIONS = {
    "Aborted",
    "AlreadyExists",
    "ArtemisError",
    "Cancelled",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InternalError",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "ResumeTokenExpired",
    "Unauthenticated",
    "Unavailable",
}
TWINS = {"ArtemisClient", "EventMirror", "EventStore", "Pager", "Watch"}
SHARED = {
    "ChangeType",
    "Event",
    "EventChange",
    "Found",
    "Keepalive",
    "MemoryStore",
    "Page",
    "Retry",
    "User",
    "Violation",
}
FUNCTIONS = {"tls", "where"}
WRITES = {"create", "update", "delete"}
BATCHES = {"batch_get", "batch_create", "batch_update", "batch_delete"}
ATTRIBUTES = {
    "ArtemisClient": {"channel", "close", "position", "with_metadata"},
    "EventClient": {"get", "list", "get_many", "modify", "history", "watch", "list_and_watch"} | WRITES | BATCHES,
    "UserClient": {"get", "list", "get_many", "modify"} | WRITES | BATCHES,
    "EventMirror": {"close", "join", "synced", "wait_until_synced"},
    "Watch": {"close", "resume_token"},
}


def test_the_public_names_are_these() -> None:
    """A name that is added here is kept until the next major version; one that is missing breaks a program."""
    asynchronous = {f"Async{name}" for name in TWINS}

    assert set(artemis_client.__all__) == EXCEPTIONS | TWINS | asynchronous | SHARED | FUNCTIONS


@pytest.mark.parametrize("name", MODULES)
def test_the_public_attributes_are_these(name: str) -> None:
    for each, kind in classes("_sync", name).items():
        if each in ATTRIBUTES:
            ours = [base for base in kind.__mro__ if base.__module__.startswith("artemis_client")]
            assert {name for base in ours for name in vars(base) if not name.startswith("_")} == ATTRIBUTES[each]


def test_the_parts_of_a_client_are_attributes() -> None:
    with artemis_client.ArtemisClient("127.0.0.1:1") as client:
        assert {name for name in vars(client) if not name.startswith("_")} == {"events", "users"}


def test_the_package_is_small() -> None:
    """At most 150 KB in a wheel, which is a zip file."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
        for path in PACKAGE.rglob("*.py"):
            file.write(path, path.relative_to(PACKAGE.parent))

    assert len(wheel.getvalue()) <= 150_000


def test_an_import_leaves_out_what_takes_long_and_few_need() -> None:
    """`python -m tests.benchmarks.clients` measures it; this is a list of what was taken out."""
    program = "import sys, grpc; before = set(sys.modules); import artemis_client; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert {"importlib.metadata", "opentelemetry", "zipfile"} & set(done.stdout.split()) == set()
