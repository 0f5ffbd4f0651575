"""Summary of a run's figures: baselines, direction, verdict, terminal tables."""

import io
from dataclasses import asdict

import pytest

from ssl_host import Figure, summarize
from ssl_host.report.summary import summary_tables
from ssl_host.toolkit.console import make_console

TOP1 = Figure("accuracy", unit="%", baseline=True, headline=True)
METRICS = {
    "online.top1": 0.9,
    "knn.top1": 0.8,
    "few_label.5.top1": 0.65,
    "few_label.10.top1": 0.7,
    "few_label.10.top1_std": 0.02,
    "rankme": 30.0,
    "random_init.knn.top1": 0.5,
    "pixels.knn.top1": 0.85,
    "statistics.knn.top1": 0.3,
    "random_init.few_label.10.top1": 0.5,
    "random_init.few_label.10.top1_std": 0.01,
    "pixels.few_label.10.top1": 0.6,
    "statistics.few_label.10.top1": 0.4,
    "linear.top1": None,
}
FIGURES = {
    "online.top1": Figure("probe", unit="%", headline=True),
    "knn.top1": TOP1,
    "few_label.5.top1": TOP1,
    "few_label.10.top1": TOP1,
    "few_label.10.top1_std": Figure("std", higher_is_better=None, unit="%", baseline=True),
    "rankme": Figure("rank", headline=True),
    "linear.top1": TOP1,
}


def results(metrics=METRICS, figures=FIGURES):
    return {"metrics": metrics, "figures": {name: asdict(f) for name, f in figures.items()}}


def test_rows_have_baselines_and_standard_deviation():
    summary = summarize(results())
    names = ["online.top1", "knn.top1", "few_label.5.top1", "few_label.10.top1"]
    assert [row.name for row in summary.rows] == names
    knn = summary.find("knn.top1")
    assert knn.baselines == {"random_init": 0.5, "pixels": 0.85, "statistics": 0.3}
    assert knn.best_baseline == 0.85
    assert knn.learned is False
    few_label = summary.find("few_label.10.top1")
    assert few_label.learned is True
    assert few_label.std == 0.02
    assert summary.find("online.top1").learned is None
    assert summary.find("linear.top1") is None
    assert [(row.name, row.value) for row in summary.others] == [("rankme", 30.0)]


def test_weights_from_elsewhere_do_not_decide_whether_the_network_learned():
    """A network between untrained ones and ImageNet's has learned; the verdict says both."""
    metrics = {"knn.top1": 0.8, "pixels.knn.top1": 0.5, "imagenet.knn.top1": 0.95}
    about = {
        "pixels": {"label": "raw pixels", "is_trained": False},
        "imagenet": {"label": "imagenet", "is_trained": True},
    }
    summary = summarize({**results(metrics), "baselines": about})
    row = summary.find("knn.top1")
    assert row.learned is True
    assert row.best_baseline == 0.5
    assert row.baselines == {"pixels": 0.5, "imagenet": 0.95}
    assert summary.verdict.startswith("Every metric beats its baselines.")
    assert "imagenet is as good or better in knn.top1" in summary.verdict
    del metrics["pixels.knn.top1"], about["pixels"]
    alone = summarize({**results(metrics), "baselines": about})
    assert alone.verdict.startswith("No metric has untrained baselines")


def test_headlines_of_names_with_numbers_are_the_last_one():
    names = [row.name for row in summarize(results()).headlines]
    assert names == ["online.top1", "knn.top1", "few_label.10.top1", "rankme"]


def test_figures_without_declaration_are_other_figures():
    summary = summarize({"metrics": METRICS})
    assert not summary.rows
    assert {"knn.top1", "rankme"} < {row.name for row in summary.others}


@pytest.mark.parametrize(("value", "learned"), [(0.2, True), (0.3, False), (0.4, False)])
def test_figures_where_lower_is_better_must_be_below_all_baselines(value, learned):
    metrics = {"error": value, "random_init.error": 0.5, "pixels.error": 0.3}
    figure = Figure("error rate", higher_is_better=False, baseline=True)
    row = summarize(results(metrics, {"error": figure})).find("error")
    assert row.best_baseline == 0.3
    assert row.learned is learned


def test_figures_of_any_name_get_baselines_and_a_verdict():
    metrics = {"detect.mAP": 0.4, "random_init.detect.mAP": 0.1, "pixels.detect.mAP": 0.2}
    summary = summarize(results(metrics, {"detect.mAP": TOP1}))
    assert summary.find("detect.mAP").baselines == {"random_init": 0.1, "pixels": 0.2}
    assert summary.verdict == "Every metric beats its baselines."


@pytest.mark.parametrize(
    ("value", "num_test", "data", "is_uncertain"),
    [
        (0.84, 446, None, True),
        (0.84, 44_600, None, False),
        (0.95, 446, None, False),
        (0.84, 446, "flowers", False),  # measured on other images, whose number is not known
        (0.84, None, None, False),
    ],
)
def test_margin_within_the_sampling_error_is_said_to_be_uncertain(
    value, num_test, data, is_uncertain
):
    """The standard error of the difference of 0.84 and 0.82 on 446 images is 0.025."""
    metrics = {"linear.top1": value, "pixels.linear.top1": 0.82}
    found = results(metrics)
    found["images"] = {"train": 1, "probe": 1, "test": num_test}
    found["figures"]["linear.top1"]["data"] = data
    summary = summarize(found)
    assert summary.find("linear.top1").learned is True
    assert summary.verdict.startswith("Every metric beats its baselines.")
    assert ("linear.top1" in summary.verdict) is is_uncertain
    assert ("446" in summary.verdict) is is_uncertain


def test_verdict_says_that_a_method_used_labels():
    verdict = summarize({**results(), "uses_labels": True}).verdict
    assert verdict.startswith("Trained with labels")
    assert "No sign of learning in knn.top1" in verdict


def test_verdict_names_figures_that_do_not_beat_their_baselines():
    verdict = summarize(results()).verdict
    assert "No sign of learning in knn.top1" in verdict
    assert "few_label" not in verdict
    equal = {**METRICS, "knn.top1": 0.85, "few_label.10.top1": 0.6}
    assert "No metric beats its baselines" in summarize(results(equal)).verdict
    assert "No metric has baselines" in summarize(results({"rankme": 3.0})).verdict


def test_terminal_tables_show_figures_without_markup():
    screen = io.StringIO()
    make_console(file=screen, width=100).print(summary_tables(results()))
    lines = [line.split() for line in screen.getvalue().splitlines()]
    assert ["knn.top1,", "%", "80.00", "50.00", "85.00", "30.00"] in lines
    assert ["few_label.10.top1,", "%", "70.00", "±2.0", "50.00", "60.00", "40.00"] in lines
    assert ["rankme", "30"] in lines
    assert lines[-1][:3] == ["No", "sign", "of"]


def test_terminal_tables_have_no_headings_of_baselines_without_compared_metrics():
    screen = io.StringIO()
    make_console(file=screen, width=100).print(summary_tables(results({"rankme": 3.0})))
    assert "this run" not in screen.getvalue()
    assert "rankme" in screen.getvalue()


def test_terminal_tables_show_notes_that_have_not_been_printed():
    skipped = [{"image": "a.png", "reason": "the file is empty"}]
    noted = {**results(), "notes": ["few [gray] levels", "bright"], "skipped": skipped}
    screen = io.StringIO()
    make_console(file=screen, width=100).print(summary_tables(noted, ["bright"]))
    text = " ".join(screen.getvalue().split())
    assert "note: few [gray] levels" in text
    assert "note: 1 unreadable image left out" in text
    assert "bright" not in text


def test_figures_are_formatted_by_their_unit():
    assert TOP1.format(0.98765) == "98.77"
    assert TOP1.format(None) == "–"
    assert Figure("rank").format(30.123456) == "30.12"
