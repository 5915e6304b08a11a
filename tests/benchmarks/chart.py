"""Draws the figures as one chart: bars for the share of a no-op, for each method and engine."""

from html import escape

from tests.benchmarks.figures import Figures

WIDTH, ROW, LABEL, BAR = 720, 26, 220, 420
COLOURS = {"sqlite": "#4269d0", "postgresql": "#efb118"}


def draw(figures: Figures) -> str:
    """Returns an SVG."""
    rows = [(each, each.ratio(each.noop)) for each in figures]
    bars = [(each, ratio) for each, ratio in rows if ratio is not None]
    height = ROW * (len(bars) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="{ROW - 8}">Calls per second as a share of a no-op method of the same server</text>',
    ]
    for index, (figure, ratio) in enumerate(bars, start=1):
        top = ROW * index + 4
        length = BAR * min(ratio, 1)
        parts += [
            f'<text x="10" y="{top + 14}">{escape(figure.method)}, {escape(figure.engine)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{ROW - 8}" fill="{COLOURS[figure.engine]}"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{top + 14}">{ratio:.2f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
