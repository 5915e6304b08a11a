"""Prints how fast the service is, beside servers of the same contract, and writes docs/benchmarks.{json,svg}.

The server is the command `artemis-server serve` with its defaults, and `load.py` makes the load. The server is
pinned to one core and the load to another. Each method is compared with three others, each in a process of its own: a
no-op and a service as tutorials write it, on the server's core while the server is idle, and a second server that is
not pinned, under a load that is not pinned either. A round measures them one right after the other. Ratios are made
within a round.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
from artemis.v1 import events_pb2_grpc

from tests.benchmarks import load
from tests.benchmarks.chart import draw
from tests.benchmarks.deployment import deployed
from tests.benchmarks.figures import Figure, document, table
from tests.benchmarks.load import Target
from tests.benchmarks.methods import METHODS, ROWS, Service, store_events

DOCS = Path(__file__).parents[2] / "docs"
PINNED = {load.SERVER_CORE}


class Servers(NamedTuple):
    """The servers of an engine."""

    server: Target
    unpinned: Target
    noop: Target
    tutorial: Target | None


def main() -> None:
    """Measures, prints the table and writes the files."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of load for each figure in each round")
    parser.add_argument("--engines", nargs="*", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--only", default="", help="figures whose title contains this, and no files are written")
    options = parser.parse_args()
    titles = [title for title in METHODS if options.only in title]
    figures = []
    for engine in options.engines:
        figures += measure([Figure(engine=engine, title=title) for title in titles], engine, options)
    print(table(figures))
    if not options.only:
        (DOCS / "benchmarks.json").write_text(json.dumps(document(figures, options.seconds), indent=1) + "\n")
        (DOCS / "benchmarks.svg").write_text(draw(figures))


def measure(figures: list[Figure], engine: str, options: argparse.Namespace) -> list[Figure]:
    """Measures the figures of one engine and returns them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder}/bench.db"
        if engine == "postgresql":
            url = stack.enter_context(deployed()).get_uri()
        servers = Servers(
            server=stack.enter_context(serving(url)),
            unpinned=stack.enter_context(serving(url, load.CORES)),
            noop=stack.enter_context(running("tests.benchmarks.noop")),
            tutorial=stack.enter_context(
                running("tests.benchmarks.tutorial", f"sqlite:///{folder}/tutorial.db", f"{ROWS}")
            )
            if engine == "sqlite"
            else None,
        )
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{servers.server.port}"))
        stub = events_pb2_grpc.EventServiceStub(channel)
        tokens = store_events(stub)
        services = {target: Service(stub, tokens) for target in servers if target is not None}
        for _ in range(options.rounds):
            for figure in figures:
                compare(figure, servers, services, options.seconds)
    return figures


def compare(figure: Figure, servers: Servers, services: Mapping[Target, Service], seconds: float) -> None:
    """Measures a figure once, and what stands beside it."""
    method = figure.method
    path = f"/artemis.v1.EventService/{method.name}"

    def rate(target: Target, cores: Collection[int] = (load.LOAD_CORE,)) -> load.Rate:
        requests = method.tutorial if target is servers.tutorial else method.requests
        assert requests is not None
        bodies = requests(services[target])
        os.sched_setaffinity(0, cores)
        return load.measure(target, path, bodies, seconds, method.concurrent)

    figure.noop.append(rate(servers.noop))
    figure.rates.append(rate(servers.server))
    figure.unpinned.append(rate(servers.unpinned, load.CORES))
    if servers.tutorial is not None and method.tutorial is not None:
        figure.tutorial.append(rate(servers.tutorial))


@contextmanager
def serving(
    url: str, cores: Collection[int] = PINNED, flags: Sequence[str] = (), log: int = subprocess.DEVNULL
) -> Iterator[Target]:
    """Runs `artemis-server serve` on these cores and yields it when it listens. `log` is a descriptor."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    arguments = ("serve", "--database-url", url, "--migrate", "--listen", f"127.0.0.1:{port}", *flags)
    with started("artemis_server", *arguments, cores=cores, log=log) as process:
        wait_for_port(port, process)
        yield Target(port, process.pid)


@contextmanager
def running(module: str, *arguments: str) -> Iterator[Target]:
    """Runs a module that prints its port, on the server's core, and yields it."""
    with started(module, *arguments, cores=PINNED) as process:
        assert process.stdout is not None
        yield Target(int(process.stdout.readline()), process.pid)


@contextmanager
def started(
    module: str, *arguments: str, cores: Collection[int], log: int = subprocess.DEVNULL
) -> "Iterator[subprocess.Popen[str]]":
    """Starts a module on these cores, and ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port: int, process: "subprocess.Popen[str]") -> None:
    """Waits until the process listens on the port; exits when the process ends first."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"artemis-server serve ended with {process.returncode} before it listened")


if __name__ == "__main__":
    main()
