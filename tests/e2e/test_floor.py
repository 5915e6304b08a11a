"""Our packages on the oldest dependencies that they support, which `make test` installs beside its own."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from artemis_client import ArtemisClient
from packaging.requirements import Requirement
from packaging.version import Version

from tests.e2e.command import MODULE, Command, terminal
from tests.e2e.samples import user
from tests.e2e.servers import PATIENCE, Server, environment, serving

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).resolve().parents[2]
FLOOR = ROOT / ".venv-floor"
CLIENT = FLOOR / "client" / "bin" / "python"
SERVICES = FLOOR / "services" / "bin" / "python"
WALK = Path(__file__).with_name("walk.py")
LIST = """
import json
from importlib.metadata import distributions

print(json.dumps([(each.name, each.version) for each in distributions()]))
"""
SAMPLES = ROOT / "docs" / "samples"
EXTRAS = """
[feeds.rooms]
url = "rooms.xlsx"
format = "xlsx"
entity = "events"

[feeds.rooms.xlsx]
sheet = "Bookings"
skip_lines = 2

[feeds.rooms.fields]
external_id = "No."
name = { key = "Purpose", replace = [["^Flea", "Book"]] }
location = { key = "Room", extract = "^[A-Z][a-z]+" }
start_time = "From"
end_time = "To"
"""
"""A feed that needs the extras xlsx and regex of the loader."""
EVENT = ("--name", "Walk", "--start-time", "2026-01-01T10:00:00Z", "--end-time", "2026-01-01T11:00:00Z")


def walk(server: Server, python: Path) -> None:
    """Calls every method with the client of an interpreter."""
    done = subprocess.run(
        [python, WALK, server.target], cwd=ROOT / "tests", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("python", [CLIENT, Path(sys.executable)], ids=["oldest", "newest"])
def test_the_client_works_on_its_dependencies(server: Server, python: Path) -> None:
    walk(server, python)


def test_the_command_works_on_its_oldest_dependencies(server: Server, tmp_path: Path) -> None:
    """In a terminal, where rich prints, and with a profile, which tomlkit writes."""
    command = Command(tmp_path, NO_COLOR="1")

    def shown(*arguments: str) -> str:
        with terminal([str(CLIENT), "-m", MODULE, *arguments], command.environment(), tmp_path) as screen:
            text = screen.read()
            assert screen.process.wait(PATIENCE) == 0, text
            return text

    (tmp_path / "users.jsonl").write_text(json.dumps({"email": user().email}), encoding="utf-8")
    shown("config", "set-profile", "floor", "--target", server.target)
    assert "name:        Walk" in shown("--profile", "floor", "events", "create", *EVENT)
    assert "Walk" in shown("--profile", "floor", "events", "list", "--filter", 'name = "Walk"')
    assert "created 1 user" in shown("--profile", "floor", "users", "import", "users.jsonl")


@pytest.mark.long
def test_the_services_work_on_their_oldest_dependencies(database_url: str, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "feeds.toml").open("a", encoding="utf-8") as feeds:
        feeds.write(EXTRAS)
    with serving(database_url, python=SERVICES) as server:
        walk(server, Path(sys.executable))
        load(database_url, tmp_path / "feeds.toml")
        with ArtemisClient(server.target) as client:
            rooms = client.events.list(filter='source = "rooms"')
            assert {(each.name, each.location) for each in rooms} == {
                ("Council", "Great"),
                ("Book market", "Yard"),
                ("Choir", "Small"),
            }
        assert server.stop() == 0
        assert "Traceback" not in server.log.text


def load(database_url: str, config: Path) -> None:
    """Loads feeds on the oldest dependencies."""
    loaded = subprocess.run(
        [SERVICES, "-m", "artemis_loader", "load", "--config", config, "--json"],
        env=environment() | {"ARTEMIS_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr


def test_the_test_kit_works_on_its_oldest_dependencies(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text("def test_adds(artemis):\n    assert artemis.add_event().id == 1\n")
    done = subprocess.run(
        [SERVICES, "-m", "pytest", tmp_path],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("python", "packages"), [(CLIENT, ["protos", "client"]), (SERVICES, ["models", "server", "loader", "testing"])]
)
def test_the_oldest_dependencies_are_the_declared_lower_bounds(python: Path, packages: list[str]) -> None:
    """Or the tests above would prove nothing of the ranges in the packages' pyproject.toml."""
    listed = subprocess.run([python, "-c", LIST], capture_output=True, text=True, check=True, timeout=60)
    installed = {name.lower().replace("_", "-"): Version(version) for name, version in json.loads(listed.stdout)}
    bounds = lower_bounds(packages)
    assert bounds == {name: installed[name] for name in bounds}


def lower_bounds(packages: list[str]) -> dict[str, Version]:
    """Returns the lowest versions of what packages depend on, without our own packages."""
    bounds: dict[str, Version] = {}
    for package in packages:
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {})
        for text in [*project["dependencies"], *(each for some in extras.values() for each in some)]:
            requirement = Requirement(text)
            if not requirement.name.startswith("artemis-") and (
                not requirement.marker or requirement.marker.evaluate()
            ):
                lowest = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
                bounds[requirement.name] = max([*lowest, bounds.get(requirement.name, Version("0"))])
    return bounds
