"""What is measured, and what came of it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import Message

from tests.benchmarks import load, samples

BATCH = "BatchCreateEvents"


class Method(NamedTuple):
    """A method, its request, how many events a call makes, the FastAPI path beside it, and goals by engine."""

    request: Message
    goals: Mapping[str, float] = MappingProxyType({})
    creates: int = 0
    web: str | None = None
    concurrent: int = load.CONCURRENT
    changes_rows: bool = False
    """Whether each call must have a row of its own, or calls would wait for each other."""


METHODS = {
    "GetEvent": Method(samples.GET, {"sqlite": 0.85, "postgresql": 0.45}, web="events/1"),
    "CreateEvent": Method(samples.CREATE, {"sqlite": 0.55, "postgresql": 0.30}, creates=1, web="events"),
    "UpdateEvent": Method(samples.UPDATE, changes_rows=True),
    "DeleteEvent": Method(samples.DELETE, changes_rows=True),
    "ListEvents": Method(samples.LIST, {"sqlite": 0.35}, web="events?limit=100"),
    BATCH: Method(samples.BATCH, creates=samples.BATCH_SIZE, concurrent=2),
}


@dataclass(kw_only=True)
class Figure:
    """A method on an engine, and the calls per second of each round."""

    engine: str
    method: str
    rates: list[float] = field(default_factory=list)
    noop: list[float] = field(default_factory=list)
    direct: list[float] = field(default_factory=list)
    web: list[float] = field(default_factory=list)

    def ratio(self, beside: Sequence[float]) -> float | None:
        """Returns the median of the rounds' ratios to what stands beside; None if nothing does."""
        ratios = [rate / max(other, 0.5) for rate, other in zip(self.rates, beside, strict=True)] if beside else []
        return statistics.median(ratios) if ratios else None

    def summary(self) -> dict[str, Any]:
        """Returns everything, with the medians."""
        return {
            "engine": self.engine,
            "method": self.method,
            "calls_per_second": self.rates,
            "median": statistics.median(self.rates),
            "noop": {"calls_per_second": self.noop, "ratio": self.ratio(self.noop)},
            "direct": {"calls_per_second": self.direct, "ratio": self.ratio(self.direct)},
            "fastapi": {"calls_per_second": self.web, "ratio": self.ratio(self.web)},
            "goal": METHODS[self.method].goals.get(self.engine),
        }

    def row(self) -> str:
        """Returns the medians as a line of the table."""
        ratios = [rate / other for rate, other in zip(self.rates, self.noop, strict=True)] if self.noop else []
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "-"
        cells = [_cell(self.ratio(self.noop)), spread, _cell(METHODS[self.method].goals.get(self.engine))]
        more = [_cell(self.ratio(self.direct)), _cell(self.ratio(self.web), "x")]
        first = f"{self.engine:<12}{self.method:<19}{statistics.median(self.rates):>9,.0f}"
        return first + f"{cells[0]:>8}  {cells[1]:<14}{cells[2]:>6}{more[0]:>10}{more[1]:>10}"


Figures: TypeAlias = "list[Figure]"


def table(figures: Figures) -> str:
    """Returns the table."""
    titles = f"{'engine':<12}{'method':<19}{'calls/s':>9}{'no-op':>8}  {'from to':<14}{'goal':>6}"
    head = f"{titles}{'direct':>10}{'FastAPI':>10}"
    batches = [
        f"{each.engine}: {statistics.median(each.rates) * samples.BATCH_SIZE:,.0f} events/s in batches of "
        f"{samples.BATCH_SIZE} ({min(each.rates) * samples.BATCH_SIZE:,.0f} to "
        f"{max(each.rates) * samples.BATCH_SIZE:,.0f})"
        for each in figures
        if each.method == BATCH
    ]
    return "\n".join([head, *(each.row() for each in figures), *batches])


def _cell(number: float | None, unit: str = "") -> str:
    return "-" if number is None else f"{number:.2f}{unit}"
