"""Times: read in RFC 3339 or in the user's own zone, shown in that zone with its offset."""

from datetime import UTC, datetime, tzinfo

from google.protobuf.timestamp_pb2 import Timestamp


def parse(text: str, zone: tzinfo | None) -> tuple[datetime, bool]:
    """Returns the time, and whether the zone was added to it; None is the zone of this machine.

    "2030-05-04T09:00:00Z", "2030-05-04 09:00+02:00", "2030-05-04 09:00" and "2030-05-04" are times.

    Raises:
        ValueError: the text is none of these, or the clocks of the zone leave this time out.
    """
    time = datetime.fromisoformat(text.strip())
    if time.utcoffset() is not None:
        return time, False
    placed = time.astimezone() if zone is None else time.replace(tzinfo=zone)
    if placed.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != time:
        raise ValueError(f"the clocks of this time zone have no {text}")
    return placed, True


def shown(time: Timestamp, zone: tzinfo | None) -> str:
    """Returns a time for people, such as "2030-05-04 09:00+02:00"; seconds are shown if there are any."""
    whole = time.ToDatetime(UTC).replace(microsecond=0)
    try:
        local = whole.astimezone(zone)
    except (OverflowError, ValueError):  # the first and the last day of the calendar
        local = whole
    return local.isoformat(" ", "seconds" if local.second else "minutes")
