"""The tally of a load: counts of what it reads, and the first rejects, duplicates and warnings, for its summary."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.records import LINES, Change, Duplicate, FeedWarning, Reject
from artemis_loader.report.rejects import RejectsFile
from artemis_loader.summary import MAX_EXAMPLES, MAX_SHOWN, Counts, Status, Summary

log = logging.getLogger(__name__)
MANY_DUPLICATES = 0.05
"""The share of a feed's records from which duplicates look like a mistake of its declaration."""


class Tally:
    """Counts the records of one load. The load itself sets `read`, for many records at once."""

    def __init__(self, feed: Feed, rejects: RejectsFile) -> None:
        self._feed = feed
        self._rejects = rejects
        self._files: Sequence[LocalFile] = ()
        self.read = 0
        """Records, rejects and duplicates included."""
        self.warned = 0
        self.warnings: list[FeedWarning] = []
        """The first ones, up to MAX_EXAMPLES."""
        self._rejected = self._duplicate = 0
        self._duplicates: tuple[Duplicate, ...] = ()

    @contextmanager
    def begin(self, files: Sequence[LocalFile]) -> Iterator[None]:
        """Has the rejects file while the files of the feed are loaded."""
        self._files = files
        self._rejects.begin()
        try:
            yield
        finally:
            self._rejects.close()

    @property
    def counts(self) -> Counts:
        """The records read so far: the only counts of a load that fails."""
        return Counts(read=self.read, rejected=self._rejected, duplicate=self._duplicate, warnings=self.warned)

    def summary(
        self,
        status: Status,
        counts: Counts | None = None,
        *,
        locked_seconds: float = 0.0,
        error: str = "",
        changes: tuple[Change, ...] = (),
    ) -> Summary:
        """Returns the summary of the load, with its first rejects, duplicates and warnings."""
        rejects = self._rejects
        return Summary(
            feed=self._feed.name,
            status=status,
            counts=counts or self.counts,
            locked_seconds=locked_seconds,
            error=error,
            first_rejects=tuple(rejects.first),
            first_duplicates=self._duplicates,
            changes=changes,
            warnings=tuple(self.warnings),
            rejects_file=str(rejects.path) if rejects.first else "",
        )

    def locate(self, place: int) -> tuple[str, int]:
        """Returns the file and the line of a `Record.place`."""
        number, line = divmod(place, LINES)
        return self._files[number].name, line

    def warn(self, warning: FeedWarning) -> None:
        """Takes a warning."""
        self.warned += 1
        if len(self.warnings) < MAX_EXAMPLES:
            self.warnings.append(warning)

    def reject(self, reject: Reject) -> None:
        """Takes a reject. Raises FeedError if `max_rejects` is a number, and there are more."""
        self._write(reject)
        if isinstance(self._feed.limits.max_rejects, int):
            self._check_rejects()

    def reject_all(self, rejects: Iterable[Reject]) -> None:
        """Takes the last rejects. Raises FeedError if there are more than `max_rejects` allows."""
        for reject in rejects:
            self._write(reject)
        self._check_rejects()

    def note_duplicates(self, count: int, examples: Iterable[tuple[str, int, int]]) -> None:
        """Takes the number of duplicates, and of the first ones the external_id and both places."""
        self._duplicate = count
        self._duplicates = tuple(
            Duplicate(external_id, *self.locate(place), *self.locate(later)) for external_id, place, later in examples
        )
        if count:
            log.warning(
                "feed %s: %d records have the external_id of a later one, which was taken instead: %s%s",
                self._feed.name,
                count,
                ", ".join(dict.fromkeys(one.external_id for one in self._duplicates)),
                ", ..." if count > len(self._duplicates) else "",
            )
        if count > max(MANY_DUPLICATES * self.read, MAX_SHOWN):
            log.warning(
                "feed %s: that is %.0f %% of the %d records: external_id may lack a part that tells them apart",
                self._feed.name,
                100 * count / self.read,
                self.read,
            )

    def _write(self, reject: Reject) -> None:
        self._rejected += 1
        self._rejects.write(reject)

    def _check_rejects(self) -> None:
        limits = self._feed.limits
        if limits.too_many_rejects(self._rejected, self.read):
            raise FeedError(
                f"{self._rejected:,} records were rejected, more than max_rejects = {limits.max_rejects} allows; "
                f"see {self._rejects.path}"
            )
