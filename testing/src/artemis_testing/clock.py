"""The clock of a server, as a test sets it."""

from datetime import UTC, datetime, timedelta

from artemis_client.fields import check_time

from artemis_testing.process import ServerProcess

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock:
    """The clock that create times, update times, the times of changes, and all that is kept for a time follow.

    Deadlines, pauses, and the expiry of tokens and certificates follow the system's clock.
    """

    def __init__(self, process: ServerProcess) -> None:
        self._process = process

    def now(self) -> datetime:
        """Returns the server's time, in UTC."""
        return _to_datetime(self._process.ask("now"))

    def freeze(self, at: datetime | None = None) -> datetime:
        """Stops the clock at `at`, a datetime with a time zone, or at the current time without `at`. Returns the time.

        Raises:
            TypeError: it is not a datetime.
            ValueError: the time has no time zone, or is not in the years 1 to 9999 of UTC.
        """
        return _to_datetime(self._process.ask("freeze", at=None if at is None else _to_micros(at)))

    def advance(self, by: timedelta) -> datetime:
        """Moves the clock. A frozen clock stays frozen, and a running one runs on. Returns the new time.

        What the server keeps for a time only is gone when this returns: request ids after 24 hours, and the changes of
        events after 7 days.

        Raises:
            ValueError: the time would not be in the years 1 to 9999.
        """
        return _to_datetime(self._process.ask("advance", microseconds=by // _MICROSECOND))


def _to_micros(at: datetime) -> int:
    check_time("at", at)
    return (at - _EPOCH) // _MICROSECOND


def _to_datetime(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND
