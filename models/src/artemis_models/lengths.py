"""Classes of events by their length, so that an index finds the events that overlap a span of time.

Within a class, no event is longer than the bound of the class. So those that are on at a moment have begun at most that
long before it: one range of an index whose first column is the class. One index cannot have such a range for all
events, because a single long one would make it begin years before (docs/adr/0048).
"""

from typing import Any

from sqlalchemy import ColumnElement, Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

MAX_LENGTHS = tuple(3_600_000_000 * 4**number for number in range(11))
"""The length in microseconds of the longest event of each class but the last: 1 hour, 4 hours, ..., 120 years."""
CLASSES = range(len(MAX_LENGTHS) + 1)
_CASES = " ".join(f"WHEN end_time - start_time <= {length} THEN {number}" for number, length in enumerate(MAX_LENGTHS))
_SHORTEST = ",".join(str(length + 1) for length in MAX_LENGTHS)
LENGTH_CLASS = {
    "sqlite": f"(CASE {_CASES} ELSE {CLASSES[-1]} END)",
    # PostgreSQL copies and compiles the expressions of all indexes for each INSERT. A CASE for each of five makes an
    # INSERT of one row a tenth dearer.
    "postgresql": f"(width_bucket(end_time - start_time, '{{{_SHORTEST}}}'::bigint[]))",
}
"""The class of a row of events in SQL, by the dialect's name. Statements must have it as indexes have it."""
_LONGEST = 2**60
"""More than the microseconds from the year 1 to the year 9999."""


def extremes(number: int) -> tuple[int, int]:
    """Returns the least and the greatest length of an event of a class, in microseconds."""
    return MAX_LENGTHS[number - 1] + 1 if number else 0, (*MAX_LENGTHS, _LONGEST)[number]


class LengthClass(ColumnElement[int]):
    """The class of a row of events, as a column of an index."""

    inherit_cache = True
    type = Integer()


@compiles(LengthClass)
def _length_class(_: LengthClass, compiler: SQLCompiler, **options: Any) -> str:
    del options
    return LENGTH_CLASS[compiler.dialect.name]
