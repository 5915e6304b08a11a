"""Draws the chart: a bar for each method and engine, as long as its share of the no-op's calls per second."""

import math
import statistics
from collections.abc import Iterable, Sequence
from html import escape

from tests.benchmarks.figures import Figure

WIDTH, ROW, GAP, TOP, FOOT = 860, 20, 10, 66, 44
LEFT, AXIS = 200, 470
"""The beginning and the length of the axis."""
STEP = 0.25
COLOURS = {"sqlite": "#2f5fd0", "postgresql": "#c26a00"}
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
INK, FAINT = "#1f2328", "#d0d7de"


def draw(figures: Sequence[Figure]) -> str:
    """Returns an SVG on a background of its own, so that it reads the same on a light page and on a dark one."""
    titles = list(dict.fromkeys(figure.title for figure in figures))
    shares = [share for figure in figures for share in figure.share(figure.noop)]
    ticks = max(math.ceil(max(shares) / STEP), round(1 / STEP))
    scale = AXIS / (ticks * STEP)
    parts, top = [], TOP
    for title in titles:
        rows = [figure for figure in figures if figure.title == title]
        parts.append(text(LEFT - 10, top + ROW * len(rows) / 2 + 4, title, "end"))
        for row in rows:
            parts += _bar(row, top, scale)
            top += ROW
        top += GAP
    axis = [part for tick in range(ticks + 1) for part in _tick(tick * STEP, LEFT + tick * STEP * scale, top)]
    head = [
        text(20, 26, "Calls per second, as a share of a no-op's (higher is better)", size=16),
        *_legend(dict.fromkeys(figure.engine for figure in figures)),
    ]
    foot = text(
        LEFT + AXIS / 2, top + 36, "share of the calls per second of a server whose methods do nothing", "middle"
    )
    height = top + FOOT
    return svg(WIDTH, height, [*head, *axis, *parts, foot])


def svg(width: float, height: float, parts: Iterable[str]) -> str:
    """Returns an SVG of these parts, which the other charts use as well."""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" fill="{INK}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _bar(figure: Figure, top: float, scale: float) -> list[str]:
    """Returns the bar of the median, a line from the least round to the most, and the rate in words."""
    shares = figure.share(figure.noop)
    middle, least, most = (LEFT + value * scale for value in (statistics.median(shares), min(shares), max(shares)))
    rate = statistics.median(each.calls for each in figure.rates) * figure.method.batch
    unit = "events/s" if figure.method.batch > 1 else "calls/s"
    y = top + ROW / 2
    colour = COLOURS[figure.engine]
    return [
        f'<rect x="{LEFT}" y="{top + 2}" width="{middle - LEFT:.1f}" height="{ROW - 4}" fill="{colour}"/>',
        f'<path d="M{least:.1f} {y}H{most:.1f}M{least:.1f} {y - 4}v8M{most:.1f} {y - 4}v8" stroke="{INK}"/>',
        text(max(middle, most) + 8, y + 4, f"{statistics.median(shares):.2f} · {rate:,.0f} {unit}", size=12),
    ]


def _tick(value: float, x: float, bottom: float) -> list[str]:
    return [
        f'<path d="M{x:.1f} {TOP - 6}V{bottom}" stroke="{FAINT}"/>',
        text(x, bottom + 16, f"{value:.2f}", "middle", size=12),
    ]


def _legend(engines: Sequence[str] | dict[str, None]) -> list[str]:
    parts = []
    for number, engine in enumerate(engines):
        x = 20 + 110 * number
        parts += [
            f'<rect x="{x}" y="37" width="12" height="12" fill="{COLOURS[engine]}"/>',
            text(x + 18, 48, NAMES[engine]),
        ]
    return [
        *parts,
        text(20 + 110 * 2 + 10, 48, "bar: median; line: least to most of the rounds; beside it the rate", size=12),
    ]


def text(x: float, y: float, text: str, anchor: str = "start", size: int = 13) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
