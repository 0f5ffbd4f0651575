"""SVG charts: positions, averaging, escaping, ticks."""

import math
import xml.etree.ElementTree as ElementTree

from ssl_host.report.charts import HEIGHT, LEFT, MAX_POINTS, RIGHT, WIDTH, _ticks, line_chart


def parsed(chart):
    return ElementTree.fromstring(chart)


def test_points_are_at_the_positions_of_their_values():
    root = parsed(line_chart({"loss": [(0, 0.0), (5, 1.0), (10, 2.0)]}, "step"))
    line = root.find("polyline")
    at = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
    assert [x for x, _ in at] == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]
    assert at[0][1] > at[1][1] > at[2][1]
    assert math.isclose(at[0][1] - at[1][1], at[1][1] - at[2][1], abs_tol=0.2)
    assert all(0 <= y <= HEIGHT for _, y in at)


def test_long_series_are_averaged_without_non_finite_values():
    points = [(i, float(i)) for i in range(10 * MAX_POINTS)] + [(1e5, math.nan)]
    line = parsed(line_chart({"a": points}, "step")).find("polyline")
    values = [tuple(map(float, p.split(","))) for p in line.get("data-values").split(";")]
    assert len(values) == MAX_POINTS
    assert values[0] == (9, 4.5)


def test_series_without_two_finite_points_give_no_chart():
    assert line_chart({"a": [(1, 2.0)]}, "step") == ""
    assert line_chart({"a": [(1, math.nan), (2, math.inf), (3, 1.0)]}, "step") == ""


def test_single_point_next_to_a_line_is_a_dot():
    curves = {"a": [(0, 1.0), (1, 2.0)], "b": [(1, 1.5)]}
    _, dot = parsed(line_chart(curves, "step")).findall("polyline")
    first, last = dot.get("points").split()
    assert first == last
    assert dot.get("stroke-linecap") == "round"


def test_names_and_labels_are_escaped():
    chart = line_chart({'<script>"x"': [(0, 1.0), (1, 2.0)]}, "<b>")
    assert "<script>" not in chart
    assert "<b>" not in chart
    parsed(chart)


def test_ticks_span_the_data():
    for low, high in ((0, 1), (0.3, 0.31), (-5, 7), (1e-5, 3e-5), (2, 2), (0, 12345)):
        ticks = _ticks(low, high)
        assert ticks[0] <= low
        assert ticks[-1] >= high
        assert 2 <= len(ticks) <= 8
