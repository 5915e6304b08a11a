"""Timestamps as they are stored: integers, microseconds since the Unix epoch, UTC."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

MICROS = 1_000_000
NANOS = 1_000_000_000


def now() -> int:
    """Returns the current time in microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def to_micros(timestamp: Timestamp) -> int:
    """Returns the timestamp in microseconds; finer digits are cut off.

    Raises:
        ValueError: its nanos are not within 0 and 999,999,999, which no rule of protovalidate checks.
    """
    if not 0 <= timestamp.nanos < NANOS:
        raise ValueError("nanos must be between 0 and 999999999")
    return timestamp.seconds * MICROS + timestamp.nanos // 1000
