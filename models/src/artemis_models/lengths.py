"""Classes of events by their length, so that an index finds the events that overlap a span of time.

Within a class, no event is longer than the bound of the class. So those that are on at a moment have begun at most that
long before it: one range of an index whose first column is the class. One index cannot have such a range for all
events, because a single long one would make it begin years before (docs/adr/0048).
"""

MAX_LENGTHS = tuple(3_600_000_000 * 4**number for number in range(11))
"""The length in microseconds of the longest event of each class but the last: 1 hour, 4 hours, ..., 120 years."""
CLASSES = range(len(MAX_LENGTHS) + 1)
LENGTH_CLASS = (
    "CASE "
    + " ".join(f"WHEN end_time - start_time <= {length} THEN {number}" for number, length in enumerate(MAX_LENGTHS))
    + f" ELSE {CLASSES[-1]} END"
)
"""The class of a row of events, in SQL. Indexes have it as a column, and statements must have it as it stands here."""
_LONGEST = 2**60
"""More than the microseconds from the year 1 to the year 9999."""


def extremes(number: int) -> tuple[int, int]:
    """Returns the least and the greatest length of an event of a class, in microseconds."""
    return MAX_LENGTHS[number - 1] + 1 if number else 0, (*MAX_LENGTHS, _LONGEST)[number]
