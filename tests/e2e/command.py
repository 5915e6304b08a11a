"""Runs the command `artemis` as a process, as a shell does."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, environment

MODULE = "artemis_client.cli"


@dataclass(frozen=True)
class Ran:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str


class Command:
    """Runs `artemis` in a folder, with a home of its own."""

    def __init__(self, folder: Path, target: str = "", **variables: str) -> None:
        self.folder = folder
        self.variables = {"XDG_CONFIG_HOME": str(folder / "config"), "TZ": "UTC", "TERM": "xterm"} | variables
        if target:
            self.variables["ARTEMIS_TARGET"] = target

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """Returns the environment of the command: neither its settings nor its size come from that of the tests."""
        unset = {
            name: value
            for name, value in environment().items()
            if not name.startswith("ARTEMIS_") and name not in {"COLUMNS", "LINES"}
        }
        return unset | self.variables | dict(variables or {})

    def start(self, *arguments: str, stdin: str | bytes = "", variables: Mapping[str, str] | None = None) -> Process:
        """Starts a command that reads this text."""
        with tempfile.TemporaryFile() as file:
            file.write(stdin.encode() if isinstance(stdin, str) else stdin)
            file.seek(0)
            return Process([MODULE, *arguments], self.environment(variables), self.folder, stdin=file)

    def run(self, *arguments: str, stdin: str | bytes = "", variables: Mapping[str, str] | None = None) -> Ran:
        """Runs a command that ends by itself."""
        process = self.start(*arguments, stdin=stdin, variables=variables)
        out, err = process.communicate(PATIENCE)
        return Ran(process.wait(PATIENCE), out, err)

    def prints(self, *arguments: str, stdin: str | bytes = "", variables: Mapping[str, str] | None = None) -> str:
        """Returns what a command prints that succeeds."""
        ran = self.run(*arguments, stdin=stdin, variables=variables)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran.out


class Terminal:
    """A terminal in which one command runs."""

    def __init__(self, process: "Process | subprocess.Popen[bytes]", screen: int) -> None:
        self.process = process
        self._screen = screen
        self.text = ""

    def read_until(self, part: str) -> str:
        """Returns what is on the screen, once this is part of it."""
        while part not in self.text:
            assert self._read(), f"{part!r} is not in {self.text!r}"
        return self.text

    def type(self, keys: str) -> None:
        """Types keys, Ctrl-C as the character of that number."""
        os.write(self._screen, keys.encode())

    def read(self) -> str:
        """Returns what is on the screen when the command has ended."""
        while self._read():
            pass
        return self.text

    def _read(self) -> bool:
        try:
            new = os.read(self._screen, 1 << 16)
        except OSError:  # nobody has the other end open
            return False
        self.text += new.decode().replace("\r\n", "\n")
        return bool(new)


@contextmanager
def terminal(command: list[str], env: Mapping[str, str], folder: Path, columns: int = 100) -> Iterator[Terminal]:
    """Runs a command in a terminal of so many columns."""
    screen, inside = pty.openpty()
    termios.tcsetwinsize(inside, (40, columns))

    process = _process(command, dict(env), folder, inside)
    os.close(inside)
    try:
        yield Terminal(process, screen)
    finally:
        os.close(screen)
        process.kill()
        process.wait(PATIENCE)
        if isinstance(process, Process):
            process.stdout.close()
            process.stderr.close()


def _process(command: list[str], env: dict[str, str], folder: Path, inside: int) -> "Process | subprocess.Popen[bytes]":
    """Starts a command whose terminal this is; `artemis` as a fork of a process that has imported it."""
    if command[:3] == artemis():
        return Process(command[2:], env, folder, terminal=inside)

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # it is ignored if the tests run in a shell's background

    return subprocess.Popen(
        command, stdin=inside, stdout=inside, stderr=inside, start_new_session=True, preexec_fn=take_terminal,
        env=env, cwd=folder,
    )  # fmt: skip


def artemis(*arguments: str) -> list[str]:
    """Returns the command line of `artemis`."""
    return [sys.executable, "-m", MODULE, *arguments]
