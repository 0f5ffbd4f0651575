"""Ranks of runs and choices of epochs by measures without labels, on made-up results."""

import csv
import io
import json
from dataclasses import asdict

import pytest

from ssl_host import Figure
from ssl_host.report.epoch_choices import RankedRun
from ssl_host.report.ranking import TRUST, rank_runs, ranking_tables
from ssl_host.toolkit.console import make_console

FREE = {
    "rankme": Figure("rank", headline=True),
    "alignment": Figure("distance", higher_is_better=False),
    "alpha": Figure("exponent; 1 is best", None, best_value=1.0),
    "images": Figure("a count", None),
}
LABELLED = {"knn.top1": Figure("accuracy", unit="%", headline=True), "knn.top5": Figure("more")}
FIGURES = {
    **{name: {**asdict(figure), "needs_labels": False} for name, figure in FREE.items()},
    **{name: {**asdict(figure), "needs_labels": True} for name, figure in LABELLED.items()},
    "throughput": asdict(Figure("speed")),  # not of an evaluator
}


def run(folder, name, group=None, method="a", **metrics):
    """Return a finished run with metrics; ``_`` in their names stands for a dot."""
    results = {
        "method": method,
        "metrics": {key.replace("_", "."): value for key, value in metrics.items()},
        "figures": FIGURES,
        "epochs": 3,
        "best": {"metric": "rankme", "value": 9.0, "epoch": 2},
    }
    return RankedRun(name, group or name, folder / name, results)


def write_curves(run, columns):
    """Write ``metrics.csv`` with ten steps an epoch and an evaluation after each epoch."""
    run.folder.mkdir()
    with (run.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["step", "epoch", "loss", *columns])
        writer.writeheader()
        for epoch in (1, 2, 3):
            writer.writerow({"step": 10 * epoch - 5, "epoch": float(epoch), "loss": 1.0})
            values = {name: points[epoch - 1] for name, points in columns.items()}
            writer.writerow({"step": 10 * epoch, "epoch": float(epoch), **values})


def ranks(ranking):
    return {measure.name: measure.ranks for measure in ranking.measures}


def remark(ranking, start):
    """Return the only remark that contains a text."""
    (found,) = [text for text in ranking.remarks if start in text]
    return found


def test_direction_of_each_measure_decides_the_ranks(tmp_path):
    runs = [
        run(tmp_path, "x", rankme=9.0, alignment=0.1, alpha=1.5, images=3, throughput=5),
        run(tmp_path, "y", rankme=8.0, alignment=0.2, alpha=0.9, images=4, throughput=6),
    ]
    assert ranks(rank_runs(runs)) == {
        "rankme": {"x": 1, "y": 2},
        "alignment": {"x": 1, "y": 2},
        "alpha": {"x": 2, "y": 1},
    }


def test_equal_values_share_a_rank(tmp_path):
    runs = [
        run(tmp_path, name, rankme=value) for name, value in (("x", 9.0), ("y", 9.0), ("z", 8.0))
    ]
    ranking = rank_runs(runs)
    assert ranks(ranking) == {"rankme": {"x": 1, "y": 1, "z": 3}}
    assert [row[1] for row in ranking.tables()[0].rows] == ["1= (9)", "1= (9)", "3 (8)"]


def test_run_without_a_measure_is_named_and_not_ranked_by_it(tmp_path):
    runs = [
        run(tmp_path, "x", rankme=9.0, alignment=0.1),
        run(tmp_path, "y", rankme=8.0),
        run(tmp_path, "z", rankme=None, alignment=0.3),
    ]
    ranking = rank_runs(runs)
    assert ranks(ranking) == {"rankme": {"x": 1, "y": 2}, "alignment": {"x": 1, "z": 2}}
    assert "rankme" in remark(ranking, "not measured in z")
    assert "alignment" in remark(ranking, "not measured in y")
    assert ranking.tables()[0].rows[2][1] == "–"


def test_measure_of_one_run_gives_no_ranks(tmp_path):
    ranking = rank_runs([run(tmp_path, "x", rankme=9.0), run(tmp_path, "y", alignment=0.1)])
    assert (ranking.measures, ranking.remarks, ranking.tables()) == ((), (), [])


def test_epoch_with_nan_is_not_chosen(tmp_path):
    each = run(tmp_path, "x", rankme=4.0)
    write_curves(each, {"rankme": [float("nan"), 5.0, 4.0]})
    chosen = {choice.measure: choice for choice in rank_runs([each]).epochs}
    assert (chosen["rankme"].epoch, chosen["rankme"].value) == (2, 5.0)
    json.dumps(rank_runs([each]).as_dict(), allow_nan=False)


def test_measures_with_labels_alone_are_not_ranked(tmp_path):
    ranking = rank_runs([run(tmp_path, "x", knn_top1=0.9), run(tmp_path, "y", knn_top1=0.8)])
    assert (ranking.measures, ranking.remarks) == ((), ())


def test_declarations_of_earlier_versions_are_not_ranked(tmp_path):
    runs = [run(tmp_path, name, rankme=9.0) for name in "xy"]
    for each in runs:
        each.results["figures"] = {"rankme": asdict(FREE["rankme"])}
    assert rank_runs(runs).measures == ()


def test_headline_metrics_with_labels_follow_the_measures_without(tmp_path):
    runs = [
        run(tmp_path, "x", knn_top1=0.8, knn_top5=0.9, rankme=9.0),
        run(tmp_path, "y", knn_top1=0.9, knn_top5=0.9, rankme=8.0),
    ]
    ranking = rank_runs(runs)
    assert list(ranks(ranking)) == ["rankme", "knn.top1"]
    assert "knn.top1 prefers y" in remark(ranking, "With labels")
    assert ranking.tables()[0].headings == ("run", "rankme", "knn.top1, % (with labels)")


def test_disagreement_of_measures_is_said(tmp_path):
    runs = [
        run(tmp_path, "x", rankme=9.0, alignment=0.2),
        run(tmp_path, "y", rankme=8.0, alignment=0.1),
    ]
    said = remark(rank_runs(runs), "disagree")
    assert "rankme prefers x" in said
    assert "alignment prefers y" in said


def test_agreement_of_measures_is_said(tmp_path):
    runs = [
        run(tmp_path, "x", rankme=9.0, alignment=0.1),
        run(tmp_path, "y", rankme=8.0, alignment=0.1),
    ]
    assert remark(rank_runs(runs), "All measures").endswith("prefer x.")


def test_warning_if_methods_differ_and_pointer_to_the_explanation(tmp_path):
    runs = [run(tmp_path, "x", rankme=9.0), run(tmp_path, "y", method="b", rankme=8.0)]
    warning = remark(rank_runs(runs), "Warning")
    assert "method (a, b)" in warning
    assert "RankMe" in warning
    same = rank_runs([runs[0], run(tmp_path, "z", rankme=8.0)])
    assert same.remarks == (TRUST,)
    assert "choosing-without-labels" in TRUST


def test_runs_of_a_group_are_averaged(tmp_path):
    runs = [
        run(tmp_path, "x0", "x", rankme=9.0),
        run(tmp_path, "x1", "x", rankme=5.0),
        run(tmp_path, "y0", "y", rankme=8.0),
    ]
    (measure,) = rank_runs(runs).measures
    assert measure.values == {"x": 7.0, "y": 8.0}
    assert measure.ranks == {"x": 2, "y": 1}


def test_each_measure_chooses_an_epoch_with_its_accuracy_and_weights(tmp_path):
    one = run(tmp_path, "x", rankme=7.0, alignment=0.1, knn_top1=0.6)
    curves = {"rankme": [7.0, 9.0, 8.0], "alignment": [0.1, 0.1, 0.2], "knn.top1": [0.5, 0.6, 0.7]}
    write_curves(one, curves)
    ranking = rank_runs([one])
    found = [(c.measure, c.epoch, c.value, c.labelled, c.weights) for c in ranking.epochs]
    assert found == [
        ("rankme", 2, 9.0, {"knn.top1": 0.6}, "best"),
        ("alignment", 1, 0.1, {"knn.top1": 0.5}, None),  # the first of equal values
        ("knn.top1", 3, 0.7, {"knn.top1": 0.7}, "backbone.safetensors"),
        ("", 3, None, {"knn.top1": 0.7}, "backbone.safetensors"),
    ]
    assert "rankme 2, alignment 1" in remark(ranking, "different epochs of x")
    (table,) = ranking.tables()
    assert table.headings == ("run", "chosen by", "epoch", "value", "knn.top1, %", "weights")
    assert table.rows[1] == ("x", "alignment", "1", "0.1", "50.00", "not kept")
    assert table.rows[3][:4] == ("x", "last epoch", "3", "–")


def test_epochs_without_labels_have_no_accuracy(tmp_path):
    one = run(tmp_path, "x", rankme=7.0)
    write_curves(one, {"rankme": [7.0, float("nan"), 8.0]})
    ranking = rank_runs([one])
    assert [(choice.measure, choice.epoch) for choice in ranking.epochs] == [("rankme", 3), ("", 3)]
    assert ranking.tables()[0].headings == ("run", "chosen by", "epoch", "value", "weights")
    assert not any("different epochs" in text for text in ranking.remarks)


@pytest.mark.parametrize(
    "curves", [{}, {"knn.top1": [0.1, 0.2, 0.3]}, {"rankme": ["", "", 8.0]}], ids=str
)
def test_no_choice_without_a_measure_in_several_epochs(tmp_path, curves):
    one = run(tmp_path, "x", rankme=7.0, knn_top1=0.3)
    write_curves(one, curves)
    assert rank_runs([one]).epochs == ()


def test_ranking_is_written_as_json(tmp_path):
    runs = [run(tmp_path, "x", rankme=9.0), run(tmp_path, "y", rankme=8.0)]
    write_curves(runs[0], {"rankme": [7.0, 9.0, 8.0]})
    ranking = json.loads(json.dumps(rank_runs(runs).as_dict()))
    assert ranking["measures"] == [
        {
            "name": "rankme",
            "needs_labels": False,
            "values": {"x": 9.0, "y": 8.0},
            "ranks": {"x": 1, "y": 2},
        }
    ]
    assert ranking["epochs"][0]["epoch"] == 2
    assert ranking["remarks"][-1] == TRUST


def test_long_names_are_not_cut_off_in_a_narrow_terminal(tmp_path):
    long = "a-run-with-a-name-of-forty-characters-or"
    runs = [run(tmp_path, f"{long}-{i}", rankme=i, alignment=i, alpha=i) for i in (1, 2)]
    screen = io.StringIO()
    make_console(file=screen, width=40).print(ranking_tables(rank_runs(runs)))
    assert "…" not in screen.getvalue()
