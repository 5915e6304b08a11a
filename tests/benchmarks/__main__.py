"""Prints how fast the service is, as a share of what stands beside it, and writes docs/benchmarks.{json,svg}.

Beside a method stand a no-op method of the same grpcio server, the same statements without gRPC, and a FastAPI
service on the same kind of file. Server and load generator have a core each. Every round measures neighbours one
right after the other; what is quoted is the median of the rounds.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from artemis_client import ArtemisClient

from tests.benchmarks import load, samples
from tests.benchmarks.chart import draw
from tests.benchmarks.deployment import deployed
from tests.benchmarks.figures import METHODS, Figure, Figures, table

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Measures, prints the table and writes the files."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of load for each figure in each round")
    parser.add_argument("--engines", nargs="*", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    load.find_h2load()
    figures = [each for engine in options.engines for each in measure(engine, options.rounds, options.seconds)]
    print(table(figures))
    (DOCS / "benchmarks.json").write_text(json.dumps([each.summary() for each in figures], indent=1) + "\n")
    (DOCS / "benchmarks.svg").write_text(draw(figures))


def measure(engine: str, rounds: int, seconds: int) -> Figures:
    """Returns the figures of one engine."""
    figures = [Figure(engine=engine, method=name) for name in METHODS]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder}/bench.db"
        if engine == "postgresql":
            url = stack.enter_context(deployed()).get_uri()
        port = stack.enter_context(serving(url))
        prepare(port)
        web = stack.enter_context(web_serving(folder)) if engine == "sqlite" else None
        for _ in range(rounds):
            for figure in figures:
                compare(figure, port, web, folder, seconds)
            measure_directly(figures, url, seconds)
        check_rows(port, figures, seconds)
    return figures


@contextmanager
def serving(url: str) -> Iterator[int]:
    """Runs the server on a core of its own and yields its port."""
    with running("tests.benchmarks.server", url, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def web_serving(folder: Path) -> Iterator[int]:
    """Runs the FastAPI service on the server's core, with an event in it, and yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    with running("tests.benchmarks.fastapi_service", f"sqlite:///{folder}/web.db", str(port)):
        load.wait_for_port(port)
        body = folder / "web.json"
        body.write_text(samples.NEW_EVENT_JSON)
        load.requests_per_second(port, "events", body, 1, protocol="json")
        yield port


@contextmanager
def running(module: str, *arguments: str, stdout: int = subprocess.DEVNULL) -> "Iterator[subprocess.Popen[str]]":
    """Runs a module on the server's core, and ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {load.SERVER_CORE}),
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def printed(module: str, *arguments: str) -> Any:
    """Runs a module to its end and returns the JSON that it printed."""
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def prepare(port: int) -> None:
    """Stores what Get, Update and List read, and warms everything up."""
    with ArtemisClient(f"127.0.0.1:{port}") as client:
        for _ in range(2 * samples.PAGE_SIZE):
            client.events.create(samples.NEW_EVENT)


def compare(figure: Figure, port: int, web: int | None, folder: Path, seconds: int) -> None:
    """Measures a method once, and what stands beside it."""
    method = METHODS[figure.method]
    body = load.write_body(folder / figure.method, method.request)
    concurrent = method.concurrent
    figure.noop.append(load.requests_per_second(port, f"noop/{figure.method}", body, seconds, concurrent))
    if method.changes_rows:
        figure.rates.append(printed("tests.benchmarks.rows", str(port), figure.method, str(seconds)))
    else:
        path = f"artemis.v1.EventService/{figure.method}"
        figure.rates.append(load.requests_per_second(port, path, body, seconds, concurrent))
    if web is not None and method.web is not None:
        sent = folder / "web.json" if figure.method == "CreateEvent" else None
        figure.web.append(load.requests_per_second(web, method.web, sent, seconds, protocol="json"))


def measure_directly(figures: Figures, url: str, seconds: int) -> None:
    """Measures the statements without gRPC once."""
    rates = printed("tests.benchmarks.direct", url, str(seconds / 2))
    for figure in figures:
        if figure.method in rates:
            figure.direct.append(rates[figure.method])


def check_rows(port: int, figures: Figures, seconds: int) -> None:
    """Exits unless every create that was counted is there: h2load does not read gRPC's status."""
    created = sum(rate * seconds * METHODS[figure.method].creates for figure in figures for rate in figure.rates)
    with ArtemisClient(f"127.0.0.1:{port}", timeout=120) as client:
        stored = next(client.events.list(order_by="id desc")).id  # none is ever deleted
    if stored < created:
        raise SystemExit(f"{created:.0f} creates were answered, and only {stored} events are there")


if __name__ == "__main__":
    main()
