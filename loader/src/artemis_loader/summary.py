"""The summary of a load: its status, its counts and its duration."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from artemis_loader.records import Change, Duplicate, FeedWarning, Reject

MAX_EXAMPLES = 20
"""Warnings that a summary and the history show; the others are counted."""
MAX_SHOWN = 5
"""Rejects, duplicates and changes of each kind that a summary shows; all rejects are in their file."""


class Status(StrEnum):
    """The state of a load."""

    RUNNING = "running"
    LOADED = "loaded"
    NOT_MODIFIED = "not modified"
    """The feed is the one that was loaded last, and was not read."""
    DRY_RUN = "dry run"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The numbers of records or rows that a load read, wrote, left as they are or rejected."""

    read: int = 0
    """Records of the feed, rejects and duplicates included."""
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    kept: int = 0
    """Users that the feed no longer has, who own events and are therefore still there."""
    rejected: int = 0
    duplicate: int = 0
    """Records that a later one with the same external_id replaced."""
    warnings: int = 0
    """Parts of the feed that were passed over, or read in another way than they are written."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A load that has ended."""

    feed: str
    status: Status
    counts: Counts = Counts()
    seconds: float = 0.0
    locked_seconds: float = 0.0
    """Seconds that the merge kept other writers waiting, on SQLite."""
    error: str = ""
    warnings: tuple[FeedWarning, ...] = ()
    """The first warnings, up to MAX_EXAMPLES."""
    first_rejects: tuple[Reject, ...] = ()
    first_duplicates: tuple[Duplicate, ...] = ()
    changes: tuple[Change, ...] = ()
    """Examples of the rows that a dry run would change."""
    rejects_file: str = ""
    """Has all rejects; empty if there are none."""

    @property
    def failed(self) -> bool:
        """Tells whether the load changed nothing because something was wrong."""
        return self.status in (Status.FAILED, Status.INTERRUPTED)

    @property
    def rate(self) -> float:
        """Records read per second."""
        return self.counts.read / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        """Returns the summary as JSON values."""
        return {
            "feed": self.feed,
            "status": str(self.status),
            **asdict(self.counts),
            "seconds": round(self.seconds, 3),
            "locked_seconds": round(self.locked_seconds, 3),
            "records_per_second": round(self.rate),
            "error": self.error,
            "first_warnings": [asdict(warning) for warning in self.warnings],
            "first_rejects": [asdict(reject) for reject in self.first_rejects],
            "first_duplicates": [asdict(duplicate) for duplicate in self.first_duplicates],
            "changes": [asdict(change) for change in self.changes],
            "rejects_file": self.rejects_file,
        }
