"""Writes the client without asyncio, `artemis_client/_sync`, from the asynchronous one, `artemis_client/_async`.

    python client/generate_sync.py            writes the modules
    python client/generate_sync.py --check    changes nothing, and fails if they are not what it would write

Both clients are one text this way. `async` and `await` are left out, and names lose their Async: AsyncWatch becomes
Watch, `__anext__` becomes `__next__`. What they do differently is in `io.py` of both, by hand.
The package unasync changes the tokens of a module but not its documentation, which names classes and tells of tasks.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "src" / "artemis_client"
RUFF = Path(sys.executable).with_name("ruff")
BY_HAND = "io.py"
NOTE = "# Made by client/generate_sync.py of _async/{name}: change that, and run `make client`.\n"
RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\basync (def|with|for)\b", r"\1"),
        (r"\bawait ", ""),
        (r"\b_async\b", "_sync"),
        (r"\bAsync(?=[A-Z])", ""),
        (r"\b(\w+)ServiceAsyncStub\b", r"\1ServiceStub"),
        (r"\bStopAsyncIteration\b", "StopIteration"),
        (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
        (r"\banext\(", "next("),
    ]
]
TEXTS = {
    "The asynchronous client, by hand. client/generate_sync.py makes `artemis_client._sync` of it.": (
        "The client without asyncio, made by client/generate_sync.py."
    ),
    "The tasks of one event loop may share it.": "Threads may share it.",
}
"""Sentences that are true of one client only."""


def converted(source: str) -> str:
    """Returns the module without asyncio.

    "async with AsyncWatch() as w: await anext(w)"  ->  "with Watch() as w: next(w)"
    """
    for text, replacement in TEXTS.items():
        source = source.replace(text, replacement)
    for pattern, replacement in RULES:
        source = pattern.sub(replacement, source)
    return source


def formatted(source: str) -> str:
    """Returns the module as ruff sorts its imports and breaks its lines."""
    name = ["--stdin-filename", str(PACKAGE / "_sync" / "module.py"), "-"]
    for command in (
        ["check", "--fix", "--unsafe-fixes", "--quiet", "--select", "I,F401,SIM117,UP028"],
        ["format", "--quiet"],
    ):
        done = subprocess.run([RUFF, *command, *name], input=source, capture_output=True, text=True, check=True)
        source = done.stdout
    return source


def generated() -> dict[Path, str]:
    """Returns the modules by their paths."""
    return {
        PACKAGE / "_sync" / path.name: formatted(NOTE.format(name=path.name) + converted(path.read_text("utf-8")))
        for path in sorted((PACKAGE / "_async").glob("*.py"))
        if path.name != BY_HAND
    }


def outdated() -> list[Path]:
    """Returns the modules that are not what is generated now, with those that nothing generates any more."""
    wanted = generated()
    present = {path: path.read_text("utf-8") for path in (PACKAGE / "_sync").glob("*.py") if path.name != BY_HAND}
    return sorted(path for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path))


def main() -> int:
    """Writes the modules, or checks them with --check."""
    wrong = outdated()
    if sys.argv[1:] == ["--check"]:
        for path in wrong:
            print(f"{path} is not what client/generate_sync.py writes; run `make client`")
        return bool(wrong)
    wanted = generated() if wrong else {}
    for path in wrong:
        if path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
