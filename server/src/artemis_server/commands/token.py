"""`artemis-server token new`: makes a bearer token, prints it once, and writes its hash to the tokens file."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from artemis_server.access import tokens
from artemis_server.access.files import read
from artemis_server.settings import Settings, SettingsError

_MODE = 0o600
"""The mode of a new tokens file. A file that exists keeps its mode and its owner."""


def new(settings: Settings) -> int:
    """Writes the hash of a new token to the file, then prints the token, and returns 0.

    Raises:
        SettingsError: the file cannot be read or written, is not private, or is malformed.
    """
    asked, file = settings.token, settings.auth_tokens_file
    assert asked is not None  # noqa: S101, for the type checker
    assert file is not None  # noqa: S101, for the type checker
    token, now = tokens.new_token(), datetime.now(UTC)
    expires = None if asked.expires is None else now + asked.expires
    add(file, tokens.entry_text(token, asked.name, asked.role, now, expires))
    print(token)
    until = "" if expires is None else f" until {expires:%Y-%m-%d %H:%M} UTC"
    print(f"{asked.name} may use this token in the role {asked.role}{until}. It is not shown again.", file=sys.stderr)
    return 0


def add(file: Path, entry: str) -> None:
    """Adds an entry to a tokens file, and makes the file if there is none. Readers see the old file or the new one.

    Raises: as `new`.
    """
    path = Path(os.path.realpath(file))  # a link stays one
    try:
        with _locked(path.parent):
            before = read(path, private=True).decode() if path.exists() else ""
            after = before + ("\n" if before and not before.endswith("\n\n") else "") + entry
            tokens.parse(after.encode(), path)
            _replace(path, after)
    except OSError as error:
        raise SettingsError(f"cannot write {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a lock of the folder. A lock of the file would not do, because each change makes another file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)  # the new name of the file
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # of a command that was killed
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="utf-8") as out:
            with suppress(FileNotFoundError):
                old = path.stat()
                os.fchmod(out.fileno(), old.st_mode & 0o777)
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(out.fileno(), old.st_uid, old.st_gid)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
