"""Our programs as processes. One that has imported what they need is forked for each, or each would take a second.

`python -m tests.e2e.processes FD` is that process, the nursery, which the processes of a test run share. It is asked
through a socket to start a program, with the descriptors that are to be its output and one to report to. From a fork
on, a program is a process like any other: it has an id, takes signals, and ends with the functions of atexit.
"""

import atexit
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import IO, NoReturn

from sqlalchemy.orm import configure_mappers

from tests.template import migrated

PRELOADED = (
    "artemis_server.cli",
    "artemis_loader.cli",
    "artemis_loader.formats.jsonl",
    "psycopg",
    "artemis_client.cli.app",
    "artemis_client.cli.commands.importing",
    "artemis_client.cli.commands.watch",
)
ROOT = Path(__file__).parents[2]
_LONGEST_REQUEST = 1 << 17  # bytes


class Process:
    """A program that runs: `python -m` of a module, with arguments. It has the methods of subprocess.Popen."""

    def __init__(
        self,
        command: Sequence[str],
        env: dict[str, str],
        cwd: Path | None = None,
        *,
        stdin: IO[bytes] | None = None,
        terminal: int | None = None,
    ) -> None:
        """Starts it. Without `stdin` its input is empty. With a terminal, this is its input and its outputs."""
        self.args = command
        self.returncode: int | None = None
        self.stdout, out = _pipe()
        self.stderr, err = _pipe()
        report, reported = os.pipe()
        self._report = os.fdopen(report, "rb", buffering=0)
        request: dict[str, object] = {"module": command[0], "arguments": list(command[1:])}
        request |= {"env": env, "cwd": str(cwd or Path.cwd())}
        given = [out, err, reported, *([stdin.fileno()] if stdin else [])]
        if terminal is not None:
            request["terminal"], given = True, [terminal, terminal, reported, terminal]
        socket.send_fds(_nursery(), [json.dumps(request).encode()], given)
        for each in (out, err, reported):
            os.close(each)
        self.pid = int(self._report.readline() or self._fail())

    def poll(self) -> int | None:
        """Returns the exit code, or minus the signal that ended it; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float) -> int:
        """Returns what `poll` does, once it has ended."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Returns all that it writes to its outputs, once it has ended."""
        texts = ["", ""]

        def read(index: int, stream: IO[str]) -> None:
            with stream:
                texts[index] = stream.read()

        readers = [
            threading.Thread(target=read, args=each, daemon=True) for each in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        for reader in readers:
            reader.join(timeout)
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # the nursery has waited for it, and reports that next
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it."""
        self.send_signal(signal.SIGKILL)

    def _fail(self) -> NoReturn:
        raise RuntimeError("the nursery has ended; what it said is above")

    def _ended(self, timeout: float) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], timeout)[0]:
            with self._report:
                self.returncode = int(self._report.readline())
        return self.returncode


@contextmanager
def frozen(first: int) -> Iterator[None]:
    """Freezes a process and its descendants: their sockets stay open, and nobody answers."""
    stopped: list[int] = []

    def freeze(process: int) -> None:
        os.kill(process, signal.SIGSTOP)
        stopped.append(process)
        for child in Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split():
            freeze(int(child))

    try:
        freeze(first)
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


def _pipe() -> tuple[IO[str], int]:
    end, beginning = os.pipe()
    return os.fdopen(end, "r", encoding="utf-8"), beginning


@cache
def _nursery() -> socket.socket:
    """Returns a connection to the nursery of the test run, which ends with the last one; the first call starts it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    address = f"\0artemis-nursery-{run}"  # no file: the name is free again when the nursery has ended
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(address)
        except OSError:  # another process has it, and listens at once
            nursery = None
        else:
            listener.listen()
            nursery = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )
        _connect(ours, address)

    def end() -> None:
        ours.close()
        if nursery is not None:
            nursery.wait()

    atexit.register(end)
    return ours


def _connect(ours: socket.socket, address: str) -> None:
    while True:
        with suppress(ConnectionRefusedError):  # it is bound, and does not listen yet
            ours.connect(address)
            return


def _serve(listener: socket.socket) -> None:
    """Starts programs until nobody can ask for one, and reports how each ended."""
    _preload()
    ends, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # or the next line has no effect
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    reports: dict[int, int] = {}
    """The descriptor that the end of each program that runs is reported to, by its id."""
    callers = [listener.accept()[0]]
    while callers:
        ready = select.select([ends, listener.fileno(), *(each.fileno() for each in callers)], [], [])[0]
        if ends in ready:
            os.read(ends, select.PIPE_BUF)
            _report_ends(reports)
        for caller in [each for each in callers if each.fileno() in ready]:
            data, descriptors, _, _ = socket.recv_fds(caller, _LONGEST_REQUEST, 4)
            if data:
                _start(json.loads(data), descriptors, reports, [listener, *callers], [ends, woken])
            else:
                callers.remove(caller)
                caller.close()
        if listener.fileno() in ready:
            callers.append(listener.accept()[0])


def _start(
    request: dict[str, object],
    descriptors: list[int],
    reports: dict[int, int],
    sockets: list[socket.socket],
    pipes: list[int],
) -> None:
    """Starts a program, which closes the sockets and pipes of the nursery, and reports its id."""
    out, err, reported, *given = descriptors
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (*(each.detach() for each in sockets), *pipes, reported, *reports.values()):
            os.close(each)
        _become(request, out, err, *given)
    for each in (out, err, *given):
        os.close(each)
    reports[pid] = reported
    _report(reported, pid)


def _preload() -> None:
    for name in PRELOADED:
        import_module(name)
    for store in ("events.EventStore", "users.UserStore"):
        resolve_name(f"artemis_server.db.{store}")()  # with it, the parsers of filters and orders, which are kept
    migrated()  # with it, the modules of the revisions, and what SQLAlchemy works out of the tables
    configure_mappers()
    tempfile.tempdir = None  # each program has a folder of its own, which TMPDIR names
    gc.collect()
    gc.freeze()  # so that no fork looks through all of it, and copies it by that


def _report_ends(reports: dict[int, int]) -> None:
    """Reports the programs that have ended since."""
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        reported = reports.pop(pid)
        _report(reported, os.waitstatus_to_exitcode(status))
        os.close(reported)


def _report(reported: int, number: int) -> None:
    with suppress(BrokenPipeError):  # who has started it may have ended
        os.write(reported, f"{number}\n".encode())


def _become(request: dict[str, object], out: int, err: int, given: int | None = None) -> NoReturn:
    if given is not None and request.get("terminal"):
        os.setsid()
        fcntl.ioctl(given, termios.TIOCSCTTY, 0)
    for stream, number in ((out, 1), (err, 2), *([(given, 0)] if given is not None else [])):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored if the tests run in a shell's background
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    time.tzset()
    module = str(request["module"])
    sys.argv = [module, *request["arguments"]]  # type: ignore[misc]
    code: object = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    if code is None or isinstance(code, int):
        _end(code or 0)
    sys.exit(str(code))


def _end(code: int) -> NoReturn:
    """Ends as the interpreter does, and leaves out only that it takes all modules apart.

    That would copy nearly all memory that a program shares with the nursery, which takes longer than most programs.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
