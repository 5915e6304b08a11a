"""The clock of the server's data: of create and update times, of the change log, and of what is kept for a time."""

import time

_DAY = 86_400 * 1_000_000  # microseconds
_EPOCH = 2_440_587.5
"""The Julian day of the Unix epoch."""
_MIN, _MAX = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The times that a google.protobuf.Timestamp can have: the years 1 to 9999."""


class Clock:
    """The system's clock, moved or stopped. All times are in microseconds since the Unix epoch."""

    def __init__(self) -> None:
        self._shift = 0
        self._frozen: int | None = None

    def nanoseconds(self) -> int:
        """Returns the time as `artemis_server.db.times.clock` needs it."""
        return self.now() * 1000

    def now(self) -> int:
        """Returns the time."""
        return time.time_ns() // 1000 + self._shift if self._frozen is None else self._frozen

    def julian_day(self, value: object) -> float:
        """Replaces SQLite's `julianday`, which the triggers of the change log call as julianday('now').

        Raises:
            ValueError: another value, which no statement of Artemis has.
        """
        if value != "now":
            raise ValueError(f"julianday({value!r}) is not needed by Artemis, and this server has no other")
        return self.now() / _DAY + _EPOCH

    def freeze(self, at: int | None) -> int:
        """Stops the clock at this time, or where it is; returns the time. Raises: as `advance`."""
        self._frozen = _checked(self.now() if at is None else at)
        return self._frozen

    def advance(self, microseconds: int) -> int:
        """Moves the clock, back if the number is negative; returns the time.

        Raises:
            ValueError: it would not be in the years 1 to 9999.
        """
        _checked(self.now() + microseconds)
        if self._frozen is None:
            self._shift += microseconds
        else:
            self._frozen += microseconds
        return self.now()

    def reset(self) -> None:
        """Makes it the system's clock again."""
        self._shift, self._frozen = 0, None


def _checked(time: int) -> int:
    if not _MIN <= time <= _MAX:
        raise ValueError("the clock cannot leave the years 1 to 9999")
    return time
