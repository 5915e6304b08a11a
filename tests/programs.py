"""Programs that tests run several at once: `python -m tests.programs NAME GATE URL`, each of which waits at the gate.

They are started by tests.e2e.processes, which spares each the time to import.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from artemis_loader import locks
from artemis_loader.locks import LoadRunning, lock_path, only_load
from artemis_models import create_engine, upgrade
from artemis_server import cli

from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, environment

FEED = "feed"
ROUNDS = 200


@contextmanager
def waiting(folder: Path, name: str, url: str, count: int = 1) -> Iterator[tuple[list[Process], Callable[[], None]]]:
    """Starts a program so many times on a database, and ends all at the end; the second value opens the gate."""
    path = folder / "gate"
    os.mkfifo(path)
    gate = path.open("r+b", buffering=0)  # with a writer, so that programs wait when they read, not when they open
    processes: list[Process] = []
    try:
        for _ in range(count):
            processes.append(Process(["tests.programs", name, str(path), url], environment()))
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * count
        yield processes, gate.close
    finally:
        gate.close()
        for process in processes:
            process.kill()
            process.wait(PATIENCE)
            process.stdout.close()
            process.stderr.close()


def _wait(gate: str) -> None:
    with Path(gate).open() as opened:
        print("ready", flush=True)  # noqa: T201, the test reads it
        opened.read()


def take_the_lock_again_and_again(gate: str, url: str) -> None:
    """Takes the lock of a feed and gives it back, and fails if somebody else has it at the same time."""
    locks.PAUSE = 0
    with create_engine(url).connect() as connection:
        alone = f"{lock_path(connection, FEED)}.alone"
        _wait(gate)
        held = 0
        while held < ROUNDS:
            try:
                with only_load(connection, FEED):
                    os.close(os.open(alone, os.O_CREAT | os.O_EXCL))  # fails if another process holds the lock, too
                    os.unlink(alone)
                    held += 1
            except LoadRunning:
                pass


def keep_the_lock(gate: str, url: str) -> None:
    """Takes the lock of a feed, and keeps it while the gate is closed."""
    with create_engine(url).connect() as connection, only_load(connection, FEED):
        _wait(gate)


def upgrade_the_database(gate: str, url: str) -> None:
    """Brings the schema up to date."""
    engine = create_engine(url)
    _wait(gate)
    upgrade(engine)


def serve_without_opentelemetry(url: str) -> None:
    """Serves as where OpenTelemetry is not installed."""
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    sys.exit(cli.main(["serve", "--database-url", url]))


def print_the_modules_of(package: str) -> None:
    """Prints the modules of a package that have been imported with the commands, none of which has run."""
    print([name for name in sys.modules if name.partition(".")[0] == package])  # noqa: T201, the test reads it


def wait_for_a_signal() -> None:
    sys.stdout.write("waiting\n")
    sys.stdout.flush()
    signal.pause()


def say_when_it_ends(code: str) -> None:
    """Ends with a code, and prints what runs after that."""

    def outlive() -> None:
        threading.main_thread().join()
        print("a thread", end="")  # noqa: T201, the test reads it

    threading.Thread(target=outlive).start()
    atexit.register(print, ", then atexit", file=sys.stderr)
    sys.exit(int(code))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
