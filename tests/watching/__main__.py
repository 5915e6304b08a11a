"""Figures of watches, and the long form of the history test.

python -m tests.watching history --engine postgresql --seconds 60 --kills 3
python -m tests.watching figures --watchers 200 --rate 200 --seconds 30
python -m tests.watching figures --stuck 50 --seconds 60
python -m tests.watching figures --rate 0 --seconds 30                     the cost of watches that are idle
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_models import create_engine, upgrade

from tests.conftest import postgresql
from tests.e2e.servers import Server, serving
from tests.watching.run import run
from tests.watching.writers import event

PROCESSES = 4
"""Processes of watchers, so that the clients are not what is measured."""


@contextmanager
def migrated(engine: str, folder: Path) -> Iterator[str]:
    """Yields the URL of a new database."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'artemis.db'}"
        if engine == "postgresql":
            url = (
                stack.enter_context(postgresql(fsync=True)).get_uri().replace("postgresql://", "postgresql+psycopg://")
            )
        made = create_engine(url)
        upgrade(made)
        made.dispose()
        yield url


def history(options: argparse.Namespace) -> int:
    """Runs the history test and prints what it found."""
    with tempfile.TemporaryDirectory() as folder, migrated(options.engine, Path(folder)) as url:
        made = run(url, Path(folder), options.seconds, kills=options.kills)
    problems = made.problems()
    print(f"{options.engine}: {made.line()}: {'; '.join(problems[:5]) or 'every promise was kept'}")
    return 1 if problems else 0


def figures(options: argparse.Namespace) -> int:
    """Measures watches while events are created at a rate, and prints the figures."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(serving(stack.enter_context(migrated(options.engine, folder))))
        create(server.target, 50, 1.0)  # so that what the server makes once is made
        before, memory = cpu(server), resident(server)
        readers = [
            start(server.target, options.watchers // PROCESSES, "read")
            for _ in range(PROCESSES if options.watchers else 0)
        ]
        stuck = [start(server.target, options.stuck, "stuck")] if options.stuck else []
        opened, began = cpu(server), time.monotonic()
        peak = Peak(server)
        creates = create(server.target, options.rate, options.seconds)
        made = len(creates)
        time.sleep(1.0)
        used, seconds = cpu(server) - opened, time.monotonic() - began
        found = [end(each) for each in readers]
        codes = [end(each)["codes"] for each in stuck]
        delays = sorted(delay for each in found for delay in each["delays"])
        print(f"{options.watchers} watchers, {made / options.seconds:.0f} changes/s for {options.seconds:g} s")
        opening = 1000 * (opened - before) / max(1, options.watchers)
        print(f"CPU: {opening:.1f} ms to open one, then {1000 * used / seconds:.1f} ms/s")
        if delays:
            p50, p99 = (1000 * delays[int(share * len(delays))] for share in (0.5, 0.99))
            c50, c99 = (1000 * creates[int(share * made)] for share in (0.5, 0.99))
            print(f"the creates themselves: p50 {c50:.0f} ms, p99 {c99:.0f} ms")
            clients = sum(each["cpu"] for each in found) / seconds
            print(f"CPU of the watchers' processes: {1000 * clients:.0f} ms/s")
            least = min(each["least"] for each in found)
            print(f"commit to delivery: p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {1000 * delays[-1]:.0f} ms")
            responses = sum(each["responses"] for each in found) / seconds
            print(f"lost: {made - least} of {made}; {responses:.0f} responses/s")
        print(f"RSS: {memory / 2**20:.0f} MiB before, at most {(peak.stop() - memory) / 2**20:.0f} MiB more")
        if stuck:
            print(f"those that never read ended with {codes[0]}")
        return 0


class Peak(threading.Thread):
    """The highest resident memory of a server."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._highest = 0
        self._stopping = threading.Event()
        self.start()

    def run(self) -> None:
        """Looks ten times a second."""
        while not self._stopping.wait(0.1):
            self._highest = max(self._highest, resident(self._server))

    def stop(self) -> int:
        """Returns it, in bytes."""
        self._stopping.set()
        self.join()
        return self._highest


def create(target: str, rate: int, seconds: float) -> list[float]:
    """Creates events at a rate, whether or not the server keeps up; returns how long each took, in order of that."""
    begin = time.monotonic()
    if not rate:
        time.sleep(seconds)
        return []
    with grpc.insecure_channel(target) as channel, ThreadPoolExecutor(16) as pool:
        stub = events_pb2_grpc.EventServiceStub(channel)

        def call() -> float:
            called = time.monotonic()
            stub.CreateEvent(events_pb2.CreateEventRequest(event=event("x" * 200)))
            return time.monotonic() - called

        calls = []
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            calls.append(pool.submit(call))
        return sorted(each.result() for each in calls)


def start(target: str, watchers: int, kind: str) -> "subprocess.Popen[str]":
    """Starts a process of watchers, and returns once they watch."""
    command = [sys.executable, "-m", "tests.watching.clients", target, str(watchers), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def end(process: "subprocess.Popen[str]") -> Any:
    """Ends a process of watchers, and returns what it saw."""
    out, _ = process.communicate("")
    return json.loads(out)


def cpu(server: Server) -> float:
    """Returns the seconds of CPU that a server has used."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident(server: Server) -> int:
    """Returns the bytes of memory of a server."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


def main() -> int:
    """Does what the command says."""
    parser = argparse.ArgumentParser(prog="python -m tests.watching")
    parser.add_argument("command", choices=("history", "figures"))
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--kills", type=int, default=0, help="how often a server is killed")
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--stuck", type=int, default=0, help="watchers that never read")
    parser.add_argument("--rate", type=int, default=200, help="creates a second")
    options = parser.parse_args()
    return history(options) if options.command == "history" else figures(options)


if __name__ == "__main__":
    sys.exit(main())
