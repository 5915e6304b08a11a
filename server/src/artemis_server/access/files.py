"""Files of access control: they are read at start, and again when they change, without a restart."""

import logging
import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from artemis_server.settings import SettingsError

INTERVAL = 1.0
"""Seconds between two reads of the files."""
MAX_BYTES = 2**20
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
"""The permissions that a private file must not have: any for others, and to write for the group."""

T = TypeVar("T")
log = logging.getLogger(__name__)


def read(path: Path, *, private: bool = False) -> bytes:
    """Returns the bytes of a file.

    The group may read a private file: Kubernetes gives a mounted secret to root, and the process to its group.

    Raises:
        SettingsError: it cannot be read, has more than MAX_BYTES, or must be private and is not.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else None
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    if content is None:
        raise SettingsError(f"{path} is not a regular file, which can be read again and again")
    if private and mode & _OTHERS:
        raise SettingsError(f"others can use {path}, whose mode is {stat.S_IMODE(mode):04o}: run chmod 600 {path}")
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{path} has more than {MAX_BYTES} bytes")
    return content


def _open(path: str, flags: int) -> int:
    """Opens a file. A pipe that nobody writes to does not hold this up."""
    return os.open(path, flags | os.O_NONBLOCK)


class Refreshing(Protocol):
    """A value that can be loaded again."""

    def refresh(self) -> None:
        """Loads the value again, if its source has changed."""


class Watched(Generic[T]):
    """A value that is made from the contents of files, and made again when they change.

    The contents are compared, and not the times of the files: a mounted secret changes by a symbolic link.
    """

    def __init__(self, name: str, load: Callable[[], tuple[bytes, ...]], parse: Callable[[tuple[bytes, ...]], T]):
        """Loads the value. Messages call it `name`, such as "the certificate".

        Raises:
            SettingsError: the files cannot be read, or have no such value.
        """
        self._name = name
        self._load = load
        self._parse = parse
        self._contents = load()
        self._lock = threading.Lock()
        """Makes refreshes follow each other: what an earlier one has read never replaces what a later one has."""
        self._problem = ""
        self._looks = 0
        """The number of reads in a row that have found the problem."""
        self.value: T = parse(self._contents)

    def refresh(self) -> None:
        """Takes the new value if the files have one, and otherwise keeps the old one.

        A problem is logged once, when two reads in a row have found it: a certificate may be written before its key.
        """
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        try:
            contents = self._load()
            if contents != self._contents:
                self.value = self._parse(contents)
                self._contents = contents
                log.info("%s: the new one is in use", self._name)
            problem = ""
        except SettingsError as error:
            problem = str(error)
        self._looks = self._looks + 1 if problem == self._problem else 1
        self._problem = problem
        if problem and self._looks == 2:  # noqa: PLR2004
            log.error("%s: the old one stays in use: %s", self._name, problem)


class Reloader:
    """A thread that refreshes the parts every INTERVAL seconds."""

    def __init__(self, parts: Sequence[Refreshing]) -> None:
        self._parts = parts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Refreshes the parts once, and starts the thread."""
        self._refresh()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL):
            self._refresh()

    def _refresh(self) -> None:
        for part in self._parts:
            try:
                part.refresh()
            except Exception:
                log.exception("a file of access control cannot be refreshed")
