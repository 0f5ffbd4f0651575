"""Charts as SVG."""

import math
import xml.etree.ElementTree as ElementTree

from ssl_host.report.charts import HEIGHT, LEFT, MAX_POINTS, RIGHT, WIDTH, _ticks, line_chart


def parsed(chart):
    return ElementTree.fromstring(chart)


def test_points_lie_where_their_values_say():
    root = parsed(line_chart({"loss": [(0, 0.0), (5, 1.0), (10, 2.0)]}, "step"))
    line = root.find("polyline")
    at = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
    assert [x for x, _ in at] == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]
    assert at[0][1] > at[1][1] > at[2][1]
    assert math.isclose(at[0][1] - at[1][1], at[1][1] - at[2][1], abs_tol=0.2)
    assert all(0 <= y <= HEIGHT for _, y in at)


def test_long_curves_are_thinned_by_means_and_bad_numbers_left_out():
    points = [(i, float(i)) for i in range(10 * MAX_POINTS)] + [(1e5, math.nan)]
    line = parsed(line_chart({"a": points}, "step")).find("polyline")
    values = [tuple(map(float, p.split(","))) for p in line.get("data-values").split(";")]
    assert len(values) == MAX_POINTS
    assert values[0] == (9, 4.5)


def test_one_point_and_no_numbers_are_no_line():
    assert line_chart({"a": [(1, 2.0)]}, "step") == ""
    assert line_chart({"a": [(1, math.nan), (2, math.inf), (3, 1.0)]}, "step") == ""


def test_a_curve_of_one_point_beside_others_is_a_dot():
    """Seen to fail with a line that begins and does not end, which paints nothing."""
    curves = {"a": [(0, 1.0), (1, 2.0)], "b": [(1, 1.5)]}
    _, dot = parsed(line_chart(curves, "step")).findall("polyline")
    first, last = dot.get("points").split()
    assert first == last
    assert dot.get("stroke-linecap") == "round"


def test_names_are_escaped():
    chart = line_chart({'<script>"x"': [(0, 1.0), (1, 2.0)]}, "<b>")
    assert "<script>" not in chart
    assert "<b>" not in chart
    parsed(chart)


def test_ticks_are_round_and_span_the_data():
    for low, high in ((0, 1), (0.3, 0.31), (-5, 7), (1e-5, 3e-5), (2, 2), (0, 12345)):
        ticks = _ticks(low, high)
        assert ticks[0] <= low
        assert ticks[-1] >= high
        assert 2 <= len(ticks) <= 8
