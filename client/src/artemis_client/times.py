"""Times: from Python's type to the contract's."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(time: datetime) -> Timestamp:
    """Returns the time as a message has it, such as in `Event(start_time=timestamp(start))`.

    Raises ValueError if it has no time zone, for then it is not one moment.
    """
    if time.utcoffset() is None:
        raise ValueError(f"{time.isoformat()} has no time zone; give it one, such as timezone.utc")
    made = Timestamp()
    made.FromDatetime(time)
    return made
