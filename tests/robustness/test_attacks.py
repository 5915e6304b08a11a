"""The short form of the attacks: smaller ones, with bounds that hold on a busy machine."""

from collections.abc import Iterator

import pytest

from tests.robustness.program import Program
from tests.robustness.runner import Attack
from tests.robustness.table import ATTACKS


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """One server for all of them, as long as it stays unharmed."""
    with Program(short=True) as program:
        yield program


LONG = {
    "bad-messages",
    "batch-get-same",
    "batch-get-zeros",
    "files-deleted",
    "filter-parentheses",
    "in-flight-2000",
    "long-texts",
    "stop-with-lists",
    "unknown-methods",
    "watch-and-leave",
}
"""The attacks that take the processor for about a second or longer, also in the short form."""
SHORT = [
    pytest.param(each, id=each.name, marks=[pytest.mark.acceptance] * (each.name in LONG))
    for each in ATTACKS
    if each.short
]


@pytest.mark.parametrize("attack", SHORT)
def test_an_attack_stays_within_its_bounds(program: Program, attack: Attack) -> None:
    result = program.attack(attack)

    assert result.failures == [], result.line()


def test_the_attacks_have_names_of_their_own() -> None:
    names = [each.name for each in ATTACKS]
    assert sorted(set(names)) == sorted(names)
