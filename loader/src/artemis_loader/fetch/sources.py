"""Fetches a feed: finds its local files, or downloads it."""

import glob
import time
from collections.abc import Callable
from pathlib import Path

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import Fetched, LocalFile, Validators, check_files


def fetch(
    feed: Feed, validators: Validators | None, workdir: Path, wait: Callable[[float], object] = time.sleep
) -> Fetched:
    """Returns the feed's files. A download is stored in `workdir`, which the caller removes.

    `validators` are those of the last load, if there are any. `wait` is called with seconds between attempts.

    Raises:
        FeedError: there is no such file, or it cannot be fetched, is too large, or is a page instead of a feed.
    """
    if not feed.remote:
        return Fetched(files=check_files(_local_files(feed), feed))
    from artemis_loader.fetch.http import download  # noqa: PLC0415, it takes a sixth of a second to import

    if validators and validators.fingerprint != feed.fingerprint():
        validators = None
    return download(feed, validators, workdir, wait)


def _local_files(feed: Feed) -> tuple[LocalFile, ...]:
    exact = Path(feed.url)
    if exact.exists() or not glob.has_magic(feed.url):
        return (_local_file(exact),)
    paths = sorted(path for path in map(Path, glob.iglob(feed.url, recursive=True)) if path.is_file())
    if not paths:
        raise FeedError(f"{feed.url}: no file matches")
    return tuple(map(_local_file, paths))


def _local_file(path: Path) -> LocalFile:
    return LocalFile(path=path, name=str(path), base=path.name, folder=path.parent.name)
