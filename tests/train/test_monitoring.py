"""Evaluation during training: its curve, the best backbone, early stopping, exact resume."""

import csv
import json
import math
import signal
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.contracts.evaluation import Figure
from ssl_host.data.datasets import open_datasets
from ssl_host.data.monitoring_split import split_training_images
from ssl_host.errors import ConfigError, RunError, RunFolderError, UserError
from ssl_host.pipeline.monitoring import make_periodic_evaluation
from ssl_host.pipeline.run import run_config
from ssl_host.testing.interruption import stopped_after
from ssl_host.train.state import TrainingState
from tests.conftest import as_ini, tiny
from tests.processes import Command, has_rows, wait_until

PLUGIN = """
import random
import numpy as np
import torch
from ssl_host import Evaluation, Evaluator, Figure, hookimpl

ssl_host_api = 1

class Constant(Evaluator):
    "A number that never improves, and many random numbers. No paper."
    figures = {"value": Figure("a number", higher_is_better=False), "N.value": Figure("missing")}
    needs_labels = needs_test = False

    def evaluate(self, bank):
        random.random(), np.random.rand(7), torch.rand(7)
        return Evaluation({"value": 0.5})

@hookimpl
def register_evaluators(register):
    register("constant", "ssl_plugin_constant:Constant")
"""
WATCHED = {
    "evaluate": {"every_epochs": 1, "evaluators": ["knn", "rankme"]},
    "checkpoint": {"best": "knn.top1"},
    "evaluator.knn": {"name": "knn", "k": 5},
}


def sections(folder, name, **more):
    config = tiny(**more)
    config["run"] |= {"name": name, "dir": folder}
    return config


def run(config, stop_after=None, console=None):
    catalog = Catalog()
    resolved = resolve_sections(config, catalog)
    if stop_after is None:
        return run_config(resolved, catalog, console)
    with stopped_after(stop_after):
        return run_config(resolved, catalog)


def rows(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def curve(folder, column):
    return [row[column] for row in rows(folder) if row.get(column)]


def assert_equal_runs(first, second):
    for name in ("backbone.safetensors", "best/backbone.safetensors"):
        expected, found = load_file(first / name), load_file(second / name)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
    assert (first / "metrics.csv").read_text() == (second / "metrics.csv").read_text()
    results = [json.loads((folder / "results.json").read_text()) for folder in (first, second)]
    for key in ("best", "epochs", "steps"):
        assert results[0][key] == results[1][key]


def test_evaluation_changes_nothing_but_adds_its_curve(install, tmp_path):
    """The evaluator draws random numbers from all generators."""
    install("ssl-plugin-constant", PLUGIN)
    plain = run(sections(tmp_path, "plain")).folder
    watched = {"every_epochs": 1, "evaluators": ["constant", "knn"]}
    more = {"evaluate": watched, "evaluator.constant": {}, "evaluator.knn": {}}
    console = Console(record=True, width=120)
    watched = run(sections(tmp_path, "watched", **more), console=console).folder
    expected, found = (load_file(f / "backbone.safetensors") for f in (plain, watched))
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    steps = [{k: v for k, v in row.items() if k in rows(plain)[0]} for row in rows(watched)]
    assert [row for row in steps if row["loss"]] == rows(plain)
    assert curve(watched, "constant.value") == ["0.5", "0.5"]
    accuracies = curve(watched, "knn.top1")
    assert len(accuracies) == 2
    assert f"epoch 2/2  constant.value 0.5  knn.top1 {100 * float(accuracies[1]):.2f} %" in (
        console.export_text()
    )
    page = (watched / "report.html").read_text("utf-8")
    assert "knn.top1 on held-out training images" in page


def test_test_images_are_not_used_and_parts_are_disjoint(tmp_path):
    config = resolve_sections(sections(tmp_path, "x", **WATCHED), Catalog())
    experiment = compose(config)
    images = open_datasets(experiment.source, experiment.views, config.loader)
    encoder = experiment.method.backbone
    with_test = make_periodic_evaluation(experiment, images, tmp_path).evaluate(encoder)
    without = make_periodic_evaluation(experiment, replace(images, test=None), tmp_path)
    assert dict(without.evaluate(encoder)) == dict(with_test)
    train, held_out = split_training_images(images.probe, 0.25, max_images=40)
    assert len(train) + len(held_out) == 40
    assert not set(train.indices.tolist()) & set(held_out.indices.tolist())
    counts = held_out.labels.bincount()
    assert counts.max() - counts.min() <= 1  # a quarter of each class
    row = held_out.images[:1]
    assert torch.equal(row, images.probe.images[held_out.indices[:1]])
    unlabelled = replace(images.probe, labels=None)
    assert len(split_training_images(unlabelled, 0.25, max_images=48)[1]) == 12


@pytest.mark.parametrize("stop_after", [2, 3, 7])
def test_resumed_run_equals_an_uninterrupted_one(stop_after, tmp_path):
    """With three steps per epoch, stop in the first, at its end, and in the third."""
    more = {**WATCHED, "run": {"epochs": 4, "stop_early": "rankme", "patience": 9}}
    whole = run(sections(tmp_path, "whole", **more)).folder
    run(sections(tmp_path, "stopped", **more), stop_after)
    assert_equal_runs(whole, run(sections(tmp_path, "stopped", **more)).folder)


def test_killed_run_equals_an_uninterrupted_one(tmp_path):
    more = {**WATCHED, "run": {"epochs": 12}, "checkpoint": {"every_epochs": 3, "best": "rankme"}}
    whole = run(sections(tmp_path / "runs", "whole", **more)).folder
    (tmp_path / "c.ini").write_text(as_ini(sections("runs", "killed", **more)), encoding="utf-8")
    process = Command("run", "c.ini", cwd=tmp_path)
    table = tmp_path / "runs" / "killed" / "metrics.csv"
    wait_until(lambda: has_rows(table, 16), process=process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = run(sections(tmp_path / "runs", "killed", **more))
    assert not killed.was_finished
    assert_equal_runs(whole, killed.folder)


def test_training_ends_early_and_the_best_backbone_is_kept(install, tmp_path, capsys):
    """The number never improves after the first evaluation, so training ends after two more."""
    install("ssl-plugin-constant", PLUGIN)
    more = {
        "run": {"epochs": 20, "stop_early": "constant.value", "patience": 2},
        "checkpoint": {"best": "constant.value"},
        "evaluate": {"every_epochs": 2, "evaluators": ["constant"]},
        "evaluator.constant": {},
    }
    outcome = run(sections(tmp_path, "early", **more), console=Console(width=200))
    assert "stopped: constant.value is best in epoch 2, 0.5" in capsys.readouterr().out
    # Three steps an epoch; an epoch's last step belongs to it in every row.
    assert all(int(r["epoch"]) == -(-int(r["step"]) // 3) for r in rows(outcome.folder))
    results = outcome.results
    assert (results["epochs"], results["steps"]) == (6, 18)
    assert results["best"] == {"metric": "constant.value", "value": 0.5, "epoch": 2, "step": 6}
    (note,) = (note for note in results["notes"] if "ended after epoch 6 of 20" in note)
    assert note not in outcome.printed  # so it is printed after the metrics
    assert results["stopped_early"] == "constant.value"
    assert not any("--more-epochs" in text for text in results["advice"])
    best = ssl_host.load_backbone(outcome.folder / "best").state_dict()
    last = ssl_host.load_backbone(outcome.folder).state_dict()
    assert any(not torch.equal(best[key], last[key]) for key in best)
    assert run(sections(tmp_path, "early", **more)).was_finished
    later = {"run": {"epochs": 9, "continue_from": outcome.folder}}
    continued = run(sections(tmp_path, "later", **later)).results
    assert (continued["steps"], continued["stopped_early"]) == (27, None)


def test_metric_that_was_not_measured_is_an_error(install, tmp_path):
    install("ssl-plugin-constant", PLUGIN)
    more = {"evaluate": {"every_epochs": 1, "evaluators": ["constant"]}, "evaluator.constant": {}}
    config = sections(tmp_path, "x", **more, checkpoint={"best": "constant.7.value"})
    with pytest.raises(RunError, match=r"did not measure constant\.7\.value"):
        run(config)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("[evaluate]\nevery_epochs = 1\nevaluators = knn, rankm", "did you mean 'rankme'"),
        ("[evaluate]\nevery_epochs = 1\nevaluators = x", "has its own data"),
        ("[evaluate]\nevaluators = [rankme]\n[checkpoint]\nbest = rankme", "every_epochs"),
        (
            "[evaluate]\nevery_epochs = 1\nevaluators = [rankme]\n[checkpoint]\nbest = knn.top1",
            "not a metric of .* measure rankme$",
        ),
        (
            "[evaluate]\nevery_epochs = 1\nevaluators = probe\n[checkpoint]\nbest = rankme",
            r"add rankme, which measures it, to \[evaluate\] evaluators",
        ),
        (
            "[evaluate]\nevery_epochs = 1\nevaluators = probe, zero",
            "evaluators = probe, zero: .*evaluator.zero.* add it, or name one of .*rankme",
        ),
        (
            "[evaluate]\nevery_epochs = 1\nevaluators = probe\n[checkpoint]\nbest = prob.top1",
            "measure probe.top1.*; did you mean 'probe.top1'",
        ),
        (
            "[evaluate]\nevery_epochs = 1\nevaluators = probe\n"
            "[checkpoint]\nbest = probe.learning_rate",
            "neither high nor low",
        ),
    ],
)
def test_wrong_name_is_reported_with_its_line(lines, expected, tmp_path):
    more = {"evaluator.x": {"name": "knn", "data": "x"}, "data.x": {"name": "synthetic"}}
    more["evaluator.probe"] = {"name": "linear"}
    text = as_ini(sections(tmp_path, "x", **more))
    file = tmp_path / "c.ini"
    file.write_text(f"{text}\n{lines}", encoding="utf-8")
    catalog = Catalog()
    with pytest.raises(ConfigError, match=expected) as caught:
        run_config(resolve_file(file, (), catalog), catalog)
    last = len(text.splitlines()) + 1 + len(lines.splitlines())
    assert caught.value.problems[0].where == f"{file}:{last}"


def test_metric_that_needs_labels_is_refused_without_them(tmp_path):
    config = resolve_sections(sections(tmp_path, "x", **WATCHED), Catalog())
    experiment = compose(config)
    images = open_datasets(experiment.source, experiment.views, config.loader)
    images = replace(images, probe=replace(images.probe, labels=None))
    with pytest.raises(UserError, match=r"\[checkpoint\] best = knn.top1 .* no labels"):
        make_periodic_evaluation(experiment, images, tmp_path)


def test_evaluator_that_runs_during_training_may_not_change(tmp_path):
    """But one that measures only at the end may, until it has measured."""
    run(sections(tmp_path, "x", **WATCHED), stop_after=4)
    other = {**WATCHED, "evaluator.knn": {"name": "knn", "k": 7}, "evaluator.more": {"name": "knn"}}
    with pytest.raises(RunFolderError, match=r"\[evaluator.knn\] k: was 5, is 7") as caught:
        run(sections(tmp_path, "x", **other))
    assert "evaluator.more" not in str(caught.value)


def test_value_is_best_if_it_is_above_or_below_all_earlier_ones():
    """An equal value is not, and NaN never is."""
    state = TrainingState(None, 9, 1)
    values = (math.nan, 2.0, math.nan, 2.0, 1.0, 3.0)
    figures = {
        "up": (Figure(""), [0, 1, 0, 0, 0, 1]),
        "down": (Figure("", higher_is_better=False), [0, 1, 0, 0, 1, 0]),
        "near 2": (Figure("", higher_is_better=None, best_value=2.1), [0, 1, 0, 0, 0, 0]),
    }
    for name, (figure, expected) in figures.items():
        assert [state.watch(name, v, figure) for v in values] == expected
    assert state.watched["down"].evaluations_since == 1


@pytest.mark.slow
def test_two_processes_equal_one(ssl_host, tmp_path):
    more = {**WATCHED, "run": {"epochs": 4, "stop_early": "knn.top1", "patience": 1}}
    for devices in (1, 2):
        trainer = {"accelerator": "cpu", "devices": devices, "precision": "64-true"}
        config = sections("runs", f"on-{devices}", **more, trainer=trainer)
        (tmp_path / f"{devices}.ini").write_text(as_ini(config), encoding="utf-8")
    assert ssl_host("run", "1.ini").returncode == 0
    status, stderr = Command("run", "2.ini", cwd=tmp_path).finish()
    assert status == 0, stderr
    one, two = (tmp_path / "runs" / f"on-{devices}" for devices in (1, 2))
    assert curve(one, "knn.top1") == curve(two, "knn.top1")
    results = [json.loads((folder / "results.json").read_text()) for folder in (one, two)]
    assert results[0]["best"] == results[1]["best"]
    assert results[0]["steps"] == results[1]["steps"]
