"""Timestamps as they are stored: integers, microseconds since the Unix epoch, UTC."""

import time
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

MICROS = 1_000_000
clock: Callable[[], int] = time.time_ns
"""Returns the current time in nanoseconds since the Unix epoch. The test kit sets another one (docs/adr/0041)."""


def now() -> int:
    """Returns the current time in microseconds since the Unix epoch."""
    return clock() // 1000


def to_micros(timestamp: Timestamp) -> int:
    """Returns a valid timestamp in microseconds; finer digits are cut off."""
    return timestamp.seconds * MICROS + timestamp.nanos // 1000
