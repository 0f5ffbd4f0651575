"""Draw line charts as SVG, for HTML pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 260
"""Width and height of a chart, in SVG units."""
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 30
"""Margins around the plot area of a chart, in SVG units; they contain the axis labels."""
MAX_POINTS = 600
"""Largest number of points in a line; in longer lines, neighbouring points are averaged."""

Points = Sequence[tuple[float, float]]


def line_chart(series: Mapping[str, Points], x_label: str, percent: bool = False) -> Markup:
    """Return an SVG line chart with a common x axis; empty if no line has two points.

    Args:
        series: points (x, y) of each line, sorted by x and keyed by the name of the line. The
            order of the names determines the colours.
        x_label: label of the x axis.
        percent: True to show y, a fraction from 0 to 1, as a percentage.
    """
    lines = {name: _average_neighbours(points) for name, points in series.items()}
    if not any(len(points) > 1 for points in lines.values()):
        return Markup()
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_ticks = _ticks(min(xs), max(xs))
    y_ticks = _ticks(min(ys), max(ys))
    x_low, x_high = min(xs), max(*xs, min(xs) + 1e-12)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def position(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / max(y_high - y_low, 1e-12)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for tick in y_ticks:
        _, y = position(x_low, tick)
        text = f"{100 * tick:g} %" if percent else f"{tick:g}"
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for tick in x_ticks:
        x, _ = position(tick, y_low)
        if x_low <= tick <= x_high and x < WIDTH - RIGHT - 48:  # do not cover the axis label
            at = f'x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle"'
            parts.append(f'<text class="tick" {at}>{tick:g}</text>')
    parts.append(
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">'
        f"{escape(x_label)}</text>"
    )
    for number, (name, points) in enumerate(lines.items()):
        if not points:
            continue
        # A line from a point to itself is drawn as a dot, because its ends are round.
        ends = [*points, *points] if len(points) == 1 else points
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (position(*point) for point in ends))
        data = ";".join(f"{x:g},{y:.5g}" for x, y in points)
        parts.append(
            f'<polyline class="line c{number % 10}" stroke-linecap="round" points="{path}" '
            f'data-name="{escape(name)}" data-values="{data}"/>'
        )
    parts.append("</svg>")
    return Markup("".join(parts))


def _average_neighbours(points: Points) -> Points:
    """Return the finite points, with neighbours averaged if there are more than MAX_POINTS."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) <= MAX_POINTS:
        return finite
    step = -(-len(finite) // MAX_POINTS)
    blocks = [finite[i : i + step] for i in range(0, len(finite), step)]
    return [(block[-1][0], sum(y for _, y in block) / len(block)) for block in blocks]


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers for the ticks of an axis; they cover the range from low to high."""
    span = max(high - low, abs(high) * 1e-6, 1e-9)
    raw = span / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [round(i * step, 12) for i in range(first, last + 1)]
