"""Baselines of a run: the default ones, networks with weights, those of plugins, and errors."""

import json

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.errors import ConfigError, SslHostError, UserError
from ssl_host.pipeline.finished_runs import compare_runs, evaluate_run
from ssl_host.pipeline.run import run_config
from ssl_host.report.summary import summarize
from ssl_host.toolkit.console import make_console
from tests.conftest import as_ini, tiny

PLUGIN = """
from ssl_host import Baseline, hookimpl

ssl_host_api = 1

class FirstPixel(Baseline):
    "The first pixel of the image."
    label = "first pixel"

    def make_extractor(self, inputs):
        return lambda images: images[:, :, 0, 0].float()RESULT

@hookimpl
def register_baselines(register):
    register("first_pixel", "ssl_plugin_first:FirstPixel")
"""


def with_knn(folder, **sections):
    config = tiny(**sections)
    config["run"]["dir"] = folder
    config["evaluator.knn"] = {"name": "knn"}
    return config


def run(config):
    catalog = Catalog()
    return run_config(resolve_sections(config, catalog), catalog)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """Train a run on the images of the other runs, whose backbone is a baseline for them."""
    return run(with_knn(tmp_path_factory.mktemp("runs"), run={"name": "earlier"}))


def test_run_without_baseline_sections_has_the_three_default_baselines(earlier):
    assert {key: about["label"] for key, about in earlier.results["baselines"].items()} == {
        "random_init": "random network",
        "pixels": "raw pixels",
        "statistics": "simple statistics",
    }


def test_pretrained_networks_have_the_metrics_of_their_run_in_all_reports(earlier, tmp_path):
    """The backbone of a run is loaded in both ways, and gives the metrics of that run."""
    config = with_knn(tmp_path, run={"seed": 2, "epochs": 1}, **{
        "baseline.whole": {"name": "pretrained", "weights": earlier.folder},
        "baseline.section": {"name": "pretrained", "backbone": "other"},
        "baseline.large": {"name": "pretrained", "backbone": "other", "image_size": 32},
        "backbone.other": {
            "name": "small_conv",
            "width": 8,
            "num_stages": 3,
            "init_from": earlier.folder / "backbone.safetensors",
        },
        "baseline.pixels": {},
    })  # fmt: skip
    outcome = run(config)
    metrics, expected = outcome.results["metrics"], earlier.results["metrics"]
    assert metrics["whole.knn.top1"] == metrics["section.knn.top1"] == expected["knn.top1"]
    assert metrics["pixels.knn.top1"] == expected["pixels.knn.top1"]
    assert metrics["large.knn.top1"] != expected["knn.top1"]
    assert not any(name.startswith("random_init") for name in metrics)
    row = summarize(outcome.results).find("knn.top1")
    assert row.baselines.keys() == {"whole", "section", "large", "pixels"}
    assert row.learned == (row.value > max(row.baselines.values()))
    page = (outcome.folder / "report.html").read_text("utf-8")
    assert ">whole</th>" in page
    compare_runs([earlier.folder, outcome.folder], tmp_path / "page.html", Catalog())
    page = (tmp_path / "page.html").read_text("utf-8")
    for title in ("random network", "simple statistics", "whole", "section"):
        assert f">{title}<" in page
    assert page.count(">raw pixels<") == 1
    again = evaluate_run(outcome.folder, (), Catalog(), make_console(quiet=True))
    assert again.results["baselines"] == outcome.results["baselines"]
    assert again.results["metrics"]["section.knn.top1"] == metrics["section.knn.top1"]


def test_baseline_of_a_plugin_is_measured(install, tmp_path):
    install("ssl-plugin-first", PLUGIN.replace("RESULT", ""))
    outcome = run(with_knn(tmp_path, **{"baseline.first_pixel": {}}, run={"epochs": 1}))
    assert outcome.results["baselines"]["first_pixel"]["label"] == "first pixel"
    assert 0 <= outcome.results["metrics"]["first_pixel.knn.top1"] <= 1


@pytest.mark.parametrize(
    ("result", "expected"),
    [(".missing", "AttributeError"), (".sum(dim=1)", r"\(24,\) for 24 images")],
)
def test_fault_of_a_plugins_baseline_names_the_plugin(result, expected, install, tmp_path):
    install("ssl-plugin-first", PLUGIN.replace("RESULT", result))
    config = with_knn(tmp_path, **{"baseline.first_pixel": {}}, run={"epochs": 0})
    with pytest.raises(SslHostError, match=expected) as caught:
        run(config)
    assert "FirstPixel" in str(caught.value)
    assert "first_pixel" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("[baseline.x]\nname = pretrained\nbackbone = large", "no section [backbone.large]"),
        ("[baseline.x]\nname = pretrained", "needs a network"),
        ("[baseline.x]\nname = pretrained\nweights = a\nbackbone = b", "cannot be set together"),
        ("[backbone.x]\nname = small_conv", "backbone = x"),
        ("[baseline.knn]\nname = pixels", "choose another name"),
        ("[baseline.pixls]", "pixels"),
    ],
)
def test_wrong_baseline_is_reported_with_its_line(lines, expected, tmp_path):
    file = tmp_path / "c.ini"
    text = as_ini(with_knn(tmp_path))
    file.write_text(text + lines, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (), Catalog())
    first = len(text.splitlines()) + 1
    where = [problem.where for problem in caught.value.problems if expected in problem.message]
    assert where, str(caught.value)
    assert first <= int(where[0].rpartition(":")[2]) <= first + len(lines.splitlines())


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"baseline.x": {"weights": "nowhere"}}, "nowhere"),
        (
            {
                "baseline.x": {"backbone": "b"},
                "backbone.b": {"name": "small_conv", "init_from": "no"},
            },
            "no such file",
        ),
    ],
)
def test_missing_weights_are_reported_before_training(sections, expected, tmp_path):
    config = with_knn(tmp_path, **sections)
    config["baseline.x"]["name"] = "pretrained"
    file = tmp_path / "c.ini"
    file.write_text(as_ini(config), encoding="utf-8")
    catalog = Catalog()
    with pytest.raises(UserError, match=rf"c\.ini:\d+: (.|\n)*{expected}"):
        run_config(resolve_file(file, (), catalog), catalog)
    assert not list(tmp_path.glob("**/*.ckpt"))


def test_named_section_of_a_baseline_may_change_before_the_evaluation(earlier, tmp_path):
    """Only the evaluation uses it, as it does the sections of evaluators."""
    config = with_knn(tmp_path, **{
        "baseline.x": {"name": "pretrained", "backbone": "b"},
        "backbone.b": {"name": "small_conv", "init_from": earlier.folder, "num_stages": 3},
    })  # fmt: skip
    config["backbone.b"]["width"] = 8
    outcome = run(config)
    (outcome.folder / "results.json").unlink()
    del config["backbone.b"], config["baseline.x"]
    assert "x.knn.top1" not in run(config).results["metrics"]
    stored = json.loads((outcome.folder / "config.json").read_text("utf-8"))
    assert "backbone.b" not in stored
