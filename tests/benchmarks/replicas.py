"""The CPU time of the server for each call with read replicas, against that of a server without.

`python -m tests.benchmarks.replicas [ROUNDS]` measures both in turn, and prints the medians, their ratios and ranges.
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from artemis_client import ArtemisClient, Event

from tests.e2e.samples import event
from tests.e2e.servers import Server, serving
from tests.robustness.replicas import server_with_replicas
from tests.robustness.replication import cluster

ROWS = 1000


def cpu_seconds(process: int) -> float:
    """Returns the CPU time that a process and its threads have used."""
    nanoseconds = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def cpu_of_call(server: Server, call: Callable[[], object], count: int) -> float:
    """Returns the microseconds of the server's CPU time for each of so many calls."""
    call()
    begin = cpu_seconds(server.process.pid)
    for _ in range(count):
        call()
    return (cpu_seconds(server.process.pid) - begin) / count * 1e6


def calls(client: ArtemisClient, row_id: int) -> dict[str, tuple[Callable[[], object], int]]:
    """Returns each call that is measured, and how often a round makes it."""
    return {
        "get": (lambda: client.events.get(row_id), 400),
        "list of 100": (lambda: next(iter(client.events.list(page_size=100))), 40),
        "create": (lambda: client.events.create(event()), 200),
        "update": (lambda: client.events.update(Event(id=row_id, location="new")), 100),
    }


def main() -> int:
    """Prints a line for each call."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with (
        cluster() as nodes,
        server_with_replicas(nodes) as replicated,
        serving(nodes.url, "--metrics-listen", "127.0.0.1:0") as alone,
        ArtemisClient(replicated.target) as with_position,
        ArtemisClient(alone.target) as without,
    ):
        (row, *_) = with_position.events.batch_create([event(name=f"event {number}") for number in range(ROWS)])
        pair = [(replicated, calls(with_position, row.id)), (alone, calls(without, row.id))]
        with psycopg.connect(f"host=127.0.0.1 port={nodes.primary.port} user=postgres", autocommit=True) as connection:
            connection.execute("ANALYZE")
        for name in pair[0][1]:
            found: list[tuple[float, float]] = []
            for _ in range(rounds):
                one, other = (cpu_of_call(server, *each[name]) for server, each in pair)
                found.append((one, other))
            ratios = sorted(one / other for one, other in found)
            print(
                f"{name:12} with {statistics.median(one for one, _ in found):7.0f} us"
                f"  without {statistics.median(other for _, other in found):7.0f} us"
                f"  ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
