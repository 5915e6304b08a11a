"""The metadata of the packages, for those who install them."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import artemis_client
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("protos", "models", "server", "client", "loader", "testing")
MAX_MODULES = 16
"""Modules of a folder beside its `__init__`; more of them are sorted into folders whose names say what is inside."""


def project(package: str) -> dict[str, Any]:
    text = (ROOT / package / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_and_for_whom(package: str) -> None:
    table = project(package)

    assert table["authors"] == [{"name": "The Artemis maintainers"}]
    assert table["description"]
    assert "artemis" in table["keywords"]
    assert (ROOT / package / table["readme"]).is_file()
    assert "Typing :: Typed" in table["classifiers"]
    assert f"Programming Language :: Python :: {table['requires-python'].removeprefix('>=')}" in table["classifiers"]


def test_the_client_knows_its_version() -> None:
    assert artemis_client.__version__ == version("artemis-client") == project("client")["version"]


def test_the_test_kit_needs_the_server_of_its_version() -> None:
    kit = project("testing")
    assert f"artemis-server=={project('server')['version']}" in kit["dependencies"]
    assert kit["version"] == project("server")["version"]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_newest_release_of_the_changelog_has_the_version_of_every_package(package: str) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d{2}-\d{2})?$", changelog, re.MULTILINE)
    assert ["Unreleased", project(package)["version"]] == releases[:2]


@pytest.mark.parametrize("package", PACKAGES[1:])  # the modules of protos are generated
def test_a_folder_has_few_enough_modules_to_read_its_list(package: str) -> None:
    folders = (folder for folder in (ROOT / package / "src").rglob("*") if folder.is_dir())
    modules = {folder: [path for path in folder.glob("*.py") if path.name != "__init__.py"] for folder in folders}
    assert [folder for folder, found in modules.items() if len(found) > MAX_MODULES] == []
