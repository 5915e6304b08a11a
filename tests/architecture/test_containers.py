"""The Dockerfiles and compose.yaml, without a Docker engine: their steps are run in a clean folder."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import PackagePath, distribution
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
from artemis_server.settings import Settings
from packaging.requirements import Requirement

from tests.benchmarks.deployment import settings

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
IMAGES = ("server", "loader")
PREFIX = "/opt/artemis"
OTHER = {"server": "artemis_loader", "loader": "artemis_server"}
"""Files that no image has."""


class Step(NamedTuple):
    """An instruction of a Dockerfile."""

    name: str
    text: str


def stages(image: str) -> list[list[Step]]:
    """Returns the instructions of each stage; the first is its FROM."""
    text = (ROOT / image / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    steps = [Step(*line.split(maxsplit=1)) for line in lines]
    starts = [index for index, step in enumerate(steps) if step.name == "FROM"]
    return [steps[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)]


def only(steps: list[Step], name: str) -> str:
    """Returns the text of the one instruction with this name."""
    (step,) = [step for step in steps if step.name == name]
    return step.text


SHARED = stages("server")[0]
LOCKED = (
    f"{PREFIX}/bin/python -m pip install --no-cache-dir --disable-pip-version-check"
    " --require-hashes --requirement requirements/serve.txt"
)
"""The Makefile has this step, too, so that what it installs is taken from our own environment."""


def build(steps: list[Step], work: Path, prefix: Path) -> None:
    """Runs steps of a first stage in a folder; the program goes to `prefix`."""
    work.mkdir()
    for step in steps:
        if step.name == "COPY":
            source, target = step.text.split()
            assert f"!{source.split('/')[0]}\n" in (ROOT / ".dockerignore").read_text(encoding="utf-8")
            copy(ROOT / source, work / target)
        elif step.text == LOCKED:
            install_locked(work / "requirements" / "serve.txt", prefix)
        elif step.name == "RUN":
            command = step.text.replace("python -m venv", f"{sys.executable} -m venv --without-pip")
            command = command.replace(f"{PREFIX}/bin/python -m pip", f"{sys.executable} -m pip --python {PREFIX}")
            command = command.replace(PREFIX, str(prefix))
            subprocess.run(shlex.split(command), cwd=work, check=True, capture_output=True, timeout=100)


def install_locked(requirements: Path, prefix: Path) -> None:
    """Links to the locked packages of our own environment, and to nothing else of it."""
    (target,) = prefix.glob("lib/python*/site-packages")
    for line in re.findall(r"^[^\s#-].*?==.*?(?= \\$)", requirements.read_text(encoding="utf-8"), re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        installed = distribution(requirement.name)
        assert requirement.specifier.contains(installed.version), line
        for name in linked(installed.files or []):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to(str(installed.locate_file(name)))


def linked(files: list[PackagePath]) -> set[PurePosixPath]:
    """Returns the folders that no other distribution has files in, and the files beside these, without programs."""
    own = {file.parent for file in files if len(file.parts) == 2 and file.name in ("__init__.py", "METADATA")}
    tops = {file: PurePosixPath(file.parts[0]) for file in files if ".." not in file.parts}
    return {top if top in own else file for file, top in tops.items()}


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "dist"))
    else:
        shutil.copy(source, target)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_images_can_be_built_and_their_programs_start(tmp_path: Path) -> None:
    """The locked dependencies, which the images have in common, are installed once."""
    base = tmp_path / "base"
    locked = SHARED.index(Step("RUN", LOCKED))
    common = SHARED[: locked + 1]
    build(common, tmp_path / "common", base)
    for image in IMAGES:
        steps = stages(image)[0]
        assert steps[: len(common)] == common
        prefix = tmp_path / image
        shutil.copytree(base, prefix, symlinks=True)
        build(steps[len(common) :], tmp_path / f"{image}-src", prefix)
        program, command, *_ = json.loads(only(stages(image)[1], "CMD"))
        for name in (command, "health"):
            helped = run([prefix / "bin" / program, name, "--help"])
            assert helped.stdout.startswith(f"usage: {program} {name}")
        assert run([prefix / "bin" / "python", "-c", f"import {OTHER[image]}"]).returncode != 0


def test_make_installs_the_locked_dependencies_as_the_images_do() -> None:
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\n.venv/.serve: ")[2].partition("\n\n")[0]
    assert " ".join(LOCKED.split()[-3:]) in rule


def run(command: list[str | Path]) -> "subprocess.CompletedProcess[str]":
    """Runs a program of an image, which finds no packages but its own."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_takes_the_program_from_its_first_stage(image: str) -> None:
    assert f"--from=build {PREFIX} {PREFIX}" in [step.text for step in stages(image)[1] if step.name == "COPY"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_special_and_tells_its_health(image: str) -> None:
    final = stages(image)[1]
    assert only(final, "USER") not in ("root", "0")
    health = json.loads(only(final, "HEALTHCHECK").partition(" CMD ")[2])
    assert health[:2] == [f"artemis-{image}", "health"]


def test_the_server_image_sets_settings_that_exist() -> None:
    settings = {f"ARTEMIS_{field.name.upper()}" for field in fields(Settings)}
    found = set(re.findall(r"ARTEMIS_[A-Z_]+(?==)", only(stages("server")[1], "ENV")))
    assert found
    assert found <= settings


@pytest.mark.parametrize("image", IMAGES)
def test_a_stage_begins_from_a_fixed_python(image: str) -> None:
    assert [stage[0].text.split()[0] for stage in stages(image)] == ["python:3.13-slim"] * 2


def test_compose_yaml_is_what_its_schema_asks_for() -> None:
    tool = Path(sys.executable).with_name("check-jsonschema")
    files = [ROOT / "compose.yaml", ROOT / "docs" / "deploy" / "ha" / "compose.yaml"]
    checked = run([tool, "--builtin-schema", "vendor.compose-spec", *files])
    assert checked.returncode == 0, checked.stdout


def test_the_benchmarks_know_how_compose_yaml_sets_up_its_database() -> None:
    assert settings().keys() == {"max_connections", "shared_buffers", "max_wal_size"}


def test_compose_yaml_builds_what_is_there() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    named = re.findall(r"dockerfile: (\S+)", text)
    assert set(named) == {f"{image}/Dockerfile" for image in IMAGES}
    assert (ROOT / "docs" / "samples" / "feeds.toml").is_file()
