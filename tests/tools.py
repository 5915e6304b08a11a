"""Programs that are not ours, which some tests run. `.ci/run` installs those that are missing."""

import os
import shutil
from pathlib import Path

import pytest

PACKAGES = {
    "bash": "Debian's package bash",
    "grpcurl": "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3",
    "initdb": "Debian's package postgresql",
    "jq": "Debian's package jq",
    "openssl": "Debian's package openssl",
    "pgbouncer": "Debian's package pgbouncer",
    "prometheus": "Debian's package prometheus",
    "promtool": "Debian's package prometheus",
    "systemd-analyze": "Debian's package systemd",
}
"""Each program, and the source that has it."""
_MORE_FOLDERS = (
    Path.home() / "go" / "bin",
    Path("/usr/sbin"),
    *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
)
"""Folders of such programs that the PATH of a user often lacks."""


def find(program: str) -> Path | None:
    """Returns the path of a program, None if the machine does not have it."""
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, _MORE_FOLDERS)])
    found = shutil.which(program, path=folders)
    return Path(found) if found else None


def needs(*programs: str) -> pytest.MarkDecorator:
    """Returns a mark that skips a test unless the machine has these programs. Its reason says where each comes from."""
    missing = [f"{each} ({PACKAGES[each]})" for each in programs if find(each) is None]
    return pytest.mark.skipif(bool(missing), reason=f"this machine has no {' and no '.join(missing)}")
