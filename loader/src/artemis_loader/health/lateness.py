"""Finds the feeds that are late: not loaded successfully for longer than `max_age` or the schedule allows."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from artemis_loader.feeds import Feed
from artemis_loader.health.heartbeat import MAX_SILENCE, Beats
from artemis_loader.history import PastLoad, first_load, last_loads, last_success
from artemis_loader.schedule import next_time
from artemis_loader.summary import Status

MOMENT = timedelta(microseconds=1)


def problems(connection: Connection, feeds: Iterable[Feed], beats: Beats | None, now: datetime) -> Iterator[str]:
    """Yields a line for each fault: the scheduler's first, if a feed has a schedule, then one for each late feed."""
    watched = [feed for feed in feeds if feed.schedule or feed.max_age]
    if any(feed.schedule for feed in watched):
        yield from _silence(beats, now)
    for feed in watched:
        yield from _lateness(connection, feed, beats, now)


def deadline(feed: Feed, since: datetime) -> datetime | None:
    """Returns the time from which a feed is late that was loaded at `since`; None if it never is.

    That is `max_age` seconds later. Without `max_age`, a feed may miss one time of its schedule: it is late
    `limits.deadline` seconds after the second time.
    """
    if feed.max_age is not None:
        return since + timedelta(seconds=feed.max_age)
    due: datetime | None = since
    for _ in range(2):
        due = next_time(feed, due + MOMENT) if due else None
    return due and due + timedelta(seconds=feed.limits.deadline)


def _silence(beats: Beats | None, now: datetime) -> Iterator[str]:
    if beats is None:
        yield "no loader runs the schedules of this configuration"
    elif (now - beats.last).total_seconds() > MAX_SILENCE:
        yield f"the scheduler has given no sign of life since {_shown(beats.last)}"


def _lateness(connection: Connection, feed: Feed, beats: Beats | None, now: datetime) -> Iterator[str]:
    success = _time(last_success(connection, feed.name))
    since = success or _time(first_load(connection, feed.name)) or (beats.first if beats else None)
    if since is None:
        if feed.max_age is not None:
            yield f"feed {feed.name}: has not been loaded yet"
        return
    late = deadline(feed, since)
    if late is not None and now > late:
        last = last_loads(connection, [feed.name], 1)
        yield f"feed {feed.name}: no successful load since {_shown(since)}{_last(last[0]) if last else ''}"


def _last(load: PastLoad) -> str:
    if load.status is Status.RUNNING:
        return f"; one is running since {_shown(_time(load.start_time))}"
    return f"; the last one: {load.error or load.status}"


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC)


def _shown(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else ""
