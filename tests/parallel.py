"""Runs the tests in several processes: `--numprocesses N`. It knows pytest, and nothing of Artemis.

All processes are forked from the one that has collected the tests. With pytest-xdist each process imports and collects
on its own, which takes 5 s of processor time: as much as 250 tests. So it can have only few processes, and all of them
wait at times. Here a process more costs a tenth of a second.
"""

import os
import threading
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
from _pytest.capture import FDCapture

CONTEXT = get_context("fork")
Location = tuple[str, int | None, str]


def order(items: Sequence[pytest.Item], processes: int) -> list[list[int]]:
    """Returns the indices of the tests that each process is to run.

    The first ones are marked as long, so that no other process waits for one at the end. The others are neighbours, so
    that fixtures of a module are made in few processes.
    """
    long = [index for index, item in enumerate(items) if item.get_closest_marker("long")]
    rest = [index for index, item in enumerate(items) if not item.get_closest_marker("long")]
    bounds = [len(rest) * process // processes for process in range(processes + 1)]
    return [[*long[process::processes], *rest[bounds[process] : bounds[process + 1]]] for process in range(processes)]


class Shares:
    """The tests that each process has yet to run. A process that has none left takes half of the largest share."""

    def __init__(self, shares: Sequence[Sequence[int]]) -> None:
        self._tests = [test for share in shares for test in share]
        ends = [sum(map(len, shares[: process + 1])) for process in range(len(shares))]
        self._begins = CONTEXT.Array("i", [0, *ends[:-1]])  # its lock is for both
        self._ends = CONTEXT.Array("i", ends, lock=False)

    def take(self, process: int) -> int | None:
        """Returns the next test of a process, which no other gets; None if there is none any more."""
        with self._begins.get_lock():
            if not self._left(process):
                self._take_half(max(range(len(self._ends)), key=self._left), process)
            if not self._left(process):
                return None
            index: int = self._begins[process]
            self._begins[process] = index + 1
            return self._tests[index]

    def clear(self) -> None:
        """Lets each process end after the tests that it has taken."""
        with self._begins.get_lock():
            self._begins[:] = self._ends[:]

    def _left(self, process: int) -> int:
        left: int = self._ends[process] - self._begins[process]
        return left

    def _take_half(self, largest: int, process: int) -> None:
        end = self._ends[largest]
        self._ends[largest] -= (self._left(largest) + 1) // 2
        self._begins[process], self._ends[process] = self._ends[largest], end


class Sender:
    """Sends what becomes of the tests of a process, in the place of the plugin that prints it."""

    def __init__(self, config: pytest.Config, pipe: "Connection[Any, Any]", terminal: object) -> None:
        self._config = config
        self._pipe = pipe
        self._tw = terminal  # pytest-timeout finds it here

    def pytest_runtest_logstart(self, nodeid: str, location: Location) -> None:
        self._pipe.send((nodeid, location))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._pipe.send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_runtest_logfinish(self) -> None:
        self._pipe.send(None)


class Receiver:
    """Takes the reports of one process, and reports a test during which the process ends."""

    def __init__(self, session: pytest.Session, pipe: "Connection[Any, Any]", process: ForkProcess) -> None:
        self._config = session.config
        self.pipe = pipe
        self._process = process
        self._running: tuple[str, Location] | None = None
        self.begun: set[str] = set()
        """The tests that the process has begun."""

    def receive(self) -> bool:
        """Reports what comes next; returns False when the process has ended."""
        hook = self._config.hook
        try:
            message = self.pipe.recv()
        except EOFError:
            self._process.join()
            if self._running:
                _report_loss(self._config, *self._running, f"its process ended with exit code {self._process.exitcode}")
            return False
        if isinstance(message, dict):
            report = hook.pytest_report_from_serializable(config=self._config, data=message)
            hook.pytest_runtest_logreport(report=report)
        elif message is None and self._running:
            hook.pytest_runtest_logfinish(nodeid=self._running[0], location=self._running[1])
            self._running = None
        else:
            self._running = message
            self.begun.add(message[0])
        return True


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("parallel")
    group._addoption("-n", "--numprocesses", type=int, default=0, help="run the tests in so many processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Runs the tests, unless they are to run in this process: `-n 0`, `--pdb`."""
    option = session.config.option
    count = min(option.numprocesses, len(session.items))
    if count < 2 or session.testsfailed or option.collectonly or option.usepdb:
        return None
    assert threading.active_count() == 1, "a fork would have the locks of the other threads, and not the threads"
    shares = Shares(order(session.items, count))
    folder = _factory(session.config).getbasetemp()
    receivers = [_start(session, shares, number, folder) for number in range(count)]
    running = list(receivers)
    while running:
        ready = wait([each.pipe for each in running])
        running = [each for each in running if each.pipe not in ready or each.receive()]
        if session.shouldfail or session.shouldstop:
            shares.clear()
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    for item in session.items:
        if all(item.nodeid not in each.begun for each in receivers):
            _report_loss(session.config, item.nodeid, item.location, "the process that was to run it has ended before")
    return True


def _report_loss(config: pytest.Config, nodeid: str, location: Location, text: str) -> None:
    config.hook.pytest_runtest_logreport(report=pytest.TestReport(nodeid, location, {}, "failed", text, "call"))


def _start(session: pytest.Session, shares: Shares, number: int, folder: Path) -> Receiver:
    ours, theirs = CONTEXT.Pipe(duplex=False)
    with theirs:
        process = CONTEXT.Process(target=_run, args=(session, shares, number, folder, theirs))
        process.start()
    return Receiver(session, ours, process)


def _run(session: pytest.Session, shares: Shares, number: int, folder: Path, pipe: "Connection[Any, Any]") -> None:
    """Runs tests as long as there are any; the last one ends the fixtures of the process."""
    plugins = session.config.pluginmanager
    sender = Sender(session.config, pipe, session.config.get_terminal_writer())
    plugins.unregister(name="terminalreporter")
    plugins.register(sender, "terminalreporter")
    _capture_apart(plugins.get_plugin("capturemanager"))
    _factory(session.config)._basetemp = folder / str(number)  # --basetemp is read before the fork
    _factory(session.config)._basetemp.mkdir()
    index = shares.take(number)
    while index is not None:
        following = shares.take(number)
        next_item = None if following is None else session.items[following]
        session.config.hook.pytest_runtest_protocol(item=session.items[index], nextitem=next_item)
        index = following


def _capture_apart(manager: Any) -> None:
    """Gives the process files of its own for what its tests print; in those of the first process, all would be mixed.

    The objects that write to them stay: libraries such as Alembic keep the sys.stdout that they were imported with.
    """
    streams = manager._global_capturing
    for stream in (streams.out, streams.err):
        if isinstance(stream, FDCapture):
            with TemporaryFile() as own:
                os.dup2(own.fileno(), stream.tmpfile.fileno(), inheritable=False)
                os.dup2(own.fileno(), stream.targetfd)


def _factory(config: pytest.Config) -> Any:
    return config._tmp_path_factory  # type: ignore[attr-defined]  # nothing public names the folder
