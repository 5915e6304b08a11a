"""Retries: the failures that are tried again, and the pauses before. The module makes no call and never waits."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from artemis_client.errors import ArtemisError

INITIAL_BACKOFF = 0.1
MAX_BACKOFF = 2.0
MAX_TIMEOUT = 1e9
"""Seconds; some 30 years. gRPC takes a deadline that is much further, such as infinity, for one that has passed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Limits of the retries of a call that failed, within its deadline.

    Raises:
        ValueError: a number is too small, or `max_backoff` is less than `initial_backoff`.
    """

    max_attempts: int | None = None
    """Attempts in all. 1 repeats no call; None sets no limit but the deadline. The limit does not count for a watch."""
    initial_backoff: float = INITIAL_BACKOFF
    """Seconds before the second attempt, at most. Each further pause may be twice as long."""
    max_backoff: float = MAX_BACKOFF
    """Seconds between two attempts, at most, unless the server asks for more."""

    def __post_init__(self) -> None:
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError(f"max_attempts must be 1 or more, not {self.max_attempts}")
        if not 0 < self.initial_backoff <= self.max_backoff:
            raise ValueError("initial_backoff must be more than 0, and max_backoff not less than that")


def checked_timeout(timeout: float) -> float:
    """Returns a timeout in seconds that gRPC can count: `math.inf` becomes MAX_TIMEOUT.

    Raises:
        TypeError: it is not a number.
        ValueError: it is `math.nan`.
    """
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    if math.isnan(min(timeout, MAX_TIMEOUT)):
        raise ValueError("timeout must be a number of seconds, not nan")
    return float(min(timeout, MAX_TIMEOUT))


class Attempts:
    """The attempts of one call, which share its deadline."""

    def __init__(self, timeout: float, retry: Retry | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + timeout
        self._retry = retry or Retry()
        self._backoff = self._retry.initial_backoff
        self._made = 0

    @property
    def time_left(self) -> float:
        """Seconds until the deadline."""
        return self._end - self._clock()

    def pause_after(self, error: ArtemisError, *, aborted: bool = False) -> float | None:
        """Returns the seconds until the next attempt. None if the error or the attempt is the last, or no time is left.

        UNAVAILABLE is tried again, and RESOURCE_EXHAUSTED if the server says when (AIP-194, RetryInfo). With `aborted`,
        so is ABORTED, by a caller that reads again before. A pause is random, so that callers whose calls failed at the
        same moment do not come back at the same moment (gRFC A6).
        """
        self._made += 1
        asked = error.retry_delay
        exhausted = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and asked is not None
        codes = (grpc.StatusCode.UNAVAILABLE, *((grpc.StatusCode.ABORTED,) if aborted else ()))
        if error.code not in codes and not exhausted:
            return None
        if self._made == self._retry.max_attempts:
            return None
        pause = random.uniform(0.5, 1) * self._backoff  # noqa: S311, no secret
        if asked is not None:
            pause = max(pause, random.uniform(1, 1.5) * asked.total_seconds())  # noqa: S311, no secret
        self._backoff = min(2 * self._backoff, self._retry.max_backoff)
        return pause if pause < self.time_left else None
