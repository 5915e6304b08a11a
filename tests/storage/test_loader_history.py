"""The history of loads: what is removed from it, and which feeds it says are late."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from artemis_loader import history
from artemis_loader.feeds import Feed, Limits
from artemis_loader.health.heartbeat import Beats
from artemis_loader.health.lateness import problems
from artemis_loader.locks import only_load
from artemis_loader.summary import Counts, Status
from artemis_models import create_engine
from sqlalchemy import Connection

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)  # a Sunday
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
ALIVE = Beats(first=NOW - 100 * DAY, last=NOW)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


class Past:
    """Loads that were made at a time that the test sets."""

    def __init__(self, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connection = connection
        self._monkeypatch = monkeypatch

    def load(
        self, ago: timedelta, status: Status = Status.LOADED, feed: str = "talks", retention: timedelta = 1000 * DAY
    ) -> None:
        """Records a load; a running one does not end."""
        micros = round((NOW - ago).timestamp() * 1e6)
        self._monkeypatch.setattr(history, "_now", lambda: micros)
        with self._connection.begin():
            added = history.begin(self._connection, feed, retention.total_seconds())
            if status is not Status.RUNNING:
                error = "the file is gone" if status is Status.FAILED else ""
                history.end(self._connection, added, status, Counts(), error)

    def prune(self, kept: timedelta) -> list[tuple[str, int, str]]:
        """Makes a load of another feed, and returns feed, age in days and status of the others, the oldest first."""
        self.load(timedelta(0), feed="newest", retention=kept)
        with self._connection.begin():
            loads = history.last_loads(self._connection, [], 1000)
        now = NOW.timestamp()
        return [
            (load.feed, round((now - load.start_time / 1e6) / 86400), str(load.status)) for load in reversed(loads[1:])
        ]


@pytest.fixture
def past(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Past:
    return Past(connection, monkeypatch)


def test_old_loads_are_removed_but_the_newest_of_each_feed(past: Past) -> None:
    for ago in (40, 35, 20, 10):
        past.load(ago * DAY)
    past.load(50 * DAY, feed="gone")
    assert past.prune(30 * DAY) == [("talks", 20, "loaded"), ("talks", 10, "loaded"), ("gone", 50, "loaded")]


def test_the_last_success_is_kept_while_a_feed_fails(past: Past) -> None:
    past.load(50 * DAY)
    past.load(45 * DAY, Status.NOT_MODIFIED)
    for ago in (44, 43, 42):
        past.load(ago * DAY, Status.FAILED)
    assert past.prune(30 * DAY) == [("talks", 45, "not modified"), ("talks", 42, "failed")]


def test_nothing_younger_than_the_retention_is_removed(past: Past) -> None:
    past.load(29 * DAY, Status.FAILED)
    past.load(28 * DAY)
    past.load(27 * DAY)
    assert len(past.prune(30 * DAY)) == 3


def feed(schedule: str = "0 3 * * *", max_age: timedelta | None = None, zone: str = "UTC") -> Feed:
    return Feed(
        name="talks",
        url="/feed.jsonl",
        format="jsonl",
        entity="events",
        mode="upsert",
        fields={},
        schedule=schedule,
        max_age=max_age.total_seconds() if max_age else None,
        time_zone=ZoneInfo(zone),
        limits=Limits(deadline=600.0),
    )


def found(connection: Connection, one: Feed, beats: Beats | None = ALIVE, now: datetime = NOW) -> list[str]:
    with connection.begin():
        return list(problems(connection, [one], beats, now))


@pytest.mark.parametrize("success", [Status.LOADED, Status.NOT_MODIFIED])
def test_a_feed_is_late_when_its_last_success_is_older_than_max_age(
    past: Past, connection: Connection, success: Status
) -> None:
    past.load(26 * HOUR, success)
    past.load(HOUR, Status.FAILED)
    assert found(connection, feed(max_age=27 * HOUR)) == []
    assert found(connection, feed(max_age=25 * HOUR)) == [
        "feed talks: no successful load since 2026-11-21T10:00:00Z; the last one: the file is gone"
    ]


@pytest.mark.parametrize(
    ("schedule", "ago", "late"),
    [
        ("0 3 * * *", 8 * HOUR, False),  # loaded today
        ("0 3 * * *", 32 * HOUR, False),  # missed today's time only
        ("0 3 * * *", 34 * HOUR, True),  # missed yesterday's, too
        ("50 11 * * *", 48 * HOUR + timedelta(minutes=9), False),  # may still be loading the second time
        ("49 11 * * *", 48 * HOUR + timedelta(minutes=10), True),
        ("0 3 * * 1-5", 80 * HOUR, False),  # since Thursday: nothing is due on a weekend, so only Friday's is missed
        ("0 3 * * 1-5", 105 * HOUR, True),
        ("* * * * *", timedelta(minutes=11), False),
        ("* * * * *", timedelta(minutes=13), True),
        ("0 3 30 2 *", 900 * DAY, False),  # never due
    ],
)
def test_without_max_age_a_feed_may_miss_one_time_of_its_schedule(
    past: Past, connection: Connection, schedule: str, ago: timedelta, late: bool
) -> None:
    past.load(ago)
    assert bool(found(connection, feed(schedule))) is late


def test_a_feed_that_never_succeeded_is_late_from_its_first_load_on(past: Past, connection: Connection) -> None:
    past.load(3 * DAY, Status.FAILED)
    past.load(HOUR, Status.FAILED)
    assert found(connection, feed()) == [
        "feed talks: no successful load since 2026-11-19T12:00:00Z; the last one: the file is gone"
    ]


def test_a_feed_without_loads_is_late_from_the_start_of_the_loader_on(connection: Connection) -> None:
    assert found(connection, feed(), Beats(first=NOW - HOUR, last=NOW)) == []
    assert found(connection, feed()) == ["feed talks: no successful load since 2026-08-14T12:00:00Z"]


def test_a_feed_without_a_schedule_is_watched_if_it_has_a_max_age(past: Past, connection: Connection) -> None:
    assert found(connection, feed("", max_age=DAY), None) == ["feed talks: has not been loaded yet"]
    past.load(HOUR)
    assert found(connection, feed("", max_age=DAY), None) == []
    assert found(connection, feed(""), None, NOW + 900 * DAY) == []


def test_a_load_that_runs_is_no_success_yet(past: Past, connection: Connection) -> None:
    past.load(3 * DAY)
    past.load(HOUR, Status.RUNNING)
    own = create_engine(connection.engine.url.render_as_string(hide_password=False))
    with own.connect() as holder, only_load(holder, "talks"):
        (said,) = found(connection, feed())
    own.dispose()
    assert said.endswith("since 2026-11-19T12:00:00Z; one is running since 2026-11-22T11:00:00Z")


def test_a_scheduler_that_gives_no_sign_of_life_is_unhealthy(past: Past, connection: Connection) -> None:
    past.load(HOUR)
    assert found(connection, feed(), None) == ["no loader runs the schedules of this configuration"]
    assert found(connection, feed(), Beats(first=NOW - DAY, last=NOW - timedelta(seconds=59))) == []
    assert found(connection, feed(), Beats(first=NOW - DAY, last=NOW - timedelta(seconds=61))) == [
        "the scheduler has given no sign of life since 2026-11-22T11:58:59Z"
    ]
