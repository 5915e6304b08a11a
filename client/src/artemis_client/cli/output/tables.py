"""Tables for people: columns as wide as the terminal allows, values cut to fit, nothing that acts on the terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import click
from rich.cells import cell_len, set_cell_size

from artemis_client.cli.output.escape import for_terminal

MAX_CELL = 60
"""The most that one value takes, in columns of the terminal."""
MIN_CELL = 8
SAMPLE = 100
"""Rows that are read before the first is printed: they decide on the widths."""
_GAP = "  "


@dataclass(frozen=True)
class Heading:
    """The heading of a column, and how it behaves when there is little room."""

    title: str
    is_whole: bool = False
    """True if values are never cut, as ids and times are not."""
    is_optional: bool = False
    """True if the column is left out when it is empty or does not fit."""


def write_table(headings: Sequence[Heading], rows: Iterable[Sequence[str]], width: int | None) -> None:
    """Prints a table, row by row after a sample. `width` is that of the terminal, None for as wide as it needs."""
    source = (tuple(map(for_terminal, row)) for row in rows)
    sample = [*islice(source, SAMPLE)]
    widths = fit(headings, sample, width)
    click.secho(_line([heading.title for heading in headings], widths, headings), bold=True)
    for row in chain(sample, source):
        click.echo(_line(row, widths, headings))


def write_record(names: Sequence[str], values: Sequence[str]) -> None:
    """Prints the fields of one resource below each other, whole; fields without a value are left out."""
    size = max(map(len, names)) + 2
    for name, value in zip(names, values, strict=True):
        if value:
            lines = f"\n{' ' * size}".join(for_terminal(line) for line in value.rstrip("\n").split("\n"))
            click.echo(click.style(f"{name}:".ljust(size), bold=True) + lines)


def fit(headings: Sequence[Heading], rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Returns the width of each column; 0 for one that is left out.

    Columns that are optional are added in their order as long as they fit. If the others alone are too wide, the widest
    is cut, down to eight characters.
    """
    natural = [_natural_width(heading, [row[index] for row in rows]) for index, heading in enumerate(headings)]
    widths = [0 if heading.is_optional else size for heading, size in zip(headings, natural, strict=True)]
    for index, heading in enumerate(headings):
        room = width is None or _total(widths) + len(_GAP) + natural[index] <= width
        if heading.is_optional and room and any(row[index] for row in rows):
            widths[index] = natural[index]
    while width is not None and _total(widths) > width:
        widest = max(range(len(widths)), key=lambda index: 0 if headings[index].is_whole else widths[index])
        if headings[widest].is_whole or widths[widest] <= MIN_CELL:
            break
        widths[widest] = max(MIN_CELL, widths[widest] - (_total(widths) - width))
    return widths


def _natural_width(heading: Heading, values: Sequence[str]) -> int:
    longest = max((cell_len(value[: 4 * MAX_CELL]) for value in values), default=0)
    return max(len(heading.title), longest if heading.is_whole else min(longest, MAX_CELL))


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _line(row: Sequence[str], widths: Sequence[int], headings: Sequence[Heading]) -> str:
    cells = (
        _cell(value, width, heading.is_whole)
        for value, width, heading in zip(row, widths, headings, strict=True)
        if width
    )
    return _GAP.join(cells).rstrip()


def _cell(value: str, width: int, is_whole: bool) -> str:
    """Returns a value with spaces up to the width of its column, cut if it is longer."""
    size = cell_len(value[: 4 * MAX_CELL])
    if size <= width and len(value) <= 4 * MAX_CELL:
        return value + " " * (width - size)
    return value if is_whole else f"{set_cell_size(value[: 4 * MAX_CELL], width - 1)}…"
