"""The rejects file: one JSON object a line for each record that was not stored, and why."""

import json
from contextlib import suppress
from pathlib import Path
from typing import IO

from artemis_loader.errors import LoaderError
from artemis_loader.records import Reject
from artemis_loader.summary import MAX_SHOWN

FEED = "{feed}"
"""Stands in the file's path for the name of the feed."""
_BEGINNING = '{"feed": '
"""The first characters of every rejects file."""


class RejectsFile:
    """The file for the rejects of one load; it is created with the first reject."""

    def __init__(self, pattern: str, feed: str, *, dry_run: bool = False) -> None:
        self.path = Path(pattern.replace(FEED, feed))
        if dry_run:
            self.path = dry_path(self.path)
        self.first: list[Reject] = []
        """The first rejects, up to MAX_SHOWN."""
        self._feed = feed
        self._file: IO[str] | None = None
        self._of_one_feed = FEED in pattern

    def begin(self) -> None:
        """Removes the file of an earlier load, unless all feeds share it: see `clear`."""
        if self._of_one_feed:
            clear(str(self.path))

    def write(self, reject: Reject) -> None:
        """Adds a reject."""
        if len(self.first) < MAX_SHOWN:
            self.first.append(reject)
        if self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise LoaderError(f"cannot write the rejects to {self.path}: {error.strerror}") from None
        line = {
            "feed": self._feed,
            "file": reject.file,
            "line": reject.line,
            "reason": reject.reason,
            "record": reject.record,
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Closes the file if there is one."""
        if self._file is not None:
            self._file.close()


def dry_path(path: Path) -> Path:
    """Returns the file for the rejects of a dry run: `rejects/talks.dry-run.jsonl` for `rejects/talks.jsonl`."""
    return path.with_name(f"{path.stem}.dry-run{path.suffix}")


def clear(pattern: str) -> None:
    """Removes the file of an earlier run, unless its path depends on the feed.

    Raises:
        LoaderError: it cannot be removed, or it is another file, such as the feed.
    """
    if FEED in pattern:
        return
    try:
        with suppress(FileNotFoundError), Path(pattern).open(encoding="utf-8", errors="replace") as file:
            if file.read(len(_BEGINNING)) not in ("", _BEGINNING):
                raise LoaderError(f"{pattern} is not a file of rejects, and they would replace it: name another one")
        Path(pattern).unlink(missing_ok=True)
    except OSError as error:
        raise LoaderError(f"cannot replace the rejects in {pattern}: {error.strerror}") from None
