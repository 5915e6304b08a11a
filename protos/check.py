"""Checks the contract: `buf lint`, `buf breaking` against the last state, and that generated files are up to date."""

import argparse
import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUF_CONFIG = HERE / "buf.yaml"
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
            breaking(buf, image, scratch),
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


def breaking(buf: str, image: Path, scratch: Path) -> int:
    """Compares with the newest commit of main whose contract differs from the one at hand, if there is one."""
    before = scratch / "before"
    before.mkdir()
    revision = last_state()
    if revision is None:
        print("buf breaking: there is no earlier state of the contract to compare with")
        return 0
    archive = subprocess.run(["git", "archive", revision, "artemis"], cwd=HERE, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(before)], input=archive, check=True)
    old = scratch / "before.binpb"
    generate("--protos", str(before), "--image", str(old))
    print(f"buf breaking: compared with {revision[:12]}")
    return run(buf, "breaking", str(image), "--against", str(old), "--config", str(BUF_CONFIG))


def last_state() -> str | None:
    """Returns the commit to compare with, None in a history without one."""
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
    if fresh.read_text(encoding="utf-8") == REFERENCE.read_text(encoding="utf-8"):
        return 0
    print("docs/reference.md is not what the .proto files make; run `make proto`")
    return 1


if __name__ == "__main__":
    sys.exit(main())
