"""Compares the two clients: calls per second of one thread with 64 calls in flight against one after the other.

    python -m tests.benchmarks.clients --rounds 7 --kills 10

It prints the calls per second of each round, the median ratio with its range, and then kills the server ten times while
both clients write: every write must be there once.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from artemis_client import ArtemisClient, AsyncArtemisClient

from tests.e2e.kills import killed
from tests.e2e.samples import event
from tests.e2e.servers import serving

IN_FLIGHT = 64


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each client in a round")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    options = parser.parse_args()
    print(f"import beyond that of grpc: {statistics.median(imported() for _ in range(options.rounds)):.3f} s of CPU")
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder) / "speed.db", "--workers", str(options.workers)) as server:
            ratios = [compared(server.target, options.seconds) for _ in range(options.rounds)]
        print(
            f"asyncio / one after the other: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        answered, stored = killed(Path(folder) / "kills.db", options.kills)
        print(
            f"{options.kills} kills: {len(answered)} writes answered, {len(stored)} stored, same: {answered == stored}"
        )


def imported() -> float:
    """Returns the seconds of CPU that the import of the client takes after that of grpc."""
    program = (
        "import time, grpc; begin = time.process_time(); import artemis_client; print(time.process_time() - begin)"
    )
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # as installed packages are
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return float(done.stdout)


def compared(target: str, seconds: float) -> float:
    """Prints the calls per second of both clients, and returns their ratio."""
    with ArtemisClient(target) as client:
        number = client.events.create(event()).id
        begin, cpu, done = time.monotonic(), time.process_time(), 0
        while time.monotonic() - begin < seconds:
            client.events.get(number)
            done += 1
        one = done / (time.monotonic() - begin)
        one_cpu = (time.process_time() - cpu) / done
    begin, cpu = time.monotonic(), time.process_time()
    done = asyncio.run(_gathered(target, number, seconds))
    many = done / (time.monotonic() - begin)
    many_cpu = (time.process_time() - cpu) / done
    print(
        f"one after the other {one:.0f}/s, {1e6 * one_cpu:.0f} us of CPU a call; "
        f"{IN_FLIGHT} in flight {many:.0f}/s, {1e6 * many_cpu:.0f} us",
        flush=True,
    )
    return many / one


async def _gathered(target: str, number: int, seconds: float) -> int:
    """Returns how many calls were made."""
    begin, done = time.monotonic(), 0
    async with AsyncArtemisClient(target) as client:
        while time.monotonic() - begin < seconds:
            await asyncio.gather(*(client.events.get(number) for _ in range(IN_FLIGHT)))
            done += IN_FLIGHT
    return done


if __name__ == "__main__":
    main()
