"""Which failures are tried again, and after which pause. It knows no channel, and its caller does the waiting."""

import random
import time
from collections.abc import Callable

import grpc

from artemis_client.errors import ArtemisError

INITIAL_BACKOFF = 0.1
"""Seconds before the second attempt, at most. Each further pause may be twice as long."""
MAX_BACKOFF = 2.0
"""Seconds between two attempts, at most, unless the server asks for more."""


class Attempts:
    """The attempts of one call, which share its deadline."""

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + timeout
        self._backoff = INITIAL_BACKOFF

    @property
    def time_left(self) -> float:
        """Seconds until the deadline."""
        return self._end - self._clock()

    def pause_after(self, error: ArtemisError) -> float | None:
        """Returns the seconds until the next attempt. None if the error is final, or the deadline comes before.

        UNAVAILABLE is tried again, and RESOURCE_EXHAUSTED if the server says when (AIP-194, RetryInfo). A pause is
        random, so that callers whose calls failed at the same moment do not come back at the same moment (gRFC A6).
        """
        asked = error.retry_delay
        exhausted = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and asked is not None
        if error.code is not grpc.StatusCode.UNAVAILABLE and not exhausted:
            return None
        pause = random.uniform(0.5, 1) * self._backoff  # noqa: S311, no secret
        if asked is not None:
            pause = max(pause, random.uniform(1, 1.5) * asked.total_seconds())  # noqa: S311, no secret
        self._backoff = min(2 * self._backoff, MAX_BACKOFF)
        return pause if pause < self.time_left else None
