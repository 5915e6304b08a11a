"""One load of one feed, from its lock to its entry in the history. A load that fails changes nothing else."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from artemis_models import DatabaseError, check_revision, describe
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from artemis_loader import history
from artemis_loader.entities import ENTITIES
from artemis_loader.errors import LoaderError
from artemis_loader.feeds import Feed
from artemis_loader.fetch.download_folder import download_folder
from artemis_loader.fetch.sources import fetch
from artemis_loader.files import Fetched, Validators
from artemis_loader.locks import only_load
from artemis_loader.merge.dialects import StagedRow, dialect_of, is_conflict, own_connection
from artemis_loader.merge.email_conflicts import report_refused
from artemis_loader.merge.examples import find_changes
from artemis_loader.merge.merging import Difference, Merge
from artemis_loader.merge.staging import Staging
from artemis_loader.reading import read
from artemis_loader.records import FeedWarning, Record, Reject
from artemis_loader.report.progress import Reporter
from artemis_loader.report.rejects import RejectsFile
from artemis_loader.report.tally import Tally
from artemis_loader.summary import Counts, Status, Summary

log = logging.getLogger(__name__)
COMMIT_INTERVAL = 0.25
"""Seconds between commits to the temporary tables; after each, progress is shown and a load can stop."""
CLOCK_INTERVAL = 100
"""Records between two looks at the clock."""
ATTEMPTS = 3
"""Times that a load compares and merges, when a row changes between the two."""

Read = Callable[[Feed, Fetched, Callable[[int], None]], Iterable[Record | Reject | FeedWarning]]


class Stopped(LoaderError):
    """The load was asked to stop before it merged."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a load, the same for all feeds."""

    rejects: str = "rejects/{feed}.jsonl"
    """The rejects file; {feed} stands for the name of the feed."""
    dry_run: bool = False
    """True if the load counts the changes that it would make, and writes nothing to the database."""
    force: bool = False
    """True if a feed is loaded although it has not changed, or has shrunk."""
    retention: float = 90 * 86400.0
    """Seconds for which the history of loads is kept."""
    stopped: Callable[[], bool] = lambda: False
    """Tells whether to give up; called after each commit until the merge begins."""
    wait: Callable[[float], object] = time.sleep
    """Waits some seconds between attempts to fetch."""


def load(engine: Engine, feed: Feed, options: Options, reporter: Reporter, reader: Read = read) -> Summary:
    """Loads a feed and returns the summary. An error of the feed or the database is in the summary, and not raised.

    Raises:
        KeyboardInterrupt: somebody asked for it; nothing was changed.
    """
    started = time.monotonic()
    try:
        check_schema(engine)  # a migration may have raised the row since this program began
        with own_connection(engine) as connection:
            loading = _Loading(connection, feed, options, reporter, reader)
            if options.dry_run:
                summary = _dry(loading)
            else:
                with only_load(connection, feed.name):
                    summary = _recorded(connection, loading)
    except (LoaderError, DatabaseError, SQLAlchemyError, OSError) as error:
        if not isinstance(error, LoaderError | DatabaseError):
            log.debug("feed %s: the load failed", feed.name, exc_info=True)
        summary = Summary(feed=feed.name, status=Status.FAILED, error=_message(error, engine))
    return replace(summary, seconds=time.monotonic() - started)


def check_schema(engine: Engine) -> str:
    """Returns the revision of the database. Raises DatabaseError when there is none that the loader can use."""
    return check_revision(engine, program="artemis-loader")


def _dry(loading: "_Loading") -> Summary:
    """Runs a dry run. One that fails shows what it has read and rejected until then, as a load does."""
    try:
        return loading.run()
    except LoaderError as error:
        text = _message(error, loading.engine)
        return loading.tally.summary(Status.FAILED, error=text)


def _recorded(connection: Connection, loading: "_Loading") -> Summary:
    """Runs a load, and writes down how it ended if that is not in the history yet."""
    dialect = dialect_of(connection.engine)
    with dialect.writing(connection):
        loading.entry = history.begin(connection, loading.feed.name, loading.options.retention)
    try:
        return loading.run()
    except BaseException as error:
        status = Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED
        status = Status.INTERRUPTED if isinstance(error, Stopped) else status
        text = _message(error, connection.engine)
        _record_failure(connection.engine, loading, status, text)
        if isinstance(error, LoaderError):
            return loading.tally.summary(status, error=text)
        raise


def _message(error: BaseException, engine: Engine) -> str:
    """Returns the text of an error as every database and terminal takes it: a file may have any bytes in its name."""
    if isinstance(error, SQLAlchemyError):
        text = describe(error, engine)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def _record_failure(engine: Engine, loading: "_Loading", status: Status, error: str) -> None:
    try:
        with engine.begin() as connection:
            history.end(connection, loading.entry, status, loading.tally.counts, error, loading.tally.warnings)
    except SQLAlchemyError as second:
        log.warning("feed %s: cannot record that it failed: %s", loading.feed.name, describe(second, engine))


class _Loading:
    """A load that holds the feed's lock, or a dry run."""

    def __init__(self, connection: Connection, feed: Feed, options: Options, reporter: Reporter, reader: Read) -> None:
        self.feed = feed
        self.entry = 0
        """The id in the history."""
        self._connection = connection
        self._dialect = dialect_of(connection.engine)
        self.options = options
        self._reporter = reporter
        self._reader = reader
        self.tally = Tally(feed, RejectsFile(options.rejects, feed.name, dry_run=options.dry_run))

    @property
    def engine(self) -> Engine:
        """The engine of the database."""
        return self._connection.engine

    def run(self) -> Summary:
        """Returns the summary of a load that succeeded; raises the error that stops it."""
        with download_folder(self.engine, self.feed, dry_run=self.options.dry_run) as folder:
            fetched = fetch(self.feed, self._validators(), folder, self.options.wait)
            if fetched.unchanged:
                return self._finish_unmodified()
            with self.tally.begin(fetched.files):
                return self._read_and_merge(fetched)

    def _validators(self) -> Validators | None:
        if self.options.force or not self.feed.remote:
            return None
        with self._dialect.reading(self._connection):
            return history.validators(self._connection, self.feed.name)

    def _finish_unmodified(self) -> Summary:
        status = Status.DRY_RUN if self.options.dry_run else Status.NOT_MODIFIED
        if not self.options.dry_run:
            with self._dialect.writing(self._connection):
                history.end(self._connection, self.entry, status, Counts())
        return Summary(feed=self.feed.name, status=status)

    def _read_and_merge(self, fetched: Fetched) -> Summary:
        entity = ENTITIES[self.feed.entity].mapped_by(self.feed.fields)
        staging = Staging(self._connection, self._dialect, entity)
        staging.create()
        self._stage(staging, fetched)
        refresh = self.feed.mode == "refresh"
        merge = Merge(
            self._connection,
            self._dialect,
            staging,
            self.feed.name,
            refresh=refresh,
            reject_unknown_owners=self.feed.owner_missing == "reject",
        )
        for _ in range(ATTEMPTS - 1):
            try:
                return self._compare_and_merge(staging, merge, fetched.validators)
            except DBAPIError as error:
                if not is_conflict(error):
                    raise
                log.info("feed %s: a row changed meanwhile; comparing again", self.feed.name)
        return self._compare_and_merge(staging, merge, fetched.validators)

    def _compare_and_merge(self, staging: Staging, merge: Merge, validators: Validators) -> Summary:
        self._reporter.step("comparing")
        difference = merge.compare()
        self._check(staging, merge, difference)
        if self.options.dry_run:
            with self._dialect.reading(self._connection):
                changes = find_changes(self._connection, staging, difference)
            return self.tally.summary(Status.DRY_RUN, self._counts(difference), changes=changes)
        return self._merge(merge, difference, validators)

    def _stage(self, staging: Staging, fetched: Fetched) -> None:
        self._reporter.start(self.feed.name, fetched.size)
        items = self._reader(self.feed, fetched, self._reporter.bytes_read)
        numbered = enumerate(items, 1)
        for first in numbered:  # a transaction each time
            staging.append(self._rows(chain([first], numbered), staging))
            self._reporter.records_read(self.tally.read)
            self._give_up_when_stopped()
        self._reporter.step("indexing")
        duplicates = staging.finish()
        self.tally.note_duplicates(duplicates.count, duplicates.examples)

    def _rows(
        self, items: Iterable[tuple[int, Record | Reject | FeedWarning]], staging: Staging
    ) -> Iterator[StagedRow]:
        """Yields records as rows, numbers first, until it is time to commit; counts rejects and warnings."""
        end = time.monotonic() + COMMIT_INTERVAL
        tally = self.tally
        number = tally.read + tally.warned
        try:
            for number, item in items:
                if isinstance(item, Record):
                    external_id, values, place = item
                    yield number, external_id, place or number, *values
                elif isinstance(item, FeedWarning):
                    tally.warn(item)
                else:
                    if item.external_id:
                        staging.add_rejected(number, item.external_id)
                    tally.reject(item)
                if not number % CLOCK_INTERVAL and time.monotonic() >= end:
                    return
        finally:
            tally.read = number - tally.warned  # a warning is no record

    def _check(self, staging: Staging, merge: Merge, difference: Difference) -> None:
        """Raises LoaderError if the difference must not be merged."""
        with self._dialect.reading(self._connection):
            self.tally.reject_all(report_refused(self._connection, staging, self.tally.locate))
        if not self.options.force:
            may_be_empty = self.feed.allow_empty and not self.tally.read
            merge.guard(difference, self.feed.limits.max_shrink, may_be_empty=may_be_empty)
        if difference.kept and (reference := staging.entity.referred_to_by) is not None:
            log.warning(
                "feed %s: %d %s are no longer in the feed and stay, because %s refer to them",
                self.feed.name,
                difference.kept,
                staging.entity.name,
                reference.class_.__table__.name,
            )
        self._give_up_when_stopped()

    def _merge(self, merge: Merge, difference: Difference, validators: Validators) -> Summary:
        counts = self._counts(difference)

        def finish(connection: Connection, done: Difference) -> None:
            nonlocal counts
            counts = self._counts(done)
            history.store_validators(connection, self.feed.name, validators)
            history.end(connection, self.entry, Status.LOADED, counts, warnings=self.tally.warnings)

        self._reporter.step("merging")
        locked_seconds = merge.apply(finish, difference)
        if counts.inserted or counts.updated or counts.deleted:
            self._dialect.announce(self._connection)
        return self.tally.summary(Status.LOADED, counts, locked_seconds=locked_seconds)

    def _counts(self, difference: Difference) -> Counts:
        return replace(
            self.tally.counts,
            inserted=difference.inserted,
            updated=difference.updated,
            unchanged=difference.staged - difference.inserted - difference.updated,
            deleted=difference.deleted,
            kept=difference.kept,
        )

    def _give_up_when_stopped(self) -> None:
        if self.options.stopped():
            raise Stopped("stopped before anything was changed")
