"""Timestamps and the integers that are stored for them."""

import time
from datetime import UTC, datetime

import pytest
from artemis.v1.users_pb2 import User
from artemis_server.db import times
from artemis_server.db.columns import RowCodec
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

FIRST = -62_135_596_800  # 0001-01-01T00:00:00Z
LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
USERS = RowCodec(User)
MICROS = st.integers(FIRST * times.MICROS, LAST * times.MICROS + 999_999)


def filled(micros: int) -> Timestamp:
    """Returns the timestamp of a row that has these microseconds."""
    return USERS.to_message((1, "", "", "", "", "", micros, 0, 1)).create_time


@given(MICROS)
def test_every_microsecond_from_year_1_to_9999_comes_back(micros: int) -> None:
    assert micros == times.to_micros(filled(micros))


@given(st.datetimes(timezones=st.just(UTC)))
def test_micros_are_those_of_the_calendar(moment: datetime) -> None:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    assert moment == filled(times.to_micros(timestamp)).ToDatetime(UTC)


@given(MICROS, st.integers(0, 999))
def test_finer_digits_are_cut_off(micros: int, nanos: int) -> None:
    timestamp = filled(micros)
    timestamp.nanos += nanos
    assert micros == times.to_micros(timestamp)


@given(MICROS, MICROS)
def test_micros_are_in_the_order_of_time(one: int, other: int) -> None:
    as_time = (filled(one).seconds, filled(one).nanos) < (filled(other).seconds, filled(other).nanos)
    assert (one < other) == as_time


@given(MICROS)
def test_nanos_count_forward(micros: int) -> None:
    assert 0 <= filled(micros).nanos < 1_000_000_000


@pytest.mark.parametrize(("seconds", "nanos"), [(FIRST, 0), (LAST, 999_999_999), (0, 0), (-1, 999_999_999)])
def test_the_ends_of_the_range_are_taken(seconds: int, nanos: int) -> None:
    expected = seconds * times.MICROS + nanos // 1000
    assert expected == times.to_micros(Timestamp(seconds=seconds, nanos=nanos))


def test_the_epoch_is_a_time_and_not_the_lack_of_one() -> None:
    assert USERS.to_message((1, "", "", "", "", "", 0, 0, 1)).HasField("create_time")


def test_now_is_in_microseconds() -> None:
    before = time.time_ns()
    now = times.now()
    assert before // 1000 <= now <= time.time_ns() // 1000
