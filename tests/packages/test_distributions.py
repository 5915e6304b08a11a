"""The wheels and sdists: what is in them, what they say of themselves, and that another build makes the same."""

import subprocess
import sys
import tarfile
import tomllib
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["workspace"]["members"]
MAX_CLIENT = 150 * 1024  # bytes


def project(package: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def stem(package: str) -> str:
    """Returns what the file names of a package's distributions begin with: artemis_client-0.1.0."""
    table = project(package)
    return f"{table['name'].replace('-', '_')}-{table['version']}"


def wheel_of(package: str, dist: Path) -> Path:
    return dist / f"{stem(package)}-py3-none-any.whl"


def sdist_of(package: str, dist: Path) -> Path:
    return dist / f"{stem(package)}.tar.gz"


def ours(package: str) -> dict[str, bytes]:
    """Returns the files of a package that are in the repository, by their names in its folder."""
    listed = subprocess.run(["git", "ls-files", "-z", "."], cwd=ROOT / package, capture_output=True, check=True)
    return {name: (ROOT / package / name).read_bytes() for name in listed.stdout.decode().split("\0") if name}


def modules(package: str) -> dict[str, bytes]:
    """Returns the files that an installation has of a package: `src/artemis_client/x.py` is artemis_client/x.py."""
    files = {name.removeprefix("src/"): content for name, content in ours(package).items()}
    return {name: content for name, content in files.items() if name.startswith(("artemis/", "artemis_"))}


def metadata(text: bytes) -> Message:
    return message_from_bytes(text)


def test_the_folder_has_a_wheel_and_an_sdist_of_every_package_and_the_contract(dist: Path) -> None:
    files = {path(package, dist).name for package in PACKAGES for path in (wheel_of, sdist_of)}
    contract = {"artemis.binpb", "artemis-protos-plain", "artemis-protos-plain.zip"}
    assert files | contract == {path.name for path in dist.iterdir() if path.name != ".gitignore"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_has_the_files_of_the_repository_and_no_others(package: str, dist: Path) -> None:
    with ZipFile(wheel_of(package, dist)) as wheel:
        found = {name: wheel.read(name) for name in wheel.namelist()}
    expected = modules(package)
    scripts = {"entry_points.txt"} if {"scripts", "entry-points"} & project(package).keys() else set()
    about = {f"{stem(package)}.dist-info/{name}" for name in {"METADATA", "RECORD", "WHEEL"} | scripts}
    assert expected.keys() | about == found.keys()
    assert expected == {name: found[name] for name in expected}
    assert [name for name in expected if name.count("/") == 1 and name.endswith("/py.typed")]


@pytest.mark.parametrize("package", PACKAGES)
def test_an_sdist_has_files_of_the_repository_and_all_that_an_installation_needs(package: str, dist: Path) -> None:
    with tarfile.open(sdist_of(package, dist)) as sdist:
        names = {name.removeprefix(f"{stem(package)}/") for name in sdist.getnames()}
    files = ours(package)
    needed = {name for name in files if name.removeprefix("src/") in modules(package)}
    assert needed | {"pyproject.toml", "README.md"} <= names
    assert names - files.keys() <= {"PKG-INFO", ".gitignore"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_says_what_the_package_is(package: str, dist: Path) -> None:
    table = project(package)
    with ZipFile(wheel_of(package, dist)) as wheel:
        found = metadata(wheel.read(f"{stem(package)}.dist-info/METADATA"))
    assert (found["Name"], found["Version"], found["Summary"], found["Requires-Python"]) == (
        table["name"],
        table["version"],
        table["description"],
        table["requires-python"],
    )
    assert sorted(table["classifiers"]) == sorted(found.get_all("Classifier", []))
    assert found["Description-Content-Type"] == "text/markdown"
    assert (ROOT / package / "README.md").read_text(encoding="utf-8") == found.get_payload()


@pytest.mark.parametrize("package", PACKAGES)
def test_another_build_makes_the_same_bytes(package: str, dist: Path, tmp_path: Path) -> None:
    """It makes the wheel from the repository. The wheels in dist/ were made from the sdists, so these are complete."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", "--outdir", tmp_path, "."]
    subprocess.run([*map(str, command)], cwd=ROOT / package, check=True, capture_output=True)
    for path in (wheel_of, sdist_of):
        assert path(package, tmp_path).read_bytes() == path(package, dist).read_bytes()


def test_the_wheel_of_the_client_is_small(dist: Path) -> None:
    assert wheel_of("client", dist).stat().st_size <= MAX_CLIENT
