"""Attacks the server and prints a line for each attack, then lets everything happen at once for a while.

The server is `artemis-server serve` with its defaults; after an attack that harmed it, a new one is started. An
innocent caller in a process of its own gets, creates, asks for the health and connects meanwhile: what it sees is what
counts.
"""

import argparse
import sys
from pathlib import Path

from tests.robustness.program import SHORT_SECONDS, Program
from tests.robustness.table import ATTACKS

CHART = Path(__file__).parents[2] / "docs" / "soak.svg"


def main() -> int:
    """Attacks, prints, and returns 1 when an attack did more than it may."""
    parser = argparse.ArgumentParser(prog="make robustness", description=__doc__)
    parser.add_argument("--only", default="", help="attacks whose name begins with this, and no soak")
    parser.add_argument("--seconds", type=float, default=4, help="for which an attack that lasts goes on")
    parser.add_argument("--short", action="store_true", help="the short form, which the tests run")
    parser.add_argument("--soak", type=float, default=300, help="seconds of the mixed soak; 0 leaves it out")
    parser.add_argument("flags", nargs="*", help="flags of artemis-server, after --")
    options = parser.parse_args()
    chosen = [each for each in ATTACKS if each.name.startswith(options.only) and (each.short or not options.short)]
    seconds = SHORT_SECONDS if options.short else options.seconds
    failed = 0
    with Program(seconds=seconds, short=options.short, flags=tuple(options.flags)) as program:
        for each in chosen:
            result = program.attack(each)
            failed += bool(result.failures)
            print(result.line(), flush=True)
        if options.soak and not options.only and not options.short:
            failed += bool(program.soak(options.soak, CHART))
    print(f"{failed} attacks exceeded their bounds" if failed else "every attack stayed within its bounds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
