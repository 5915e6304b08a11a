"""Draws the soak: each reading of the server over time, in a panel of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.chart import FAINT, svg, text

WIDTH, PANEL, GAP, TOP, FOOT = 880, 110, 24, 104, 34
LEFT, AXIS = 110, 720
"""The beginning and the length of the axis of time."""
COLOUR = "#2f5fd0"
BAND = "#f3f0e6"


@dataclass(frozen=True, kw_only=True)
class Series:
    """A reading over time."""

    title: str
    unit: str
    points: Sequence[tuple[float, float]]
    """Seconds since the begin, and values."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the soak, in seconds since the begin."""

    name: str
    begin: float
    end: float


def draw(title: str, series: Sequence[Series], phases: Sequence[Phase]) -> str:
    """Returns an SVG on a background of its own, so that it reads the same on a light page and on a dark one."""
    length = max(*(phase.end for phase in phases), *(each.points[-1][0] for each in series))
    bottom = TOP + len(series) * (PANEL + GAP)
    height = bottom + FOOT
    parts = [text(20, 28, title, size=16)]
    parts += [part for phase in phases for part in _phase(phase, length, bottom)]
    for number, each in enumerate(series):
        parts += _panel(each, TOP + number * (PANEL + GAP) + GAP, length)
    parts += [
        text(LEFT + AXIS * tick / 5, bottom + 20, f"{length * tick / 5:.0f} s", "middle", size=12) for tick in range(6)
    ]
    return svg(WIDTH, height, parts)


def _phase(phase: Phase, length: float, bottom: float) -> list[str]:
    begin, end = (LEFT + AXIS * seconds / length for seconds in (phase.begin, phase.end))
    x, y = (begin + end) / 2 + 3, TOP - 6
    return [
        f'<rect x="{begin:.1f}" y="{TOP}" width="{end - begin:.1f}" height="{bottom - TOP}" fill="{BAND}"/>',
        f'<g transform="rotate(-60 {x:.1f} {y})">{text(x, y, phase.name, size=10)}</g>',
    ]


def _panel(series: Series, top: float, length: float) -> list[str]:
    most = max((value for _, value in series.points), default=0.0) or 1.0
    line = " ".join(
        f"{LEFT + AXIS * seconds / length:.1f},{top + PANEL * (1 - value / most):.1f}"
        for seconds, value in series.points
    )
    return [
        text(LEFT - 10, top + PANEL / 2, series.title, "end"),
        text(LEFT - 10, top + 4, f"{most:,.0f} {series.unit}".strip(), "end", size=11),
        text(LEFT - 10, top + PANEL + 4, "0", "end", size=11),
        f'<path d="M{LEFT} {top}H{LEFT + AXIS}M{LEFT} {top + PANEL}h{AXIS}" stroke="{FAINT}"/>',
        f'<polyline points="{line}" fill="none" stroke="{COLOUR}" stroke-width="1.5"/>',
    ]
