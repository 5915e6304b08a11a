"""Makes synthetic feeds: `python -m tests.benchmarks.feeds 1000000 FILE.jsonl [--changed 0.01] [--csv FILE.csv]`."""

import argparse
import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
CATEGORIES = ("python", "data", "security", "cloud", "design", "mobile", "testing", "web")
CITIES = ("Berlin, Germany", "Kyōto, Japan", "São Paulo, Brazil", "Oslo, Norway", "Austin, U.S.A.")


def records(count: int, changed: float) -> Iterator[dict[str, str]]:
    """Yields events; a share of them, evenly spread, has another description than without `changed`."""
    step = round(1 / changed) if changed else 0
    for number in range(count):
        start = EPOCH + timedelta(minutes=number * 7919 % 3_000_000)
        edition = " (moved)" if step and number % step == 0 else ""
        yield {
            "id": f"{number * 2654435761 % 4294967296:08x}",
            "name": f"Conference {number} on {CATEGORIES[number % 8]}",
            "description": f"Talks and workshops of the edition {number % 97}{edition}, with a party in the evening.",
            "category": CATEGORIES[number % 8],
            "location": CITIES[number % 5],
            "publisher": f"Publisher {number % 211}",
            "start": start.isoformat(),
            "end": (start + timedelta(hours=8)).isoformat(),
        }


def write(count: int, changed: float, jsonl: Path, table: Path | None = None) -> None:
    """Writes the events as JSON lines, and as CSV if `table` is given."""
    with ExitStack() as stack:
        lines = stack.enter_context(jsonl.open("w", encoding="utf-8"))
        rows = csv.writer(stack.enter_context(table.open("w", encoding="utf-8", newline=""))) if table else None
        for record in records(count, changed):
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            if rows:
                rows.writerow(record.values())


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("jsonl", type=Path)
    parser.add_argument("--changed", type=float, default=0.0)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    write(options.count, options.changed, options.jsonl, options.csv)


if __name__ == "__main__":
    main()
