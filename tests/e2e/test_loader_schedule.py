"""The schedule of feeds: when each is due, and what happens when a load fails, lasts or is to stop."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.events import EVENT_JOB_MAX_INSTANCES  # type: ignore[import-untyped]
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped]
from artemis_loader import schedule
from artemis_loader.errors import ConfigError
from artemis_loader.feeds import Feed
from artemis_loader.schedule import Scheduler, next_time, trigger_of

PATIENCE = 60.0
SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def feed(cron: str, zone: str = "UTC", name: str = "feed") -> Feed:
    """Returns a feed that is due by this expression."""
    return Feed(
        name=name,
        url="/feed.jsonl",
        format="jsonl",
        entity="events",
        mode="upsert",
        fields={},
        schedule=cron,
        time_zone=ZoneInfo(zone),
    )


def due(cron: str, count: int = 1, zone: str = "UTC") -> list[str]:
    """Returns when a feed is due from a Sunday on."""
    found: list[str] = []
    after = SUNDAY
    for _ in range(count):
        following = next_time(feed(cron, zone), after)
        assert following is not None
        found.append(following.astimezone(UTC).strftime("%a %m-%d %H:%M"))
        after = following + timedelta(seconds=1)
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/20 * * * *", ["Sun 11-22 12:00", "Sun 11-22 12:20"]),
        ("0 3 * * *", ["Mon 11-23 03:00", "Tue 11-24 03:00"]),
        ("0 3 * * 0", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * 7", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * 1", ["Mon 11-23 03:00", "Mon 11-30 03:00"]),
        ("0 3 * * 5-7", ["Fri 11-27 03:00", "Sat 11-28 03:00"]),
        ("0 3 * * MON-FRI/2", ["Mon 11-23 03:00", "Wed 11-25 03:00"]),
        ("0 3 * * sat,sun", ["Sat 11-28 03:00", "Sun 11-29 03:00"]),
        ("0 3 * * */3", ["Wed 11-25 03:00", "Sat 11-28 03:00"]),
        ("0 3 1 jan-mar *", ["Fri 01-01 03:00", "Mon 02-01 03:00"]),
        ("0 3 25 * 1", ["Mon 11-23 03:00", "Wed 11-25 03:00"]),
    ],
)
def test_a_feed_is_due_as_cron_has_it(cron: str, expected: list[str]) -> None:
    assert due(cron, 2) == expected


def test_a_schedule_is_in_the_zone_of_its_feed() -> None:
    assert due("0 3 * * *", zone="Asia/Tokyo") == ["Sun 11-22 18:00"]


@pytest.mark.parametrize(
    "cron",
    ["61 * * * *", "* * * * 8", "* * * * day", "* * 32 * *", "a b c d e", "* * * * ,", "* * * * 1-", "*/0 * * * *"],
)
def test_an_expression_that_means_nothing_is_refused(cron: str) -> None:
    with pytest.raises(ConfigError, match="feed feed: schedule"):
        trigger_of(feed(cron))


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every feed due a hundred times a second."""
    monkeypatch.setattr(schedule, "trigger_of", lambda _: IntervalTrigger(seconds=0.01, timezone=UTC))


class Loads:
    """A load that lasts until it may end, and counts how many of it run at once."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.most = 0
        self.running = 0

    def __call__(self, _: Feed) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        assert self.may_end.wait(PATIENCE)
        self.running -= 1


@pytest.fixture
def loads(always_due: None) -> Iterator[Loads]:  # noqa: ARG001, feeds must be due
    loads = Loads()
    yield loads
    loads.may_end.set()


def test_a_feed_never_overlaps_with_itself(loads: Loads) -> None:
    skipped = threading.Event()
    scheduler = Scheduler([feed("* * * * *")], loads)
    scheduler._scheduler.add_listener(lambda _: skipped.set(), EVENT_JOB_MAX_INSTANCES)
    scheduler.start()
    assert loads.begun.wait(PATIENCE)
    assert skipped.wait(PATIENCE)
    loads.may_end.set()
    assert scheduler.stop(PATIENCE)
    assert loads.most == 1


def test_a_feed_does_not_wait_for_another(loads: Loads) -> None:
    other = threading.Event()
    scheduler = Scheduler(
        [feed("* * * * *", name="slow"), feed("* * * * *", name="other")],
        lambda one: loads(one) if one.name == "slow" else other.set(),
    )
    scheduler.start()
    assert loads.begun.wait(PATIENCE)
    assert other.wait(PATIENCE)
    loads.may_end.set()
    assert scheduler.stop(PATIENCE)


def test_the_scheduler_gives_signs_of_life_while_all_its_loads_last(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "BEAT_INTERVAL", 0.01)
    beats = threading.Semaphore(0)
    feeds = [feed("* * * * *", name=str(number)) for number in range(schedule.AT_ONCE)]
    scheduler = Scheduler(feeds, loads, beats.release)
    scheduler.start()
    assert loads.begun.wait(PATIENCE)
    for _ in range(3):
        assert beats.acquire(timeout=PATIENCE)
    loads.may_end.set()
    assert scheduler.stop(PATIENCE)


@pytest.mark.usefixtures("always_due")
def test_a_load_that_fails_is_logged_and_the_feed_due_again(caplog: pytest.LogCaptureFixture) -> None:
    again = threading.Event()
    failures = iter([OSError("the disk is gone")])

    def load(_: Feed) -> None:
        for failure in failures:
            raise failure
        again.set()

    scheduler = Scheduler([feed("* * * * *")], load)
    with caplog.at_level(logging.INFO):
        scheduler.start()
        assert again.wait(PATIENCE)
        assert scheduler.stop(PATIENCE)
    assert "feed feed: the load failed" in caplog.text
    assert "the disk is gone" in caplog.text
    assert "feed feed: next load at 20" in caplog.text


def test_a_stop_waits_for_loads_as_long_as_it_is_told(loads: Loads) -> None:
    scheduler = Scheduler([feed("* * * * *")], loads)
    scheduler.start()
    assert loads.begun.wait(PATIENCE)
    assert not scheduler.stop(0.0)
    loads.may_end.set()
    scheduler._scheduler._executors["default"].shutdown()
