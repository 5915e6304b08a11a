"""Records the answers of other implementations, in Node: `python -m tests.calendars FOLDER`.

FOLDER is one in which `npm install ical.js rrule` was run.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.calendars import cases

HERE = Path(__file__).parent
ANSWERS = HERE / "answers.json"


def record(modules: Path) -> None:
    """Writes the rules and zones with the answers, and the versions of the implementations."""
    rules, zones = cases.rules(), cases.zones()
    asked = {"rules": rules, "zones": zones, "size": cases.SIZE}
    command = ["node", str(HERE / "others.mjs"), str(modules.resolve())]
    run = subprocess.run(command, input=json.dumps(asked), check=True, capture_output=True, text=True)
    answers = json.loads(run.stdout)
    versions = {
        name: json.loads((modules / "node_modules" / name / "package.json").read_text())["version"]
        for name in ("ical.js", "rrule")
    }
    lines = [
        *(json.dumps(case | answer) for case, answer in zip(rules, answers["rules"], strict=True)),
        *(json.dumps(case | {"ical.js": answer}) for case, answer in zip(zones, answers["zones"], strict=True)),
    ]
    ANSWERS.write_text(f"[{json.dumps(versions)},\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
