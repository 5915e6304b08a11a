"""Loads on a schedule: each feed by its cron expression, never twice at once, until it is stopped."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.executors.debug import DebugExecutor  # type: ignore[import-untyped]
from apscheduler.executors.pool import ThreadPoolExecutor  # type: ignore[import-untyped]
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]
from apscheduler.triggers.base import BaseTrigger  # type: ignore[import-untyped]
from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped]
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped]

from artemis_loader.errors import ConfigError
from artemis_loader.feeds import Feed

log = logging.getLogger(__name__)
AT_ONCE = 4
"""Feeds that are loaded at the same time."""
BEAT_INTERVAL = 10.0
"""Seconds between two signs that the scheduler runs."""
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week by their number in cron, where Sunday is both 0 and 7."""
FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_MOMENT = timedelta(microseconds=1)
_MAX_REPEATED = timedelta(hours=3)
"""Longer than any change of clocks repeats times."""


def trigger_of(feed: Feed) -> BaseTrigger:
    """Returns when a feed is due, by the rules of cron: with a day and a day of the week, either is enough.

    Raises:
        ConfigError: the expression is malformed.
    """
    fields = dict(zip(FIELDS, feed.schedule.split(), strict=True))
    try:
        any_day = "*" in (fields["day"][0], fields["day_of_week"][0])
        days = fields["day_of_week"].lower().split(",")
        fields["day_of_week"] = ",".join(map(_named_days, days))
        either = [fields] if any_day else [fields | {"day_of_week": "*"}, fields | {"day": "*"}]
        clocks = [CronTrigger(timezone=UTC, **part) for part in either]
        return ClockTrigger(clocks, feed.time_zone, every_hour=_is_every_hour(clocks[0]))
    except (ValueError, IndexError) as error:
        raise ConfigError(f"feed {feed.name}: schedule {feed.schedule!r}: {error}") from None


def _is_every_hour(clock: CronTrigger) -> bool:
    """Tells whether a trigger has all hours, as "*", "*/1" and "0-23" do."""
    [hour] = [field for field in clock.fields if field.name == "hour"]
    return all(hour.get_next_value(datetime(2024, 1, 1, number, tzinfo=UTC)) == number for number in range(24))


class ClockTrigger(BaseTrigger):  # type: ignore[misc]  # it ships no types
    """The times that the clocks of a zone show, also over a change of the clocks, and always in UTC.

    A time that is skipped is due in the first moment after the gap, and one that comes twice is due the first time:
    `30 2 * * *` is due once on each day. A schedule of every hour follows the hours as they pass instead: `30 * * * *`
    is due twice when an hour comes twice, and not in the one that is skipped.

    APScheduler's CronTrigger computes with local times and leaves out a day after the clocks go forward, so it is
    asked in UTC, which has no changes, what the clocks show.
    """

    def __init__(self, clocks: Sequence[CronTrigger], zone: tzinfo, *, every_hour: bool) -> None:
        """`clocks` are triggers in UTC; what one of them has is due."""
        self._clocks = clocks
        self._zone = zone
        self._every_hour = every_hour

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Returns the first time after the previous one, or the first from now on; None if there is none."""
        start = (previous_fire_time + _MOMENT if previous_fire_time else now).astimezone(UTC)
        return self._hourly(start) if self._every_hour else self._once(start)

    def _once(self, start: datetime) -> datetime | None:
        for wall in self._walls(self._wall(start - _MOMENT)):
            due = self._first(wall)
            if due >= start:
                return due
        return None

    def _hourly(self, start: datetime) -> datetime | None:
        """Looks beyond the first time that is found, because the second of an earlier one may come before it."""
        here = self._wall(start)
        found: list[datetime] = []
        for wall in self._walls(here - _MAX_REPEATED):
            if found and wall > here + _MAX_REPEATED:
                return min(found)
            here = here if found else max(here, wall)
            each = (wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            found += [due for due in each if due >= start and self._wall(due) == wall]
        return None

    def _walls(self, wall: datetime) -> Iterator[datetime]:
        """Yields what the clocks show when the feed is due, from some time on."""
        start: datetime | None = wall.replace(tzinfo=UTC)
        while start is not None:
            following = [each for clock in self._clocks if (each := clock.get_next_fire_time(None, start))]
            if not following:
                return
            start = min(following)
            yield start.replace(tzinfo=None)
            start += _MOMENT

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _first(self, wall: datetime) -> datetime:
        """Returns when the clocks show a time first; of one that they skip, the first moment after the gap."""
        later, earlier = (wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if self._wall(later) == wall:
            return later
        after = self._wall(later) - later.replace(tzinfo=None)
        while later - earlier > timedelta(seconds=1):
            middle = earlier + (later - earlier) // 2
            if self._wall(middle) - middle.replace(tzinfo=None) == after:
                later = middle
            else:
                earlier = middle
        return later.replace(microsecond=0)


def next_time(feed: Feed, after: datetime) -> datetime | None:
    """Returns when a feed is due next."""
    found: datetime | None = trigger_of(feed).get_next_fire_time(None, after)
    return found


def _named_days(text: str) -> str:
    """Returns a range of days of the week by name: APScheduler counts from Monday, and cron from Sunday."""
    days, slash, step = text.partition("/")
    if days == "*":
        return _listed(0, 6, int(step)) if slash else "*"
    first, dash, last = days.partition("-")
    begin = _number(first)
    end = _number(last) if dash else (6 if slash else begin)
    return _listed(begin, end, int(step) if slash else 1)


def _number(day: str) -> int:
    number = int(day) if day.isdigit() else DAYS.index(day)
    if number >= len(DAYS):
        raise ValueError(f"{day} is no day of the week")
    return number


def _listed(begin: int, end: int, step: int) -> str:
    if end < begin:
        end += 7
    return ",".join(DAYS[day % 7] for day in range(begin, end + 1, step))


class Scheduler:
    """Calls a function with each feed when it is due."""

    def __init__(
        self, feeds: Iterable[Feed], load: Callable[[Feed], object], beat: Callable[[], object] = lambda: None
    ) -> None:
        """`load` may fail; that is logged, and the feed is due again as declared.

        The scheduler's own thread calls `beat` every BEAT_INTERVAL seconds, also while loads run.
        """
        self._load = load
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(AT_ONCE), "own thread": DebugExecutor()},
            # A feed that is still loading when it is due again skips that time. A load that comes late is still made.
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
            timezone=UTC,
        )
        for feed in feeds:
            self._scheduler.add_job(self._run, trigger_of(feed), args=[feed], id=feed.name, name=feed.name)
        self._scheduler.add_job(beat, IntervalTrigger(seconds=BEAT_INTERVAL, timezone=UTC), executor="own thread")

    def start(self) -> None:
        """Begins; returns at once."""
        self._scheduler.start()
        for job in (job for job in self._scheduler.get_jobs() if job.executor == "default"):
            log.info("feed %s: next load at %s", job.id, _shown(job.next_run_time, job.args[0]))

    def stop(self, grace: float) -> bool:
        """Begins no further load and waits for those that run; tells whether they ended within `grace` seconds."""
        waiter = threading.Thread(target=self._scheduler.shutdown, name="shutdown", daemon=True)
        waiter.start()
        waiter.join(grace)
        return not waiter.is_alive()

    def _run(self, feed: Feed) -> None:
        try:
            self._load(feed)
        except Exception:
            log.exception("feed %s: the load failed", feed.name)
        due = next_time(feed, datetime.now(UTC) + timedelta(microseconds=1))
        log.info("feed %s: next load at %s", feed.name, _shown(due, feed))


def _shown(due: datetime | None, feed: Feed) -> str:
    """Returns when a feed is due in its zone."""
    return due.astimezone(feed.time_zone).isoformat(timespec="seconds") if due else "no time"
