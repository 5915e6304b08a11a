"""Retries of the client: after which failures, after which pauses, and until when."""

import math
from dataclasses import dataclass
from datetime import timedelta

import grpc
import pytest
from artemis_client import ArtemisClient, ArtemisError
from artemis_client.calls import DEFAULT_TIMEOUT
from artemis_client.retries import INITIAL_BACKOFF, MAX_BACKOFF, MAX_TIMEOUT, Attempts, Retry, checked_timeout
from artemis_server.db.connection.driver_errors import STORAGE_RETRY
from google.rpc import error_details_pb2

FINAL = [
    code for code in grpc.StatusCode if code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
]
UNAVAILABLE = ArtemisError(grpc.StatusCode.UNAVAILABLE, "not now")


@dataclass
class Clock:
    """A clock that goes on when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def come_back(code: grpc.StatusCode, seconds: float) -> ArtemisError:
    """Returns the error of a server that says when to come back."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=seconds))
    return ArtemisError(code, "not now", [info])


def pauses(timeout: float, error: ArtemisError) -> list[float]:
    """Returns the pauses of a call whose attempts fail at once."""
    clock, found = Clock(), []
    attempts = Attempts(timeout, clock=clock)
    while (pause := attempts.pause_after(error)) is not None:
        clock.now += pause
        found.append(pause)
    assert clock.now < 1000 + timeout
    return found


def test_a_call_is_tried_for_as_long_as_its_deadline_allows() -> None:
    for timeout in (5, 30, 60):
        assert sum(pauses(timeout, UNAVAILABLE)) > timeout - MAX_BACKOFF


def test_pauses_grow_to_their_limit_and_are_random() -> None:
    longest = [min(INITIAL_BACKOFF * 2**number, MAX_BACKOFF) for number in range(20)]
    several = [pauses(100, UNAVAILABLE)[:20] for _ in range(50)]

    for call in several:
        assert all(limit / 2 <= pause <= limit for pause, limit in zip(call, longest, strict=True))
    assert len({call[0] for call in several}) > 1


def test_who_reads_again_first_tries_again_after_aborted() -> None:
    aborted = ArtemisError(grpc.StatusCode.ABORTED, "changed since")
    attempts = Attempts(10, Retry(max_attempts=3))

    assert Attempts(10).pause_after(aborted) is None
    assert [attempts.pause_after(aborted, aborted=True) is None for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_pause_is_no_shorter_than_the_server_asks_for(code: grpc.StatusCode) -> None:
    found = pauses(60, come_back(code, 5))

    assert len(found) >= 7
    assert all(5 <= pause <= 7.5 for pause in found)


def test_a_server_that_asks_for_no_pause_gets_the_usual_one() -> None:
    for seconds in (0, -5):
        assert pauses(60, come_back(grpc.StatusCode.UNAVAILABLE, seconds))[0] >= INITIAL_BACKOFF / 2


def test_a_server_that_asks_for_more_than_the_deadline_is_not_waited_for() -> None:
    assert pauses(10, come_back(grpc.StatusCode.UNAVAILABLE, 11)) == []


def test_a_full_disk_is_told_at_once() -> None:
    """No caller waits a minute for room that nobody makes meanwhile."""
    assert pauses(DEFAULT_TIMEOUT, come_back(grpc.StatusCode.RESOURCE_EXHAUSTED, STORAGE_RETRY)) == []


@pytest.mark.parametrize("code", FINAL, ids=lambda code: code.name)
def test_any_other_failure_is_final(code: grpc.StatusCode) -> None:
    assert pauses(60, ArtemisError(code, "no")) == []
    assert pauses(60, come_back(code, 1)) == []


def test_a_limit_without_a_time_is_final() -> None:
    assert pauses(60, ArtemisError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large")) == []


def test_no_deadline_is_left_when_the_time_is_up() -> None:
    clock = Clock()
    attempts = Attempts(2, clock=clock)
    clock.now += 2

    assert (attempts.time_left, attempts.pause_after(UNAVAILABLE)) == (0, None)


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400, MAX_TIMEOUT])
def test_a_timeout_without_end_is_one_that_grpc_can_count(timeout: float) -> None:
    assert checked_timeout(timeout) == MAX_TIMEOUT


@pytest.mark.parametrize("timeout", [5, 0.5, 0, -1, -math.inf])
def test_other_timeouts_are_taken_as_they_are(timeout: float) -> None:
    assert checked_timeout(timeout) == timeout


@pytest.mark.parametrize(("timeout", "error"), [("5", TypeError), (None, TypeError), (math.nan, ValueError)])
def test_a_timeout_that_is_no_number_is_refused_when_it_is_given(timeout: float, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout must be a number of seconds, not"):
        ArtemisClient("127.0.0.1:1", timeout=timeout)
    if timeout is not None:
        with ArtemisClient("127.0.0.1:1") as client, pytest.raises(error, match="timeout must be a number of seconds"):
            client.events.get(1, timeout=timeout)
