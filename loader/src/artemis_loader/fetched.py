"""What fetching a feed gives: its files on this machine, and what tells whether it has changed."""

from dataclasses import dataclass

from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile, opened


@dataclass(frozen=True, kw_only=True)
class Validators:
    """What tells whether a feed has changed since it was loaded. To be stored when the load is, and only then."""

    etag: str = ""
    last_modified: str = ""
    fingerprint: str = ""
    """Of the declaration that the feed was loaded with: another one may give other records of the same file."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The files of a feed, all of them on this machine."""

    files: tuple[LocalFile, ...] = ()
    validators: Validators = Validators()
    unchanged: bool = False
    """Whether the feed is the one that the validators were stored for, so that there is nothing to load."""

    @property
    def size(self) -> int:
        """Returns the bytes of all files as they are, compressed or not."""
        return sum(file.path.stat().st_size for file in self.files)


def checked(files: tuple[LocalFile, ...], feed: Feed) -> tuple[LocalFile, ...]:
    """Returns the files. Raises FeedError when one of them cannot be opened, or is a page instead of a feed."""
    for file in files:
        opened(file, feed.limits.max_bytes).close()
    return files
