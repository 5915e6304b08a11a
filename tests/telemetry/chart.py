"""Draws the panels of the dashboard, with the values that Prometheus returned."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from tests.benchmarks.chart import FAINT, svg, text

COLUMNS, WIDTH, PANEL, FOOT, LEFT, GAP, TOP = 3, 400, 120, 74, 62, 24, 70
"""Columns of panels, the width of one, the height of its plot, the space for its legend and its axis, and margins."""
COLOURS = ("#2f5fd0", "#c2410c", "#15803d", "#7e22ce", "#b58900", "#0e7490", "#be185d", "#57534e")
MAX_NAMES = 6
_FACTORS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_UNITS = {"s": " s", "bytes": "B", "Bps": "B/s", "reqps": "/s", "percentunit": "", "short": ""}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A time series: its name in the legend, and seconds since the begin with values."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel of the dashboard."""

    title: str
    unit: str
    """As Grafana names it, such as "reqps"."""
    lines: Sequence[Line]


def draw(title: str, panels: Sequence[Panel], seconds: float) -> str:
    """Returns an SVG on a background of its own, so that it reads the same on a light page and on a dark one."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH + GAP, TOP + rows * (PANEL + FOOT + GAP)
    parts = [text(20, 30, title, size=16)]
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        parts += _panel(panel, column * WIDTH, TOP + row * (PANEL + FOOT + GAP), seconds)
    return svg(width, height, parts)


def _panel(panel: Panel, left: float, top: float, seconds: float) -> list[str]:
    most = max((value for line in panel.lines for _, value in line.points), default=0.0) or 1.0
    x, width = left + LEFT, WIDTH - LEFT
    if not panel.lines:
        return [text(x, top - 8, panel.title, size=13), text(x, top + 14, "no data in this run", size=11)]
    parts = [
        text(x, top - 8, panel.title, size=13),
        text(x - 6, top + 8, _shown(most, panel.unit), "end", size=10),
        text(x - 6, top + PANEL, "0", "end", size=10),
        f'<path d="M{x} {top}h{width}M{x} {top + PANEL}h{width}" stroke="{FAINT}"/>',
        text(x, top + PANEL + 14, "0 s", size=10),
        text(x + width, top + PANEL + 14, f"{seconds:.0f} s", "end", size=10),
    ]
    names = sorted(panel.lines, key=_most, reverse=True)[:MAX_NAMES]
    for line, colour in zip(panel.lines, cycle(COLOURS)):
        points = " ".join(
            f"{x + width * second / seconds:.1f},{top + PANEL * (1 - value / most):.1f}"
            for second, value in line.points
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if line in names:
            row, column = divmod(names.index(line), 2)
            parts.append(
                f'<g fill="{colour}">{text(x + column * width / 2, top + PANEL + 28 + 12 * row, line.name, size=9)}</g>'
            )
    return parts


def _most(line: Line) -> float:
    return max((value for _, value in line.points), default=0.0)


def _shown(value: float, unit: str) -> str:
    """Returns a value with its unit: 1.5 MB, 20 ms, 37 %."""
    if unit == "percentunit":
        return f"{100 * value:.0f} %"
    if unit == "s" and value < 1:
        return f"{1000 * value:.3g} ms"
    factor, prefix = next(((factor, prefix) for factor, prefix in _FACTORS if value >= factor), (1, ""))
    return f"{value / factor:.3g} {prefix}{_UNITS[unit].strip()}".strip()
