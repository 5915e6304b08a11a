"""The public names of the packages, and the cost and the effects of importing them."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import artemis_client
import artemis_models
import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    ROOT / "protos" / "artemis",
    ROOT / "models" / "src",
    ROOT / "server" / "src",
    ROOT / "client" / "src",
    ROOT / "loader" / "src",
    ROOT / "testing" / "src",
)
GENERATED = ("_pb2.py", "_pb2_grpc.py")
STUBS = sorted(
    path for path in (ROOT / "protos" / "artemis").rglob("*.py*") if "_pb2" in path.name and path.suffix != ".pyc"
)
MODULES = sorted(path for source in SOURCES for path in source.rglob("*.py") if not path.name.endswith(GENERATED))
WATCHED = ("sqlite3.connect", "socket.bind", "socket.connect", "subprocess.Popen", "os.fork")
WATCH = f"""
import sys, threading

seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event in {WATCHED!r} else None)
"""
TELL = "print(sorted(set(seen)), threading.active_count())\n"
"""Prints what was opened since WATCH, and how many threads there are."""
NOTHING = "[] 1"
IMPORT_ALL = """
import importlib, pkgutil

for root in ROOTS:
    for module in pkgutil.walk_packages(importlib.import_module(root).__path__, root + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
OPEN = """
import sqlite3
sqlite3.connect(":memory:")
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
ROOTS = ("artemis", "artemis_models", "artemis_server", "artemis_client", "artemis_loader", "artemis_testing")


def run(code: str) -> "subprocess.CompletedProcess[str]":
    """Runs Python code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)


def run_without(packages: tuple[str, ...], code: str) -> "subprocess.CompletedProcess[str]":
    """Runs Python code where these packages cannot be imported."""
    return run(f"import sys\nsys.modules.update(dict.fromkeys({packages!r}))\n{code}")


def shown(module: ModuleType) -> set[str]:
    """Returns the names that a module shows: not those of its own modules, and none that begin with _."""
    return {
        name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }


@pytest.mark.parametrize("package", [artemis_client, artemis_models])
def test_a_package_shows_what_it_says_it_does(package: ModuleType) -> None:
    assert set(package.__all__) == shown(package)


@pytest.mark.parametrize("package", [artemis_client, artemis_models])
def test_what_a_package_shows_is_listed_once_and_in_order(package: ModuleType) -> None:
    assert sorted(set(package.__all__)) == package.__all__


SERVER_SIDE = ("sqlalchemy", "alembic", "protovalidate", "buf", "artemis_models", "artemis_server", "sqlite3")


def test_the_client_needs_nothing_of_the_servers_and_its_import_opens_nothing() -> None:
    use = "artemis_client.ArtemisClient('127.0.0.1:1').close()"
    done = run_without(SERVER_SIDE, f"{WATCH}import artemis_client\n{TELL}{use}")
    assert (done.returncode, done.stdout.splitlines()) == (0, [NOTHING]), done.stderr


def test_the_loader_starts_without_what_few_feeds_and_commands_need_and_its_import_opens_nothing() -> None:
    rare = ("apscheduler", "httpx", "prometheus_client", "tzlocal")
    done = run_without(rare, f"{WATCH}import artemis_loader.cli\n{TELL}")
    assert (done.returncode, done.stdout.splitlines()) == (0, [NOTHING]), done.stderr


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("sqlalchemy", "artemis_models"),
        ("buf", "buf.validate"),
        ("httpx", "artemis_loader.fetch.http"),
        ("tzlocal", "artemis_loader.formats.ics.reader"),
        ("apscheduler", "artemis_loader.schedule"),
        ("prometheus_client", "artemis_loader.report.metrics"),
    ],
)
def test_a_package_that_is_taken_away_is_missed(package: str, module: str) -> None:
    """The tests beside this one would notice."""
    done = run_without((package,), f"import {module}")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_the_stubs_need_no_buf_package() -> None:
    names = ", ".join(f"artemis.v1.{path.stem}" for path in STUBS if path.suffix == ".py")
    done = run_without(("buf", "protovalidate"), f"import {names}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.name)
def test_no_stub_imports_a_buf_package(path: Path) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imports_of(node)
    }
    assert imported, "a stub imports something"
    assert "buf" not in imported


def imports_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(source: Path) -> None:
    modules = [path for path in MODULES if source in path.parents]
    assert modules
    assert [path for path in modules if not _purpose(path).endswith((".", ":"))] == []


def _purpose(path: Path) -> str:
    """Returns the first paragraph of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].rstrip()


@pytest.mark.acceptance
def test_importing_opens_nothing_and_starts_nothing() -> None:
    """The second line shows that the first can be another."""
    done = run(f"ROOTS = {ROOTS!r}{WATCH}{IMPORT_ALL}{TELL}{OPEN}{TELL}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [NOTHING, "['sqlite3.connect'] 2"]


@pytest.mark.parametrize(
    "package", ["protos/artemis", *(f"{name}/src/artemis_{name}" for name in ("models", "server", "client", "testing"))]
)
def test_every_package_ships_its_types(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
