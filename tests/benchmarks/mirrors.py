"""Measures how long a mirror takes to be in step with a server that has many events: the whole list, then the changes.

    python -m tests.benchmarks.mirrors --events 1000000 --rounds 3

It prints for each round the seconds until the mirror is in step, its own seconds of CPU, those of the server, and the
bytes of memory that an event takes. A writer changes events meanwhile, so that there is something to catch up with.
"""

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

from artemis_client import ArtemisClient, Event, EventMirror

from tests.benchmarks.generate import fill
from tests.e2e.servers import PATIENCE, Server, run, serving


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", type=Path, help="a file to keep and to use again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = options.database or Path(folder) / "artemis.db"
        if not database.exists():
            run("migrate", database)
            fill(database, options.events)
        with serving(database) as server:
            for _ in range(options.rounds):
                print(measure(server), flush=True)


def measure(server: Server) -> str:
    """Returns a line about one mirror."""
    before, memory, start = time.process_time(), _resident(), time.monotonic()
    served = _cpu_of(server)
    done, writes = threading.Event(), [0]
    with ArtemisClient(server.target) as client, ArtemisClient(server.target) as other:
        writer = threading.Thread(target=_write, args=(other, done, writes))
        writer.start()
        with EventMirror(client) as mirror:
            if not mirror.wait_until_synced(10 * PATIENCE):
                raise TimeoutError
            seconds, cpu, served = time.monotonic() - start, time.process_time() - before, _cpu_of(server) - served
            done.set()
            count, grown = len(mirror.events), _resident() - memory
        writer.join()
    return (
        f"{count} events and {writes[0]} writes: {seconds:.1f} s, CPU {cpu:.1f} s here and {served:.1f} s there, "
        f"{grown / count:.0f} bytes an event"
    )


def _write(client: ArtemisClient, done: threading.Event, writes: list[int]) -> None:
    while not done.wait(0.01):
        client.events.update(Event(id=1 + writes[0], location=f"place {writes[0]}"))
        writes[0] += 1


def _cpu_of(server: Server) -> float:
    """Returns the seconds of CPU that a server has used."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
