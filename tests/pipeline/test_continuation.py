"""A finished run that is continued equals a longer run with the same checkpoint, bit by bit."""

import csv
import hashlib
import json
import shutil
from contextlib import nullcontext

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.contracts.optimization import Schedule
from ssl_host.errors import CheckpointError, ConfigError, RunFolderError
from ssl_host.pipeline.dry_run import estimate_cost
from ssl_host.pipeline.run import run_config
from ssl_host.testing.interruption import stopped_after
from ssl_host.train.checkpoint import list_checkpoints, read_checkpoint, write_checkpoint
from tests.conftest import as_ini, tiny

METHODS = {
    "byol": {"head.predictor": {"hidden_dim": 16}},
    "mocov2": {"method": {"queue_size": 40}},
    "dino": {
        "augmentation": {"name": "symmetric_weak"},
        "method": {"warmup_teacher_epochs": 3, "warmup_teacher_temperature": 0.02},
        "head.projector": {"hidden_dim": 32, "output_dim": 16},
    },
}


def sections(tmp_path, method="simclr", **run):
    config = tiny(run={"name": "short", "dir": tmp_path, **run})
    config["method"] = {"name": method}
    for section, values in METHODS.get(method, {}).items():
        config[section] = {**config.get(section, {}), **values}
    return config


def go(config, stop_after=None, options=()):
    catalog = Catalog()
    with nullcontext() if stop_after is None else stopped_after(stop_after):
        return run_config(resolve_sections(config, catalog, options), catalog, Console(quiet=True))


def digests(folder):
    """Return the digest of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def weights(folder):
    return load_file(folder / "backbone.safetensors")


def assert_same_end(first, second):
    """Check that two runs have equal weights, rows of metrics and figures."""
    expected, actual = weights(first.folder), weights(second.folder)
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert rows(first.folder) == rows(second.folder)
    for name in ("online.top1", "rankme"):
        assert first.results["metrics"][name] == second.results["metrics"][name]


def longer_run_by_hand(tmp_path, method, epochs):
    """Plan a run for more epochs and start it from the last checkpoint of the finished run.

    The schedules in the checkpoint get the values that they have in the longer run.
    """
    config = sections(tmp_path, method, name="by-hand", epochs=epochs)
    state = read_checkpoint(list_checkpoints(tmp_path / "short" / "checkpoints")[-1])
    catalog = Catalog()
    experiment = compose(resolve_sections(config, catalog), num_images=48)
    for name, module in experiment.method.named_modules():
        if isinstance(module, Schedule):
            module.set_step(state["step"], 3 * epochs)
            state["method"][f"{name}.value"] = module.value.clone()
    write_checkpoint(tmp_path / "by-hand" / "checkpoints", state["step"], state, keep=2)
    return go(config)


@pytest.mark.parametrize("method", METHODS)
def test_continued_run_equals_a_longer_run_from_the_same_checkpoint(method, tmp_path):
    config = sections(tmp_path, method)
    short = go(config)
    before = digests(short.folder)
    results = ssl_host.run(config, more_epochs=2, quiet=True)
    assert digests(short.folder) == before
    folder = tmp_path / "short-4epochs"
    by_hand = longer_run_by_hand(tmp_path, method, epochs=4)
    expected, actual = weights(by_hand.folder), weights(folder)
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert not all(torch.equal(expected[k], v) for k, v in weights(short.folder).items())
    assert rows(folder) == rows(by_hand.folder)
    assert [int(row["step"]) for row in rows(folder)] == [7, 8, 9, 10, 11, 12]
    for name in ("online.top1", "rankme"):
        assert results["metrics"][name] == by_hand.results["metrics"][name]


@pytest.mark.parametrize("stop_after", [2, 4])
def test_killed_continued_run_resumes_bit_equal(stop_after, tmp_path):
    config = sections(tmp_path, "byol")
    short = go(config)
    longer = {"continue_from": short.folder, "epochs": 4}
    whole = go(sections(tmp_path, "byol", **longer, name="whole"))
    stopped = sections(tmp_path, "byol", **longer, name="stopped")
    go(stopped, stop_after)
    if stop_after > 3:  # the continued run has a checkpoint of its own
        shutil.rmtree(short.folder)
    resumed = go(stopped)
    assert_same_end(whole, resumed)
    assert resumed.results["continues"] == whole.results["continues"]


def test_same_command_shows_the_finished_run_and_its_config_gives_the_same_run(ssl_host, tmp_path):
    (tmp_path / "c.ini").write_text(as_ini(tiny(run={"name": "short"})), encoding="utf-8")
    assert ssl_host("run", "c.ini").returncode == 0
    first = ssl_host("run", "c.ini", "--more-epochs", "1")
    assert first.returncode == 0, first.stderr
    assert "continues" in first.stderr
    assert "after 2 of 3 epochs" in first.stderr
    again = ssl_host("run", "c.ini", "--more-epochs", "1")
    assert "short-3epochs is finished" in again.stdout
    folder = tmp_path / "runs" / "short-3epochs"
    copy = ssl_host("run", folder / "config.ini", "-o", "run.name=copy")
    assert copy.returncode == 0, copy.stderr
    expected, actual = weights(folder), weights(tmp_path / "runs" / "copy")
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    named = ssl_host("run", "c.ini", "--more-epochs", "1", "-o", "run.name=mine", "--json")
    assert json.loads(named.stdout)["name"] == "mine"
    further = ssl_host("run", folder / "config.ini", "--more-epochs", "2", "--json")
    assert json.loads(further.stdout)["name"] == "short-5epochs"
    assert json.loads(further.stdout)["continues"]["epochs"] == 3


def test_results_say_what_is_continued_and_count_only_the_added_time(tmp_path):
    config = sections(tmp_path)
    short = go(config)
    file = list_checkpoints(short.folder / "checkpoints")[-1]
    state = read_checkpoint(file)
    slow = {"trained_s": 1000.0, "waited_s": 900.0}
    write_checkpoint(file.parent, state["step"], {**state, "timer": slow}, keep=2)
    results = ssl_host.run(config, more_epochs=1, quiet=True)
    assert short.results["continues"] is None
    assert results["continues"] == {"run": str(short.folder), "epochs": 2, "steps": 6}
    assert (results["epochs"], results["steps"]) == (3, 9)
    assert results["wall_time_s"] < 900
    rates = [float(row["learning_rate"]) for row in rows(tmp_path / "short-3epochs")]
    schedule = ssl_host.build("scheduler", "warmup_cosine")
    assert rates == pytest.approx([0.05 * schedule.factor(s, 9, 3) for s in range(6, 9)])
    (note,) = (note for note in results["notes"] if note.startswith("continues"))
    assert f"continues the run in {short.folder} after 2 of 3 epochs" in note
    assert "wall time" in note
    page = (tmp_path / "short-3epochs" / "report.html").read_text(encoding="utf-8")
    assert "after 2 of 3 epochs" in page
    folder = tmp_path / "short-3epochs" / "checkpoints"
    trained = read_checkpoint(list_checkpoints(folder)[-1])["timer"]["trained_s"]
    # The old run's thousand seconds would give 0.05 images/s; the last checkpoint is a little older
    # than the figure.
    assert results["metrics"]["throughput.images_per_s"] > 0.1 * 3 * 16 / trained


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    go(sections(folder))
    return folder


def test_dry_run_of_a_continued_run_estimates_the_added_epochs(short):
    catalog = Catalog()
    run = {"name": "longer", "epochs": 4, "continue_from": short / "short"}
    config = resolve_sections(sections(short, **run), catalog)
    estimate = estimate_cost(config, catalog, alternatives=False)
    assert estimate.total_steps == 6
    assert "after 2 of 4 epochs" in estimate.starts_from


def continue_by_hand(tmp_path, config=None, **run):
    run = {"name": "longer", "epochs": 4, "continue_from": tmp_path / "short", **run}
    config = sections(tmp_path) if config is None else config
    return go({**config, "run": {**config["run"], **run}})


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("run", "batch_size", 8, "[run] batch_size: was 16, is 8"),
        ("run", "seed", 5, "[run] seed: was 1, is 5"),
        ("backbone", "width", 16, "[backbone] width: was 8, is 16"),
        ("head.projector", "output_dim", 8, "[head.projector] output_dim: was 16, is 8"),
        ("data", "num_images", 64, "[data] num_images: was 48, is 64"),
    ],
)
def test_continuation_with_a_changed_setting_is_refused(section, key, value, expected, short):
    config = sections(short)
    config[section] = {**config[section], key: value}
    with pytest.raises(RunFolderError, match="init_from") as caught:
        continue_by_hand(short, config)
    assert expected in str(caught.value)
    assert str(caught.value).count("was ") == 1
    assert not (short / "longer").exists()


def test_continuation_with_another_method_names_it(short):
    config = sections(short, "byol")
    with pytest.raises(RunFolderError, match=r"\[method\] name: was simclr, is byol"):
        continue_by_hand(short, config)


def test_schedule_evaluators_and_rate_may_change_in_a_continued_run(short):
    config = sections(short)
    config["scheduler"] = {"name": "constant"}
    config["optimizer"]["lr"] = 0.01
    config["evaluator.knn"] = {"name": "knn"}
    outcome = continue_by_hand(short, config, name="changed")
    assert {float(row["learning_rate"]) for row in rows(outcome.folder)} == {0.01}
    assert "knn.top1" in outcome.results["metrics"]
    (note,) = (note for note in outcome.results["notes"] if "with other settings" in note)
    assert "[optimizer] lr: was 0.05, is 0.01" in note


@pytest.mark.parametrize("epochs", [1, 2])
def test_continuation_without_more_epochs_is_refused(epochs, short):
    with pytest.raises(RunFolderError, match=f"epochs = {epochs}.* more than 2") as caught:
        continue_by_hand(short, epochs=epochs)
    assert "[run] continue_from" in str(caught.value)


def test_continuation_of_a_run_that_is_missing_or_unfinished_is_refused(tmp_path):
    config = sections(tmp_path)
    with pytest.raises(RunFolderError, match="no such folder"):
        ssl_host.run(config, more_epochs=1, quiet=True)
    go(config, stop_after=4)
    with pytest.raises(RunFolderError, match=r"not contain a finished run; finish .*ssl-host run"):
        ssl_host.run(config, more_epochs=1, quiet=True)
    with pytest.raises(RunFolderError, match="not contain a finished run"):
        continue_by_hand(tmp_path)


def test_continuation_without_the_last_checkpoint_says_what_to_do(tmp_path):
    go(sections(tmp_path))
    last = list_checkpoints(tmp_path / "short" / "checkpoints")[-1]
    payload = last.read_bytes()
    last.write_bytes(payload[:-1])
    with pytest.raises(CheckpointError, match=f"{last.name} is damaged.*init_from"):
        continue_by_hand(tmp_path)
    last.unlink()
    with pytest.raises(CheckpointError, match=f"{last.name} is missing.*init_from"):
        continue_by_hand(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["short"]


def test_continue_from_with_init_from_is_refused(short):
    with pytest.raises(ConfigError, match=r"continue_from.*init_from.*one of them"):
        continue_by_hand(short, init_from=short / "short")
    with pytest.raises(ConfigError, match=r"init_from.*more epochs"):
        ssl_host.run(sections(short), [f"run.init_from={short}"], more_epochs=1, quiet=True)
    with pytest.raises(ConfigError, match=r"-o run.epochs=4: epochs.*more epochs"):
        ssl_host.run(sections(short), ["run.epochs=4"], more_epochs=1, quiet=True)


def test_run_that_started_from_weights_is_continued_without_them(short, tmp_path):
    config = sections(tmp_path, init_from=short / "short", epochs=1)
    go(config)
    results = ssl_host.run(config, more_epochs=1, quiet=True)
    assert results["steps"] == 6
    assert "init_from = none" in (tmp_path / "short-2epochs" / "config.ini").read_text("utf-8")


def test_number_of_epochs_below_one_is_refused(short):
    with pytest.raises(ssl_host.UserError, match="more_epochs = 0"):
        ssl_host.run(sections(short), more_epochs=0, quiet=True)


FROZEN = """
from ssl_host import Method, ParamGroup, StepOutput, hookimpl

class Odd(Method):
    heads = {"projector": "backbone"}

    def step(self, batch):
        h = self.backbone(batch.views[0])
        return StepOutput((self.projector(h) - 1).square().mean(), features=h)

    def param_groups(self):
        yield ParamGroup("backbone", list(self.trainable_parameters("backbone")))
        frozen = 1 / max(1, self.plan.epochs)  # the first epoch
        yield ParamGroup("head", list(self.trainable_parameters("projector")), frozen_until=frozen)

@hookimpl
def register_methods(register):
    register("odd", "ssl_plugin_odd:Odd")
"""


def test_fractions_of_the_run_are_those_of_the_longer_run(install, tmp_path):
    """A group that is frozen for one epoch is not frozen again in a run of six."""
    install("ssl-plugin-odd", FROZEN)
    config = tiny(run={"dir": tmp_path, "name": "short"}, method={"name": "odd"})
    go(config)
    ssl_host.run(config, more_epochs=4, quiet=True)
    folders = [tmp_path / name / "checkpoints" for name in ("short", "short-6epochs")]
    states = [read_checkpoint(list_checkpoints(folder)[-1]) for folder in folders]
    assert [group["frozen_until"] for group in states[1]["optimizer"]["param_groups"]][-1] < 0.2
    first = read_checkpoint(list_checkpoints(folders[1])[0])
    head = [name for name in first["method"] if name.startswith("projector")]
    assert not all(torch.equal(states[0]["method"][k], first["method"][k]) for k in head)
