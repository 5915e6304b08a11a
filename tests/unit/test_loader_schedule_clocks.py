"""Schedules over changes of the clocks: nothing is left out, and nothing comes twice but every hour."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from artemis_loader.feeds import Feed
from artemis_loader.schedule import next_time
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.depth import examples

MINUTE = timedelta(minutes=1)


def following(cron: str, zone: str, after: str, count: int = 1) -> list[str]:
    """Returns the times in UTC at which a feed is due from a time on."""
    found = due_from(cron, zone, datetime.fromisoformat(after).replace(tzinfo=UTC))
    return [f"{next(found):%Y-%m-%dT%H:%M}" for _ in range(count)]


def due_from(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    feed = Feed(
        name="f", url="/f", format="jsonl", entity="events", mode="upsert", fields={}, schedule=cron,
        time_zone=ZoneInfo(zone),
    )  # fmt: skip
    while (due := next_time(feed, after)) is not None:
        yield due
        after = due + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 0 * * *", "America/Los_Angeles", "2024-03-10T08:00:01", ["2024-03-11T07:00", "2024-03-12T07:00"]),
        ("0 0 * * *", "America/Los_Angeles", "2024-03-10T08:00:00", ["2024-03-10T08:00", "2024-03-11T07:00"]),
        ("0 0 * * *", "Europe/Berlin", "2024-03-30T23:00:01", ["2024-03-31T22:00"]),
        ("0 0 * * *", "America/New_York", "2024-03-10T05:00:01", ["2024-03-11T04:00"]),
        ("0 0 * * 1", "Europe/Berlin", "2024-03-31T12:00:00", ["2024-03-31T22:00", "2024-04-07T22:00"]),
        ("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00", ["2024-03-31T01:00", "2024-04-01T00:30"]),
        ("0,30 2,3 * * *", "Europe/Berlin", "2024-03-30T12:00:00", ["2024-03-31T01:00", "2024-03-31T01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00:00", ["2024-10-27T00:30", "2024-10-28T01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2024-10-27T01:00:00", ["2024-10-28T01:30"]),
        ("30 * * * *", "Europe/Berlin", "2024-10-27T00:00:00",
         ["2024-10-27T00:30", "2024-10-27T01:30", "2024-10-27T02:30"]),
        ("30 * * * *", "Europe/Berlin", "2024-03-31T00:00:00", ["2024-03-31T00:30", "2024-03-31T01:30"]),
        ("30 */1 * * *", "Europe/Berlin", "2024-03-31T00:00:00", ["2024-03-31T00:30", "2024-03-31T01:30"]),
        ("0 0-23 * * *", "Europe/Berlin", "2024-10-27T00:30:00", ["2024-10-27T01:00", "2024-10-27T02:00"]),
        ("0 */2 * * *", "Europe/Berlin", "2024-10-27T00:00:00", ["2024-10-27T00:00", "2024-10-27T03:00"]),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00", ["2018-11-04T03:00", "2018-11-05T02:00"]),
        ("0 0 * * *", "Asia/Beirut", "2022-03-26T12:00:00", ["2022-03-26T22:00", "2022-03-27T21:00"]),
        ("30 2 * * *", "Australia/Lord_Howe", "2024-10-05T00:00:00", ["2024-10-05T15:30", "2024-10-06T15:30"]),
    ],
)  # fmt: skip
def test_a_feed_is_due_over_a_change_of_the_clocks(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert following(cron, zone, after, len(expected)) == expected


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Beirut",
     "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns", "Africa/Casablanca"]
)  # fmt: skip
CHANGES = st.sampled_from(
    [
        (2024, 3, 9),
        (2024, 3, 30),
        (2024, 10, 26),
        (2024, 11, 2),
        (2018, 11, 3),
        (2018, 2, 17),
        (2022, 3, 26),
        (2024, 4, 6),
    ]
)


@given(zone=ZONES, day=CHANGES, hour=st.integers(0, 23), minute=st.integers(0, 59))
@settings(max_examples=examples(60), deadline=None)
def test_a_daily_feed_is_due_once_on_each_day(zone: str, day: tuple[int, int, int], hour: int, minute: int) -> None:
    found = due_from(f"{minute} {hour} * * *", zone, datetime(*day, tzinfo=UTC) - timedelta(days=2))
    times = [next(found) for _ in range(6)]
    days = [time.astimezone(ZoneInfo(zone)).date() for time in times]
    assert [timedelta(days=1)] * 5 == [later - earlier for earlier, later in pairwise(days)]


@given(zone=ZONES, day=CHANGES, step=st.sampled_from(["0", "*/15", "7,8", "*/25", "59"]))
@settings(max_examples=examples(30), deadline=None)
def test_an_hourly_feed_is_due_whenever_the_clocks_show_it(zone: str, day: tuple[int, int, int], step: str) -> None:
    """As a walk through all minutes finds it."""
    start = datetime(*day, tzinfo=UTC)
    wanted = {"0": {0}, "*/15": {0, 15, 30, 45}, "7,8": {7, 8}, "*/25": {0, 25, 50}, "59": {59}}[step]
    minutes = (start + number * MINUTE for number in range(24 * 60))
    walked = [each for each in minutes if each.astimezone(ZoneInfo(zone)).minute in wanted]
    found = due_from(f"{step} * * * *", zone, start)
    assert walked == [next(found) for _ in walked]
