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
    parser.add_argument("--turns", type=int, default=40, help="of each client in a round")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    options = parser.parse_args()
    print(f"import beyond that of grpc: {statistics.median(imported() for _ in range(options.rounds)):.3f} s of CPU")
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder) / "speed.db", "--workers", str(options.workers)) as server:
            ratios = [compared(server.target, options.turns) for _ in range(options.rounds)]
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


def compared(target: str, turns: int) -> float:
    """Prints the calls per second of both clients, which take turns, and returns their ratio."""
    seconds, cpu = [0.0, 0.0], [0.0, 0.0]
    with ArtemisClient(target) as client, asyncio.Runner() as runner:
        number = client.events.create(event()).id
        asynchronous = runner.run(_made(target))
        runner.run(_gathered(asynchronous, number))
        for turn in range(2 * turns):
            which, begin, used = turn % 2, time.monotonic(), time.process_time()
            if which:
                runner.run(_gathered(asynchronous, number))
            else:
                for _ in range(IN_FLIGHT):
                    client.events.get(number)
            seconds[which] += time.monotonic() - begin
            cpu[which] += time.process_time() - used
        runner.run(asynchronous.close())
    calls = turns * IN_FLIGHT
    print(
        f"one after the other {calls / seconds[0]:.0f}/s, {1e6 * cpu[0] / calls:.0f} us of CPU a call; "
        f"{IN_FLIGHT} in flight {calls / seconds[1]:.0f}/s, {1e6 * cpu[1] / calls:.0f} us",
        flush=True,
    )
    return seconds[0] / seconds[1]


async def _made(target: str) -> AsyncArtemisClient:
    return AsyncArtemisClient(target)


async def _gathered(client: AsyncArtemisClient, number: int) -> None:
    await asyncio.gather(*(client.events.get(number) for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    main()
