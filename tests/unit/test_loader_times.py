"""Times of feeds with every offset, read in two parts that are remembered."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from artemis_loader.convert import times
from artemis_loader.convert.times import InvalidTime, compile_time
from artemis_loader.feeds import Source
from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NEW_YORK = ZoneInfo("America/New_York")


@given(st.datetimes(timezones=OFFSETS), st.sampled_from("T "), st.booleans())
def test_a_time_with_an_offset_is_the_moment_that_it_names(moment: datetime, separator: str, is_end: bool) -> None:
    read = compile_time(Source(key=("t",)), NEW_YORK, is_end=is_end)
    assert read(moment.isoformat(separator)) == (moment - EPOCH) // MICRO


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
def test_a_time_without_one_is_in_the_zone_of_its_date(wall: datetime) -> None:
    """An hour that comes twice is the first, as text has no fold."""
    wall = wall.replace(fold=0)
    read = compile_time(Source(key=("t",)), NEW_YORK, is_end=False)
    assert read(wall.isoformat()) == (wall.replace(tzinfo=NEW_YORK) - EPOCH) // MICRO


@pytest.mark.parametrize(
    "text", ["2023-02-30T10:00:00Z", "2023-02-28T25:00:00Z", "2023-02-28T10:00:00+25:00", "x" * 10]
)
def test_what_is_no_time_is_told_whole(text: str) -> None:
    read = compile_time(Source(key=("t",)), UTC, is_end=False)
    with pytest.raises(InvalidTime, match=text.replace("+", r"\+")):
        read(text)


def test_what_is_remembered_of_times_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    found = times._Cache(len)
    monkeypatch.setattr(times, "_CACHED", 3)
    assert [found["x" * length] for length in (1, 2, 3, 4, 1)] == [1, 2, 3, 4, 1]
    assert len(found) == 2
