"""The figures of a method on an engine: every round, and medians with their range."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.load import Rate
from tests.benchmarks.methods import METHODS, Method


@dataclass(kw_only=True)
class Figure:
    """A row of METHODS on an engine: rates of the rounds, of the server and of what stands beside it."""

    engine: str
    title: str
    rates: list[Rate] = field(default_factory=list)
    noop: list[Rate] = field(default_factory=list)
    unpinned: list[Rate] = field(default_factory=list)
    tutorial: list[Rate] = field(default_factory=list)

    @property
    def method(self) -> Method:
        """The method that is measured."""
        return METHODS[self.title]

    def share(self, beside: Sequence[Rate]) -> list[float]:
        """Returns each round's calls per second, divided by those of what stands beside the server."""
        return [rate.calls / other.calls for rate, other in zip(self.rates, beside, strict=bool(beside))]

    def processor_share(self, beside: Sequence[Rate]) -> list[float]:
        """Returns each round's processor time per call of what stands beside the server, divided by the server's."""
        pairs = zip(self.rates, beside, strict=bool(beside))
        return [other.processor / rate.processor for rate, other in pairs if rate.processor]

    def unpinned_share(self) -> list[float]:
        """Returns each round's calls per second on all cores, divided by those on one core."""
        return [rate.calls / other.calls for rate, other in zip(self.unpinned, self.rates, strict=True)]

    def summary(self) -> dict[str, Any]:
        """Returns everything that was measured. Processor times are microseconds per call."""
        goal = self.method.goals.get(self.engine)
        return {
            "engine": self.engine,
            "figure": self.title,
            "method": self.method.name,
            "callers": self.method.concurrent,
            "events_per_call": self.method.batch,
            "goal": goal and {"of": "processor time" if goal.processor else "calls per second", "ratio": goal.ratio},
            "calls_per_second_to_noop": spread(self.share(self.noop)),
            "noop_processor_to_processor": spread(self.processor_share(self.noop)),
            "unpinned_calls_per_second_to_pinned": spread(self.unpinned_share()),
            "calls_per_second_to_tutorial": spread(self.share(self.tutorial)),
            "server": _rates(self.rates),
            "noop": _rates(self.noop),
            "unpinned": _rates(self.unpinned),
            "tutorial": _rates(self.tutorial),
        }

    def row(self) -> str:
        """Returns the line of the table."""
        goal = self.method.goals.get(self.engine)
        cells = [
            f"{self.engine:<11}{self.title:<29}",
            f"{statistics.median(rate.calls for rate in self.rates) * self.method.batch:>9,.0f}",
            f"{_range(self.share(self.noop)):>22}",
            f"{'-' if goal is None or goal.processor else f'{goal.ratio:.2f}':>6}",
            f"{statistics.median(rate.processor for rate in self.rates) * 1e6:>9,.0f}",
            f"{statistics.median(rate.processor for rate in self.noop) * 1e6:>7,.0f}",
            f"{_range(self.processor_share(self.noop)):>22}",
            f"{'-' if goal is None or not goal.processor else f'{goal.ratio:.2f}':>6}",
            f"{_range(self.unpinned_share()):>22}",
            f"{_range(self.share(self.tutorial)):>22}",
        ]
        return "".join(cells)


HEAD = (
    "Medians of the rounds (least to most). Server and load have a core each.\n"
    "calls/s   calls per second; of batches, events per second\n"
    "/no-op    calls per second, divided by those of a no-op server\n"
    "us        processor time of the server per call, in us; of the no-op; the no-op's divided by the server's\n"
    "unpinned  calls per second when server and load may use all cores, divided by calls/s\n"
    "tutorial  calls per second, divided by those of a service of grpcio and an ORM\n\n"
    f"{'engine':<11}{'figure':<29}{'calls/s':>9}{'/no-op':>22}{'goal':>6}{'us':>9}{'no-op':>7}{'no-op/us':>22}"
    f"{'goal':>6}{'unpinned':>22}{'tutorial':>22}"
)


def table(figures: Sequence[Figure]) -> str:
    """Returns the table."""
    return "\n".join([HEAD, *(figure.row() for figure in figures)])


def document(figures: Sequence[Figure], seconds: float) -> dict[str, Any]:
    """Returns what docs/benchmarks.json holds."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "seconds": seconds,
        "figures": [figure.summary() for figure in figures],
    }


def spread(values: Sequence[float]) -> dict[str, Any] | None:
    """Returns the values of the rounds with their median, least and most; None when there are none."""
    if not values:
        return None
    rounded = [float(f"{value:.4g}") for value in values]
    return {"median": statistics.median(rounded), "min": min(rounded), "max": max(rounded), "rounds": rounded}


def _rates(rates: Sequence[Rate]) -> dict[str, Any] | None:
    if not rates:
        return None
    return {
        "calls_per_second": spread([rate.calls for rate in rates]),
        "processor_microseconds": spread([rate.processor * 1e6 for rate in rates]),
    }


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-"
