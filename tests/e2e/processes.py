"""Our programs as processes. One that has imported what they need is forked for each, or each would take a second.

`python -m tests.e2e.processes FD` is that process, the nursery. It is asked through a socket to start a program, with
the descriptors that are to be its output and one to report to. From a fork on, a program is a process like any other:
it has an id, takes signals, and ends as its interpreter ends.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import IO, NoReturn

PRELOADED = ("artemis_server.cli", "artemis_loader.cli", "artemis_loader.formats.jsonl", "psycopg")
ROOT = Path(__file__).parents[2]
_LONGEST_REQUEST = 1 << 17  # bytes


class Process:
    """A program that runs: `python -m` of a module, with arguments. It has the methods of subprocess.Popen."""

    def __init__(self, command: Sequence[str], env: dict[str, str], cwd: Path | None = None) -> None:
        self.args = command
        self.returncode: int | None = None
        self.stdout, out = _pipe()
        self.stderr, err = _pipe()
        report, reported = os.pipe()
        self._report = os.fdopen(report, "rb", buffering=0)
        request = {"module": command[0], "arguments": list(command[1:]), "env": env, "cwd": str(cwd or Path.cwd())}
        socket.send_fds(nursery(), [json.dumps(request).encode()], [out, err, reported])
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

        readers = [Thread(target=read, args=each, daemon=True) for each in enumerate((self.stdout, self.stderr))]
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


def _pipe() -> tuple[IO[str], int]:
    end, beginning = os.pipe()
    return os.fdopen(end, "r", encoding="utf-8"), beginning


@cache
def nursery() -> socket.socket:
    """Returns the socket of the nursery, which ends with this process and those that were forked from it since."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        nursery = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )

    def end() -> None:
        ours.close()
        nursery.wait()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> None:
    """Starts programs until nobody can ask for one."""
    for name in PRELOADED:
        import_module(name)
    gc.freeze()  # so that no fork looks through all of it, and copies it by that
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 3)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _start(json.loads(data), *descriptors)
        for each in descriptors:
            os.close(each)


def _start(request: dict[str, object], out: int, err: int, reported: int) -> None:
    """Starts a program and reports its id and how it ended; returns in neither process."""
    pid = os.fork()
    if pid == 0:
        os.close(reported)
        _become(request, out, err)
    os.close(out)
    os.close(err)
    os.write(reported, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(reported, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, object], out: int, err: int) -> NoReturn:
    for stream, number in ((out, 1), (err, 2)):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    time.tzset()
    module = str(request["module"])
    sys.argv = [module, *request["arguments"]]  # type: ignore[misc]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
