"""The share of its examples that a test tries: all in `make acceptance`, an eighth in `make test`."""

from hypothesis import settings

THOROUGH = 100
"""The examples of a test that sets no number, in `make acceptance`."""
QUICK = THOROUGH // 8
"""The same in `make test`."""


def examples(count: int) -> int:
    """Returns the number of examples, or of rounds, for a test that tries `count` in `make acceptance`.

    A test that uses it without Hypothesis is marked `thorough`, so that `make acceptance` runs it as well.
    """
    return max(1, count * settings().max_examples // THOROUGH)
