"""The server under attack: a process as users start it, and the readings that the system gives of it."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import grpc

from tests.e2e.servers import PATIENCE, Server, serving
from tests.robustness.probe import TIMEOUT

GUARD = 1536.0
"""MiB of memory at which the server is killed, so that an attack that succeeds does not take the machine as well."""
KILOBYTES = 1024
_TICKS = os.sysconf("SC_CLK_TCK")


class Call(NamedTuple):
    """A call of the innocent caller."""

    kind: str
    begin: float
    """Seconds on the monotonic clock."""
    seconds: float
    code: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The resources that the server's processes use together. Memory is in MiB, processor time in seconds."""

    rss: float
    peak: float
    processor: float
    descriptors: int
    threads: int


class Victim:
    """A server, its readings, and the figures and failures that an attack notes."""

    def __init__(self, server: Server, folder: Path, seconds: float, share: float) -> None:
        self.server = server
        self.folder = folder
        self.seconds = seconds
        """The seconds for which an attack that lasts goes on."""
        self.share = share
        """The share of an attack's full size: 1 in the long form, less in the short one."""
        self.notes: dict[str, str] = {}
        self.failures: list[str] = []
        self.killed = threading.Event()
        self.stop_database: Callable[[], object] = lambda: None
        """Stops the database, where it is a server of its own."""
        self._stopped = threading.Event()
        threading.Thread(target=self._guard, daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.server.port

    def size(self, full: int) -> int:
        """Returns the share of a number that this form of the attack uses, such as 500 of 2000 streams."""
        return max(1, round(full * self.share))

    def note(self, **values: object) -> None:
        """Adds figures to the line that is printed."""
        self.notes.update({name: str(value) for name, value in values.items()})

    def expect(self, holds: bool, text: str) -> None:
        """Notes a failure unless something holds."""
        if not holds:
            self.failures.append(text)

    def channel(self) -> grpc.Channel:
        """Returns a channel with a connection of its own, which repeats no call."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        return grpc.insecure_channel(f"127.0.0.1:{self.port}", options)

    def workers(self) -> list[int]:
        """Returns the ids of the server's worker processes; there are none when it is one process."""
        return _tree(self.server.process.pid)[1:]

    def read(self) -> Reading:
        """Returns the readings of all its processes."""
        readings = [each for pid in _tree(self.server.process.pid) if (each := _read(pid))]
        return Reading(
            rss=sum(each.rss for each in readings),
            peak=sum(each.peak for each in readings),
            processor=sum(each.processor for each in readings),
            descriptors=sum(each.descriptors for each in readings),
            threads=sum(each.threads for each in readings),
        )

    def forget_peak(self) -> None:
        """Makes the peak of the memory start from now."""
        for pid in _tree(self.server.process.pid):
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")

    def pin(self, core: int) -> None:
        """Confines all threads of the server to one core from now on."""
        for pid in _tree(self.server.process.pid):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), {core})

    def wal_size(self) -> float:
        """Returns the size of the write-ahead log in MiB."""
        path = self.server.database.with_name(self.server.database.name + "-wal")
        return path.stat().st_size / KILOBYTES**2 if path.exists() else 0.0

    def stop(self) -> None:
        """Ends the guard."""
        self._stopped.set()

    def _guard(self) -> None:
        while not self._stopped.wait(0.02):
            with suppress(OSError):
                if self.read().rss > GUARD:
                    self.killed.set()
                    self.server.process.kill()
                    return


def _tree(pid: int) -> list[int]:
    """Returns the process and those that it has started."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += [int(child) for child in children.read_text(encoding="ascii").split()]
    return found


def _read(pid: int) -> Reading | None:
    """Returns the readings of a process, or None if it has ended."""
    try:
        return _read_running(pid)
    except OSError:
        return None


def _read_running(pid: int) -> Reading:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    status = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return Reading(
        rss=int(status.get("VmRSS", ["0"])[0]) / KILOBYTES,
        peak=int(status.get("VmHWM", ["0"])[0]) / KILOBYTES,
        processor=(int(fields[11]) + int(fields[12])) / _TICKS,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"][0]),
    )


@dataclass
class Probe:
    """The innocent caller's process, and the calls that it has made."""

    process: "subprocess.Popen[str]"
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_past(self, begin: float, patience: float = 2 * TIMEOUT) -> bool:
        """Waits until calls of every kind, begun after this time, have ended; returns whether they have in time."""
        kinds = {"get", "create", "health", "connect"}
        with self._changed:
            return self._changed.wait_for(
                lambda: {each.kind for each in self.calls[-200:] if each.begin >= begin} >= kinds, patience
            )

    def since(self, begin: float) -> list[Call]:
        """Returns the calls that ended after this time."""
        with self._changed:
            return [each for each in self.calls if each.begin + each.seconds >= begin]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):  # it was killed: the line is not whole, or the pipe is closed
            for line in self.process.stdout:
                kind, begin, seconds, code = line.split()
                with self._changed:
                    self.calls.append(Call(kind, float(begin), float(seconds), code))
                    self._changed.notify_all()


@contextmanager
def probing(port: int) -> Iterator[Probe]:
    """Runs the innocent caller, and yields it once it calls."""
    command = [sys.executable, "-m", "tests.robustness.probe", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            probe = Probe(process)
            if not probe.wait_past(0.0, PATIENCE):
                raise RuntimeError("the innocent caller gets no answers from a server that nobody attacks")
            yield probe
        finally:
            process.kill()


@contextmanager
def victim(folder: Path, *flags: str, seconds: float, share: float, url: str = "") -> Iterator[Victim]:
    """Starts a server in a folder, or on the database of a URL, and kills it at the end."""
    with serving(url or folder / "artemis.db", *flags, python=Path(sys.executable)) as server:
        attacked = Victim(server, folder, seconds, share)
        try:
            yield attacked
        finally:
            attacked.stop()
            if server.process.poll() is None:
                server.kill()


def p99(seconds: list[float]) -> float:
    """Returns the 99th percentile, and 0 of nothing."""
    return sorted(seconds)[max(0, round(len(seconds) * 0.99) - 1)] if seconds else 0.0


def codes_by_kind(calls: list[Call]) -> dict[str, Counter[str]]:
    """Returns how often the calls of each kind ended with each code."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in calls:
        counts[each.kind][each.code] += 1
    return counts


def now() -> float:
    """Returns the time of the clock that the innocent caller uses as well."""
    return time.monotonic()
