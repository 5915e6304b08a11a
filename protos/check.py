"""Checks the contract: `buf lint`, `buf breaking`, and that the generated files are up to date.

`buf breaking` compares the contract with that of every kept release (docs/contract.md), and with its last state.
"""

import argparse
import filecmp
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

HERE = Path(__file__).resolve().parent
BUF_CONFIG = HERE / "buf.yaml"
RELEASES = HERE.parent / "tests" / "compatibility"
"""A folder for each kept release, with its wheels: that of artemis-protos has the .proto files."""
REFERENCE = HERE.parent / "docs" / "reference.md"


def main() -> int:
    """Runs the checks and returns the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buf", required=True, help="the buf binary")
    buf = parser.parse_args().buf
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        image = scratch / "now.binpb"
        generate("--image", str(image))
        failed = [
            run(buf, "lint", str(image), "--config", str(BUF_CONFIG)),
            *(breaking(buf, image, name, old) for name, old in earlier(scratch)),
            stale_stubs(scratch),
            stale_reference(scratch),
        ]
    return sum(map(bool, failed))


def generate(*options: str) -> None:
    """Runs generate.py."""
    subprocess.run([sys.executable, str(HERE / "generate.py"), *options], check=True)


def run(*command: str) -> int:
    """Runs a command and returns its exit code."""
    return subprocess.run(command, check=False).returncode


def breaking(buf: str, image: Path, name: str, old: Path) -> int:
    """Compares the contract with an earlier one, whose .proto files are below `old`."""
    before = old / "image.binpb"
    generate("--protos", str(old), "--image", str(before))
    print(f"buf breaking: compared with {name}")
    return run(buf, "breaking", str(image), "--against", str(before), "--config", str(BUF_CONFIG))


def earlier(scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yields the name of each earlier contract, and a folder with its .proto files."""
    wheels = sorted(RELEASES.glob("*/artemis_protos-*.whl"))
    if not wheels:
        raise SystemExit(f"there is no kept release in {RELEASES}")
    for wheel in wheels:
        folder = scratch / wheel.stem
        with ZipFile(wheel) as packed:
            packed.extractall(folder, [name for name in packed.namelist() if name.endswith(".proto")])
        yield f"release {wheel.parent.name}", folder
    revision = last_state()
    if revision:
        folder = scratch / revision
        folder.mkdir()
        archive = subprocess.run(["git", "archive", revision, "artemis"], cwd=HERE, check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
        yield f"commit {revision[:12]}", folder


def last_state() -> str | None:
    """Returns the newest commit of main whose contract differs from the one at hand, None if there is none."""
    for branch in ("origin/main", "main", "HEAD"):
        commits = git("log", "--format=%H", "--first-parent", branch, "--", "artemis/**/*.proto")
        if commits:
            break
    return next((each for each in commits if git("diff", "--name-only", each, "--", "artemis/**/*.proto")), None)


def git(*arguments: str) -> list[str]:
    """Returns the lines that git prints; none if it fails, as outside of a repository."""
    done = subprocess.run(["git", *arguments], cwd=HERE, check=False, capture_output=True, text=True)
    return done.stdout.split()


def stale_stubs(scratch: Path) -> int:
    """Generates the stubs anew and names those that differ from the committed ones."""
    fresh = scratch / "stubs"
    fresh.mkdir()
    generate("--out", str(fresh))
    names = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*_pb2*.py*"))
    committed = sorted(
        path.relative_to(HERE).as_posix() for path in HERE.rglob("*_pb2*.py*") if "__pycache__" not in path.parts
    )
    _, differ, missing = filecmp.cmpfiles(fresh, HERE, names, shallow=False)
    stale = [*differ, *missing, *sorted(set(committed) - set(names))]
    if stale:
        print(f"stubs that are not what the .proto files make: {', '.join(stale)}; run `make proto`")
    return len(stale)


def stale_reference(scratch: Path) -> int:
    """Writes the reference of the API anew and returns 1 if it differs from docs/reference.md."""
    fresh = scratch / "reference.md"
    run(sys.executable, str(HERE / "reference.py"), "--out", str(fresh))
    if REFERENCE.exists() and fresh.read_text(encoding="utf-8") == REFERENCE.read_text(encoding="utf-8"):
        return 0
    print("docs/reference.md is not what the .proto files make; run `make proto`")
    return 1


if __name__ == "__main__":
    sys.exit(main())
