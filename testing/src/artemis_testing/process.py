"""The process of a server: started, asked and ended from the process that runs the tests."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

START_TIMEOUT = 120.0
"""Seconds that a server may take to start, on a machine that is busy."""
TIMEOUT = 30.0
"""Seconds that a command may take."""
END_TIMEOUT = 1.0
"""Seconds in which a process that has failed ends by itself."""
MIN_FREE = 1 << 20
"""Bytes of the file system for temporary files. With less, an error says so: the log cannot be written either."""
STOP_TIMEOUT = 5.0
"""Seconds after which a process that does not end is killed."""


class ServerFailedError(RuntimeError):
    """The process of the server has ended, or does not answer. The text has its log."""


class ServerProcess:
    """A process that serves. It ends when `close` is called, or with this process, however that ends.

    It is in a process group of its own, so Ctrl-C in a terminal does not reach it.
    """

    def __init__(self, cache: Path | None, *, access: bool = False) -> None:
        """Starts it. Raises ServerFailedError if that fails."""
        self._folder = Path(tempfile.mkdtemp(prefix="artemis-testing-"))
        self._log = (self._folder / "log").open("w+b")  # open, because its folder may go before it is read
        self._control, theirs = socket.socketpair()
        with theirs:
            # -P: a module of the tests' folder that is named as one of Python's is not to be imported.
            command = [sys.executable, "-P", "-m", "artemis_testing.host", str(theirs.fileno()), str(self._folder)]
            self._process = subprocess.Popen(  # noqa: S603, a command of our own
                [*command, str(cache or ""), "access" if access else ""],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self._stream = self._control.makefile("rw", encoding="utf-8")
        self._lock = threading.Lock()
        try:
            started = self._read(START_TIMEOUT)
        except BaseException:
            self.close()
            raise
        self.port: int = started["port"]
        self.tokens: dict[str, str] = started["tokens"]
        """A token for each role; none if no caller needs one."""

    def ask(self, command: str, **arguments: Any) -> Any:
        """Returns what the process answers to a command.

        Raises:
            ValueError: an argument has no meaning for the server.
            ServerFailedError: the process does not answer.
        """
        with self._lock:
            try:
                self._stream.write(json.dumps({"command": command, "arguments": arguments}) + "\n")
                self._stream.flush()
            except OSError as error:
                raise self._failure() from error
            return self._read(TIMEOUT)

    @property
    def log_size(self) -> int:
        """The number of bytes that the server has logged."""
        return os.fstat(self._log.fileno()).st_size

    def log(self, begin: int = 0) -> str:
        """Returns the lines that the server has logged, after so many bytes."""
        return os.pread(self._log.fileno(), self.log_size - begin, begin).decode(errors="replace")

    def close(self) -> None:
        """Ends the process, and removes its files. It may be called more than once."""
        with suppress(OSError):  # a command that a dead process did not read is still in the buffer
            self._stream.close()
        self._control.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._log.close()

    def _read(self, timeout: float) -> Any:
        self._control.settimeout(timeout)
        try:
            line = self._stream.readline()
        except OSError as error:
            raise self._failure() from error
        if not line:
            raise self._failure()
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]

    def _failure(self) -> ServerFailedError:
        code = None
        with suppress(subprocess.TimeoutExpired):  # it has closed the socket, and may be about to end
            code = self._process.wait(END_TIMEOUT)
        state = "does not answer" if code is None else f"has ended with exit code {code}"
        files = os.fstatvfs(self._log.fileno())
        if files.f_bavail * files.f_frsize < MIN_FREE:
            state += f"; the file system of {self._folder} has no space left"
        return ServerFailedError(f"the server of artemis_testing {state}; its log:\n{self.log()}")
