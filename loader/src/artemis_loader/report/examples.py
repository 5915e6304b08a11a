"""Lines below the summary of a load: the first rejects and duplicates with their places, and what a dry run found."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from artemis_loader.records import Change
from artemis_loader.summary import Summary

MAX_VALUE = 60
"""Characters of a value that are shown."""


def print_examples(summaries: Sequence[Summary]) -> None:
    """Prints the lines of all loads."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for summary in summaries:
        for line in lines_of(summary):
            console.print(line)


def lines_of(summary: Summary) -> Iterator[str]:
    """Yields a line for each of the first rejects, duplicates and changes, and one that tells how many more there are.

    "feed talks: rejected: talks.jsonl:4: start_time is missing"
    """
    start = f"feed {summary.feed}:"
    for reject in summary.first_rejects:
        yield f"{start} rejected: {reject.file}:{reject.line}: {reject.reason}"
    if more := summary.counts.rejected - len(summary.first_rejects):
        yield f"{start} rejected: {more:,} more; all are in {summary.rejects_file}"
    for one in summary.first_duplicates:
        replaced = f"external_id {_cut(one.external_id)!r} is that of {one.later_file}:{one.later_line}"
        yield f"{start} duplicate: {one.file}:{one.line}: {replaced}, which was taken instead"
    if more := summary.counts.duplicate - len(summary.first_duplicates):
        yield f"{start} duplicate: {more:,} more"
    for change in summary.changes:
        yield f"{start} would be {change.kind}: {_cut(change.external_id)}"
        yield from (f"    {name}: {text}" for name, text in _fields(change))


def _fields(change: Change) -> Iterator[tuple[str, str]]:
    for name, (before, after) in change.fields.items():
        values = [_quoted(value) for value in (before, after) if value is not None]
        yield name, " -> ".join(values)


def _quoted(text: str) -> str:
    return f'"{_cut(text)}"' if text else "nothing"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 3]}..."
