"""Timestamps as they are stored: integers, microseconds since the Unix epoch, UTC."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

MICROS = 1_000_000


def now() -> int:
    """Returns the current time in microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def to_micros(timestamp: Timestamp) -> int:
    """Returns a valid timestamp in microseconds; finer digits are cut off."""
    return timestamp.seconds * MICROS + timestamp.nanos // 1000
