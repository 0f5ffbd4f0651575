"""Advice at the end of a run in which no metric beats its baselines."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from ssl_host import Figure
from ssl_host.pipeline.advice import advise
from tests.conftest import as_ini, tiny

TOP1 = asdict(Figure("accuracy", unit="%", baseline=True))
BASELINES = {
    "random_init": {"label": "random network", "best_advice": ""},
    "pixels": {"label": "raw pixels", "best_advice": ""},
    "statistics": {"label": "simple statistics", "best_advice": "look at the labels"},
}
FILE = Path("runs/my run/config.ini")
RATE = "Another learning rate than 0.1"
FLAT = [1.0, 1.1] * 20
FALLING = [2 - 0.02 * i for i in range(40)]


def results(value=0.3, statistics=0.35, steps=5000, **more):
    """Return the results of a run with 4 classes and one accuracy with baselines."""
    metrics = {
        "knn.top1": value,
        "random_init.knn.top1": 0.35,
        "pixels.knn.top1": 0.4,
        "statistics.knn.top1": statistics,
        "rankme": more.pop("rankme", 40.0),
    }
    return {
        "metrics": metrics,
        "figures": {"knn.top1": TOP1},
        "baselines": BASELINES,
        "classes": list("abcd"),
        "steps": steps,
        "epochs": 30,
        **more,
    }


def curves(loss=FLAT, top1=FLAT, **columns):
    """Return the columns of metrics.csv as points, with one row for every ten steps."""
    values = {"loss": loss, "online_top1": top1, **columns}
    return {name: [(10.0 * i, v) for i, v in enumerate(column)] for name, column in values.items()}


def test_run_that_beats_a_baseline_has_no_advice():
    assert advise(results(value=0.5, steps=3), curves(FALLING), 1.0, FILE, RATE) == []


def test_run_without_baselines_has_advice_only_if_it_does_not_depend_on_them():
    unlabelled = {**results(), "metrics": {"rankme": 1.0}}
    texts = " ".join(advise(unlabelled, curves(), 1.0, FILE, RATE))
    assert "have collapsed" in texts
    assert "In 100 % of the views" in texts
    assert (
        advise({**unlabelled, "metrics": {"rankme": 50.0}}, curves(loss=FALLING), 0.0, FILE, RATE)
        == []
    )


def test_few_rows_say_nothing_about_the_curves():
    few = {name: points[:5] for name, points in curves().items()}
    assert advise(results(), few, 0.0, FILE, RATE) == []


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"loss": FALLING}, "the loss still improved"),
        ({"top1": [-v for v in FALLING]}, "the online accuracy still improved"),
        ({"loss": FALLING, "top1": [-v for v in FALLING]}, "the loss and the online accuracy"),
    ],
)
def test_curves_that_still_improve_suggest_more_epochs_with_the_command(more, reason):
    first = advise(results(), curves(**more), 0.0, FILE, RATE)[0]
    assert reason in first
    assert "ssl-host run 'runs/my run/config.ini' --more-epochs 30" in first


def test_few_steps_suggest_more_epochs():
    (advice,) = advise(results(steps=60), curves(), 0.0, FILE, RATE)
    assert "60 steps are few" in advice


def test_early_stop_suggests_other_settings_of_the_stop_and_not_more_epochs():
    (advice,) = advise(results(steps=60, stopped_early="knn.top1"), curves(), 0.0, FILE, RATE)
    for text in ("60 steps are few", "knn.top1", "patience", "--fresh"):
        assert text in advice
    assert "--more-epochs" not in advice


def test_loss_at_chance_suggests_another_rate_after_more_steps():
    level = {"chance_loss": [1.0] * 40}
    (only,) = advise(results(), curves(**level), 0.0, FILE, RATE)
    assert "chance (1.000)" in only
    assert "worse" not in only
    assert RATE in only
    (worse,) = advise(results(), curves(chance_loss=[0.5] * 40), 0.0, FILE, RATE)
    assert "worse than chance (0.500)" in worse
    both = advise(results(), curves(FALLING, chance_loss=[1.2] * 40), 0.0, FILE, RATE)
    assert ["--more-epochs" in text for text in both] == [True, False]
    away = advise(results(), curves(chance_loss=[5.0] * 40), 0.0, FILE, RATE)
    assert not any("chance" in text for text in away)


@pytest.mark.parametrize(
    ("spread", "rank", "expected"), [(0.01, 40.0, "spread ended at 0.010"), (0.6, 1.2, "rank is 1")]
)
def test_collapse_suggests_remedies_and_not_more_epochs(spread, rank, expected):
    evidence = curves(FALLING, feature_std=[0.6] * 36 + [spread] * 4, chance_loss=[0.1] * 40)
    (advice,) = advise(results(rankme=rank), evidence, 0.0, FILE, RATE)
    assert expected in advice
    assert "ema_decay" in advice


def test_destroyed_views_suggest_a_weaker_augmentation_and_not_more_epochs():
    (advice,) = advise(results(), curves(FALLING), 0.8, FILE, RATE)
    assert "80 % of the views" in advice
    assert "[augmentation]" in advice


@pytest.mark.parametrize(("statistics", "is_advised"), [(0.9, True), (0.395, False)])
def test_statistics_as_good_as_everything_suggest_a_check_of_the_labels(statistics, is_advised):
    """But not if everything is near chance, 0.25."""
    advice = advise(results(statistics=statistics), curves(), 0.0, FILE, RATE)
    assert any("Simple statistics" in text for text in advice) == is_advised
    assert len(advice) == 1  # otherwise, that the curves have stopped improving


def test_no_evidence_says_that_more_epochs_alone_do_not_help():
    (advice,) = advise(results(), curves(), 0.0, FILE, RATE)
    assert "more epochs alone will not help" in advice
    assert advise(results(steps=0), {}, 0.0, FILE, RATE) == []


def test_short_run_prints_and_stores_advice(ssl_host, tmp_path):
    sections = tiny(**{"evaluator.knn": {"name": "knn"}}, optimizer={"lr": 1e-6})
    (tmp_path / "c.ini").write_text(as_ini(sections), encoding="utf-8")
    done = ssl_host("run", "c.ini")
    assert done.returncode == 0, done.stderr
    assert "nothing shows that the network learned" in " ".join(done.stdout.split())
    stored = json.loads((tmp_path / "runs/tiny/results.json").read_text("utf-8"))["advice"]
    assert "6 steps are few" in stored[0]
    command = "ssl-host run runs/tiny/config.ini --more-epochs 498"  # to 1,500 steps
    assert command in stored[0]
    assert "advice: Train for longer" in done.stdout
    assert command in (tmp_path / "runs/tiny/report.html").read_text("utf-8")
    again = ssl_host("evaluate", "runs/tiny", "--json")
    assert json.loads(again.stdout)["advice"] == stored
    more = ssl_host(*command.replace("498", "2").split()[1:], "--json")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["epochs"] == 4


BETTER = """
from ssl_host import Evaluation, Evaluator, Figure, hookimpl

class Better(Evaluator):
    figures = {"": Figure("better than the baselines", unit="%", baseline=True)}
    value = 0.9

    def evaluate(self, bank):
        Better.value, value = 0.5, Better.value  # the trained network comes first
        return Evaluation({"": value})

@hookimpl
def register_evaluators(register):
    register("better", "ssl_plugin_better:Better")
"""


def test_run_with_a_metric_above_its_baselines_prints_no_advice(ssl_host, install, tmp_path):
    install("ssl-plugin-better", BETTER)
    sections = tiny(**{"evaluator.better": {"name": "better"}})
    (tmp_path / "c.ini").write_text(as_ini(sections), encoding="utf-8")
    done = ssl_host("run", "c.ini")
    assert done.returncode == 0, done.stderr
    assert "Every metric beats its baselines" in done.stdout
    assert "advice:" not in done.stdout
    assert json.loads((tmp_path / "runs/tiny/results.json").read_text("utf-8"))["advice"] == []
    assert "most likely first" not in (tmp_path / "runs/tiny/report.html").read_text("utf-8")
