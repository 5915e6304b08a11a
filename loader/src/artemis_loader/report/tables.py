"""Tables for people: the summary of loads, and their history."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from artemis_loader.history import PastLoad
from artemis_loader.summary import Counts, Summary

_COUNTS = ("read", "inserted", "updated", "unchanged", "deleted", "rejected", "duplicate", "warnings")


def print_summaries(summaries: Sequence[Summary]) -> None:
    """Prints the summaries of loads."""
    table = _table("feed", "status", *_COUNTS, "seconds", "records/s")
    for one in summaries:
        rate = f"{one.rate:,.0f}" if one.counts.read else "-"
        table.add_row(one.feed, str(one.status), *_shown(one.counts), f"{one.seconds:,.2f}", rate)
    _print(table)
    for one in summaries:
        _print_warnings(one)


def _print_warnings(summary: Summary) -> None:
    """Prints the first warnings of a load, each in a line."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for warning in summary.warnings:
        console.print(f"feed {summary.feed}: warning: {warning.file}, line {warning.line}: {warning.reason}")
    if (more := summary.counts.warnings - len(summary.warnings)) > 0:
        console.print(f"feed {summary.feed}: {more:,} more warnings")


def print_loads(loads: Sequence[PastLoad]) -> None:
    """Prints the history."""
    table = _table("started (UTC)", "feed", "status", *_COUNTS, "seconds", "error")
    for load in loads:
        seconds = "-" if load.seconds is None else f"{load.seconds:,.2f}"
        table.add_row(
            shown_time(load.start_time), load.feed, str(load.status), *_shown(load.counts), seconds, load.error
        )
    _print(table)


def shown_time(micros: int) -> str:
    """Returns a time, in microseconds since the epoch, to the second."""
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(*columns: str) -> Table:
    left = ("feed", "status", "error", "started (UTC)")
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", no_wrap=column != "error")
    return table


def _shown(counts: Counts) -> list[str]:
    return [f"{getattr(counts, name):,}" for name in _COUNTS]


def _print(table: Table) -> None:
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 400  # a file has no edge to wrap at
    console.print(table)
