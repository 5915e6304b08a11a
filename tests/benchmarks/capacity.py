"""Prints the processor time of a call, in the server and in PostgreSQL: `python -m tests.benchmarks.capacity`.

docs/beyond-one-machine.md plans with these figures. PostgreSQL and the server share their cores with the load, because
processor time per call hardly depends on that.
"""

import argparse
import os
from contextlib import closing
from pathlib import Path
from statistics import median

import grpc
import psycopg
from artemis.v1 import events_pb2_grpc

from tests.benchmarks import load
from tests.benchmarks.__main__ import serving
from tests.benchmarks.deployment import deployed
from tests.benchmarks.methods import METHODS, Service, store_events

TITLES = ("Get, random ids", "Create, request_id", "List, another page")


def main() -> None:
    """Measures each method in turns, and prints the median and range in microseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of load for each figure in each round")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {title: [] for title in TITLES}
    with (
        deployed() as postgresql,
        serving(postgresql.get_uri(), load.CORES, ["--workers", "1"]) as target,
        grpc.insecure_channel(f"127.0.0.1:{target.port}") as channel,
    ):
        stub = events_pb2_grpc.EventServiceStub(channel)
        service = Service(stub, store_events(stub))
        postmaster = parent_of_backend(postgresql.get_uri())
        for _ in range(options.rounds):
            for title in TITLES:
                found[title].append(measure(title, target, service, postmaster, options.seconds))
    for title, rounds in found.items():
        server, database = (sorted(1e6 * each for each in column) for column in zip(*rounds, strict=True))
        print(f"{title:20} server {shown(server)}  PostgreSQL {shown(database)}")


def measure(title: str, target: load.Target, service: Service, postmaster: int, seconds: float) -> tuple[float, float]:
    """Returns the processor seconds of a call in the server and in all of PostgreSQL's processes."""
    method = METHODS[title]
    path = f"/artemis.v1.EventService/{method.name}"
    server, database = target.processor_seconds(), family_seconds(postmaster)
    rate = load.measure(target, path, method.requests(service), seconds, method.concurrent)
    calls = (target.processor_seconds() - server) / rate.processor  # also those of the warm-up
    return rate.processor, (family_seconds(postmaster) - database) / calls


def parent_of_backend(url: str) -> int:
    """Returns the id of PostgreSQL's first process."""
    with closing(psycopg.connect(url)) as connection:
        return int(fields_of(connection.info.backend_pid)[1])


def family_seconds(pid: int) -> float:
    """Returns the processor time of a process and its children, also of those that have ended, in seconds."""
    ticks = sum(map(int, fields_of(pid)[11:15]))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    ticks += sum(int(field) for child in children for field in fields_of(int(child))[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def fields_of(pid: int) -> list[str]:
    """Returns the fields of /proc/PID/stat that follow the name (proc_pid_stat(5)): state, parent and so on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()


def shown(values: list[float]) -> str:
    """Returns the median and the range."""
    return f"{median(values):6.0f} ({values[0]:.0f} to {values[-1]:.0f}) us"


if __name__ == "__main__":
    main()
