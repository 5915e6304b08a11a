"""The history of loads, and the validators of feeds that were loaded, as rows beside the data."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from artemis_models import FeedValidators, Load
from sqlalchemy import Connection, Row, and_, delete, exists, insert, or_, select, update
from sqlalchemy.orm import aliased

from artemis_loader.files import Validators
from artemis_loader.locks import is_held
from artemis_loader.records import FeedWarning
from artemis_loader.summary import Counts, Status

SUCCESSES = (Status.LOADED, Status.NOT_MODIFIED)


@dataclass(frozen=True, kw_only=True)
class PastLoad:
    """One load in the history; times are microseconds since the epoch."""

    id: int
    feed: str
    status: Status
    start_time: int
    end_time: int | None
    counts: Counts
    error: str
    warnings: tuple[FeedWarning, ...] = ()
    """The first warnings, up to MAX_EXAMPLES."""

    @property
    def seconds(self) -> float | None:
        """Seconds that it took; None until it has ended."""
        return None if self.end_time is None else (self.end_time - self.start_time) / 1e6


def begin(connection: Connection, feed: str, retention: float) -> int:
    """Adds a running load and returns its id. The caller holds the feed's lock, so that no other is running.

    Removes the loads of all feeds that began more than `retention` seconds ago and that nobody needs: see `_prune`.
    """
    others = update(Load).where(Load.feed == feed, Load.status == Status.RUNNING)
    connection.execute(others.values(status=Status.INTERRUPTED, error="the process ended"))
    row = insert(Load).values(feed=feed, start_time=_now(), status=Status.RUNNING)
    added = int(connection.execute(row.returning(Load.id)).scalar_one())
    _prune(connection, before=_now() - round(retention * 1e6))
    return added


def _prune(connection: Connection, *, before: int) -> None:
    """Removes loads that began before a time, but each feed's newest one and its newest successful one.

    `oldest_kept` bounds the rows that are looked at: ids are in the order of time.
    """
    later = aliased(Load)
    oldest_kept = select(Load.id).where(Load.start_time >= before).order_by(Load.id).limit(1).scalar_subquery()
    replaced = exists().where(
        later.feed == Load.feed,
        later.id > Load.id,
        or_(later.status.in_(SUCCESSES), Load.status.not_in(SUCCESSES)),
    )
    connection.execute(delete(Load).where(and_(Load.id < oldest_kept, replaced)))


def last_success(connection: Connection, feed: str) -> int | None:
    """Returns when a load of the feed succeeded last, in microseconds since the epoch; None if none did."""
    query = select(Load.end_time).where(Load.feed == feed, Load.status.in_(SUCCESSES))
    return connection.execute(query.order_by(Load.id.desc()).limit(1)).scalar()


def first_load(connection: Connection, feed: str) -> int | None:
    """Returns when the oldest load of the feed in the history began; None if there is none."""
    return connection.execute(select(Load.start_time).where(Load.feed == feed).order_by(Load.id).limit(1)).scalar()


def end(
    connection: Connection,
    load: int,
    status: Status,
    counts: Counts,
    error: str = "",
    warnings: Sequence[FeedWarning] = (),
) -> None:
    """Records how a load ended, unless that is recorded already."""
    values: dict[str, int | str] = {f"{name}_count": value for name, value in asdict(counts).items()}
    values["first_warnings"] = json.dumps([asdict(warning) for warning in warnings])
    row = update(Load).where(Load.id == load, Load.status == Status.RUNNING)
    connection.execute(row.values(status=status, end_time=_now(), error=error, **values))


def last_loads(connection: Connection, feeds: Sequence[str], limit: int) -> list[PastLoad]:
    """Returns the last loads, the newest first; of these feeds if any are named."""
    query = select(Load.__table__).order_by(Load.id.desc()).limit(limit)
    if feeds:
        query = query.where(Load.feed.in_(feeds))
    loads = [_past(row) for row in connection.execute(query)]
    for index, load in enumerate(loads):  # one that was killed is still recorded as running
        if load.status is Status.RUNNING and not is_held(connection, load.feed):
            loads[index] = replace(load, status=Status.INTERRUPTED, error="the process ended")
    return loads


def loaded_feeds(connection: Connection) -> tuple[str, ...]:
    """Returns the names of the feeds in the history, sorted."""
    return tuple(connection.scalars(select(Load.feed).distinct().order_by(Load.feed)))


def last_ended(connection: Connection, feed: str) -> PastLoad | None:
    """Returns the newest load of the feed whose end is known; None if there is none."""
    query = select(Load.__table__).where(Load.feed == feed, Load.end_time.is_not(None))
    row = connection.execute(query.order_by(Load.id.desc()).limit(1)).one_or_none()
    return None if row is None else _past(row)


def validators(connection: Connection, feed: str) -> Validators | None:
    """Returns the validators of the version that was loaded last; None if there are none."""
    row = connection.execute(select(FeedValidators.__table__).where(FeedValidators.feed == feed)).one_or_none()
    if row is None:
        return None
    return Validators(etag=row.etag, last_modified=row.last_modified, fingerprint=row.fingerprint)


def store_validators(connection: Connection, feed: str, stored: Validators) -> None:
    """Stores the validators of the version that is loaded in this transaction."""
    connection.execute(delete(FeedValidators).where(FeedValidators.feed == feed))
    if stored.etag or stored.last_modified:
        connection.execute(insert(FeedValidators).values(feed=feed, **asdict(stored)))


def _past(row: Row[tuple[object, ...]]) -> PastLoad:
    values = row._mapping
    counts = {name.removesuffix("_count"): value for name, value in values.items() if name.endswith("_count")}
    return PastLoad(
        id=values["id"],
        feed=values["feed"],
        status=Status(values["status"]),
        start_time=values["start_time"],
        end_time=values["end_time"],
        counts=Counts(**counts),
        error=values["error"],
        warnings=tuple(FeedWarning(**warning) for warning in json.loads(values["first_warnings"])),
    )


def _now() -> int:
    return time.time_ns() // 1000
