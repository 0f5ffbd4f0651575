"""Figures beside their baselines, and what may be said of them."""

import io

from ssl_host.report.summary import accuracies, other_figures, per_cent, tables, verdict
from ssl_host.toolkit.console import make_console

METRICS = {
    "online.top1": 0.9,
    "knn.top1": 0.8,
    "few_label.10.top1": 0.7,
    "few_label.10.top1_std": 0.02,
    "rankme": 30.0,
    "random_init.knn.top1": 0.5,
    "pixels.knn.top1": 0.85,
    "statistics.knn.top1": 0.3,
    "random_init.few_label.10.top1": 0.5,
    "pixels.few_label.10.top1": 0.6,
    "statistics.few_label.10.top1": 0.4,
    "linear.top1": None,
}


def test_each_accuracy_is_a_row_with_its_baselines():
    rows = {row.name: row for row in accuracies(METRICS)}
    assert list(rows) == ["online.top1", "knn.top1", "few_label.10.top1"]
    assert rows["knn.top1"].baselines == {"random_init": 0.5, "pixels": 0.85, "statistics": 0.3}
    assert rows["knn.top1"].best == 0.85
    assert rows["knn.top1"].learned is False
    assert rows["few_label.10.top1"].learned is True
    assert rows["few_label.10.top1"].std == 0.02
    assert rows["online.top1"].learned is None
    assert other_figures(METRICS) == {"rankme": 30.0}


def test_the_verdict_names_what_shows_no_learning():
    assert verdict(METRICS) == (
        "Not above all three baselines, and so no sign of learning: knn.top1."
    )
    good = {**METRICS, "knn.top1": 0.86}
    assert verdict(good) == "Every accuracy beats its three baselines."
    equal = {**METRICS, "knn.top1": 0.85, "few_label.10.top1": 0.6}
    assert "do not show that anything was learned" in verdict(equal)
    assert verdict({"rankme": 3.0}) == (
        "No accuracy stands here with baselines beside it: nothing can be said of learning."
    )


def test_the_terminal_shows_figures_and_no_markup():
    """Seen to fail with styles written as markup, which a plain console prints as it stands."""
    screen = io.StringIO()
    make_console(file=screen, width=100).print(tables({"metrics": METRICS}))
    lines = [line.split() for line in screen.getvalue().splitlines()]
    assert ["knn.top1", "80.00", "50.00", "85.00", "30.00"] in lines
    assert ["few_label.10.top1", "70.00", "±2.0", "50.00", "60.00", "40.00"] in lines


def test_tables_print_per_cent():
    assert per_cent(0.98765) == "98.77"
    assert per_cent(None) == "–"
