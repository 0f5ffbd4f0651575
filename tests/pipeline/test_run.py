"""A whole run: its folder, its figures, going on, refusing, repeating."""

import csv
import json
import shutil

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.errors import RunFolderError
from ssl_host.pipeline.finished_runs import OTHER_IMAGES, evaluate_run
from ssl_host.pipeline.run import run_config
from ssl_host.run_folder.folder import RunFolder
from ssl_host.toolkit.console import make_console
from tests.conftest import tiny

LEFT_BEHIND = {
    "backbone.json",
    "backbone.safetensors",
    "checkpoints",
    "config.ini",
    "environment.json",
    "images.json",
    "metrics.csv",
    "report.html",
    "report.json",
    "results.json",
}


def go(catalog, tmp_path, fresh=False, **sections):
    sections["run"] = {"dir": tmp_path, **sections.get("run", {})}
    return run_config(
        resolve_sections(tiny(**sections), catalog), catalog, Console(quiet=True), fresh
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    catalog = Catalog()
    evaluators = {
        f"evaluator.{name}": {"name": name}
        for name in ("knn", "linear", "few_label", "alignment_uniformity")
    }
    evaluators["evaluator.linear"]["epochs"] = 3
    return go(catalog, tmp_path_factory.mktemp("runs"), **evaluators)


def test_the_folder_holds_what_the_design_says(finished):
    found = {path.name for path in finished.folder.iterdir() if not path.name.startswith(".")}
    assert found == LEFT_BEHIND | {"linear.safetensors"}


def test_every_accuracy_has_its_three_baselines(finished):
    metrics = finished.results["metrics"]
    for name in ("knn.top1", "linear.top1", "few_label.1.top1", "few_label.5.top1"):
        assert 0 <= metrics[name] <= 1
        for baseline in ("random_init", "pixels", "statistics"):
            assert 0 <= metrics[f"{baseline}.{name}"] <= 1
    assert 0 <= metrics["online.top1"] <= 1
    for name in ("rankme", "throughput.images_per_s", "throughput.data_wait_fraction"):
        assert metrics[name] >= 0
    assert metrics["peak_memory_mb"] > 10
    assert finished.results["seed"] == 1
    assert finished.results["wall_time_s"] > 0


def test_metrics_csv_has_a_row_a_step(finished):
    with (finished.folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(float(row["loss"]) > 0 and 0 <= float(row["online_top1"]) <= 1 for row in rows)


def test_the_trained_backbone_is_loaded_and_is_the_trained_one(finished):
    backbone = ssl_host.load_backbone(finished.folder)
    assert not backbone.training
    assert backbone.mean == (0.5, 0.5, 0.5)
    saved = load_file(finished.folder / "backbone.safetensors")
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, saved[name])
    assert backbone(torch.zeros(2, 3, 16, 16)).shape == (2, backbone.feature_dim)
    assert int(saved["layers.1.num_batches_tracked"]) == 12  # two views, six steps


def test_the_linear_classifier_is_saved_for_raw_features(finished):
    saved = load_file(finished.folder / "linear.safetensors")
    assert saved["weight"].shape == (4, 32)
    assert saved["bias"].shape == (4,)


def test_the_same_again_shows_the_results_and_computes_nothing(finished, catalog):
    config = resolve_file(finished.folder / "config.ini", (), catalog)
    before = (finished.folder / "results.json").stat().st_mtime_ns
    again = run_config(config, catalog)
    assert again.was_finished
    assert again.results == finished.results
    assert (finished.folder / "results.json").stat().st_mtime_ns == before


def test_a_changed_config_is_refused_with_the_changed_keys(finished, catalog):
    config = resolve_file(finished.folder / "config.ini", ("run.epochs=5",), catalog)
    with pytest.raises(RunFolderError) as caught:
        run_config(config, catalog)
    message = str(caught.value)
    assert "  [run] epochs: was 2, is 5" in message
    assert "--fresh" in message
    assert message.count("was") == 1


def test_the_resolved_config_in_another_place_gives_the_same_run(finished, catalog, tmp_path):
    copy = tmp_path / "copied.ini"
    shutil.copy(finished.folder / "config.ini", copy)
    config = resolve_file(copy, (f"run.dir={tmp_path}",), catalog)
    again = run_config(config, catalog)
    for name, value in finished.results["metrics"].items():
        if not name.startswith(("throughput", "peak")):
            assert again.results["metrics"][name] == value, name
    old = load_file(finished.folder / "backbone.safetensors")
    new = load_file(again.folder / "backbone.safetensors")
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_fresh_moves_the_old_run_aside(catalog, tmp_path):
    go(catalog, tmp_path)
    again = go(catalog, tmp_path, fresh=True, run={"epochs": 1})
    assert again.results["steps"] == 3
    assert json.loads((tmp_path / "tiny.old-1" / "results.json").read_text())["steps"] == 6


def test_fresh_takes_no_folder_from_a_process_that_is_in_it(catalog, tmp_path):
    """Seen to fail with the folder renamed first: two runs then wrote into one."""
    go(catalog, tmp_path)
    with RunFolder(tmp_path / "tiny"), pytest.raises(RunFolderError, match="in use by another"):
        go(catalog, tmp_path, fresh=True, run={"epochs": 1})
    assert json.loads((tmp_path / "tiny" / "results.json").read_text())["steps"] == 6


def on_photographs(catalog, tmp_path, fresh=False):
    """A run on 40 images in two classes; made where they are not there yet."""
    for name in ("a", "b"):
        if not (tmp_path / "images" / name).is_dir():
            (tmp_path / "images" / name).mkdir(parents=True)
            for i in range(20):
                Image.effect_noise((20, 20), 40 + i).save(
                    tmp_path / "images" / name / f"{i:02}.png"
                )
    sections = tiny(run={"dir": tmp_path}, loader={"cache_dir": tmp_path / "cache"})
    sections["data"] = {"name": "imagefolder", "root": tmp_path / "images", "image_size": 16}
    sections["evaluator.knn"] = {"name": "knn"}
    return run_config(resolve_sections(sections, catalog), catalog, Console(quiet=True), fresh)


@pytest.mark.parametrize("change", ["gone", "new", "renamed"])
def test_other_images_are_noticed_where_a_run_goes_on(change, catalog, tmp_path):
    """Seen to fail with the images as they are: those held out had been trained on."""
    results = on_photographs(catalog, tmp_path).folder / "results.json"
    results.unlink()
    on_photographs(catalog, tmp_path)  # the same images: it goes on
    results.unlink()
    image = tmp_path / "images/a/03.png"
    if change == "new":
        shutil.copy(image, image.with_name("99.png"))
    else:
        image.rename(image.with_name("x.png") if change == "renamed" else tmp_path / "03.png")
    told = "of other names" if change == "renamed" else "32 to train on and 8 held out; now there"
    with pytest.raises(RunFolderError, match=told):
        on_photographs(catalog, tmp_path)
    assert on_photographs(catalog, tmp_path, fresh=True).results["steps"] > 0


def test_measuring_again_on_other_images_is_noted(catalog, tmp_path):
    """Seen to fail without a word."""
    folder, quiet = on_photographs(catalog, tmp_path).folder, Console(quiet=True)
    assert OTHER_IMAGES not in evaluate_run(folder, (), catalog, quiet).results["notes"]
    (tmp_path / "images/a/03.png").unlink()
    assert OTHER_IMAGES in evaluate_run(folder, (), catalog, quiet).results["notes"]


def test_what_is_kept_may_be_changed_on_the_way(catalog, tmp_path):
    """Seen to fail as another configuration: a full disk could not be helped by keeping less."""
    went = go(catalog, tmp_path)
    (went.folder / "results.json").unlink()
    assert go(catalog, tmp_path, checkpoint={"keep": 1}).results["steps"] == 6


def test_evaluators_may_be_changed_until_they_have_measured(catalog, tmp_path):
    """Seen to fail as another configuration: an evaluator that failed shut out of the training."""
    went = go(catalog, tmp_path)
    (went.folder / "results.json").unlink()
    added = {"evaluator.knn": {"name": "knn"}}
    assert "knn.top1" in go(catalog, tmp_path, **added).results["metrics"]
    assert "[evaluator.knn]" in (went.folder / "config.ini").read_text(encoding="utf-8")
    with pytest.raises(RunFolderError, match="another configuration"):
        go(catalog, tmp_path, **{"evaluator.knn": {"name": "knn", "k": 3}})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_run_begun_on_a_gpu_is_not_gone_on_with_without_one(catalog, tmp_path):
    """Seen to fail with a traceback of pytorch-lightning."""
    went = go(catalog, tmp_path, trainer={"accelerator": "auto"})
    (went.folder / "results.json").unlink()
    file = went.folder / "config.ini"
    text = file.read_text(encoding="utf-8").replace("accelerator = cpu", "accelerator = cuda")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RunFolderError, match="= cuda, which is not available on this machine"):
        go(catalog, tmp_path, trainer={"accelerator": "auto"})


def test_without_labels_the_label_free_ones_run_and_the_rest_is_explained(catalog, tmp_path):
    """Seen to fail with every evaluator run: labels were demanded."""
    sections = {"data": {"labelled": "false"}, "evaluator.knn": {"name": "knn"}}
    results = go(catalog, tmp_path, **sections).results
    assert results["metrics"]["rankme"] > 0
    assert not any("top1" in name for name in results["metrics"])
    assert "knn was left out: the images have no labels" in results["notes"]
    page = (tmp_path / "tiny" / "report.html").read_text(encoding="utf-8")
    assert "knn was left out: the images have no labels" in page


def test_init_from_starts_from_another_runs_backbone(finished, catalog, tmp_path):
    run = {"init_from": str(finished.folder), "epochs": 0}
    results = go(catalog, tmp_path, run=run, **{"evaluator.knn": {"name": "knn"}}).results
    assert results["metrics"]["knn.top1"] == finished.results["metrics"]["knn.top1"]
    assert any("the backbone starts from" in note for note in results["notes"])


SLOW = """
import time
import torch
from pydantic import Field
from ssl_host import DataSource, ImageDataset, Settings, hookimpl

@hookimpl
def register_data(register):
    register("slow", "ssl_plugin_slow:Slow")

class Pictures(ImageDataset):
    remedy = {remedy!r}

    def __len__(self):
        return 64

    def read(self, i):
        time.sleep(0.01)
        return torch.full((3, 16, 16), i, dtype=torch.uint8)

class Slow(DataSource):
    class Config(Settings):
        image_size: int = Field(16, description="side")

    def open(self, split):
        return Pictures() if split == "train" else None
"""


@pytest.mark.parametrize("remedy", ["", "buy a faster tape"])
def test_it_is_said_at_once_that_images_hold_training_back(remedy, install, tmp_path, capsys):
    """With the source's own remedy where it has one. Seen to fail with a note in results.json
    alone, and with the host's remedy for every source."""
    install("ssl-plugin-slow", SLOW.format(remedy=remedy))
    sections = {
        **tiny(run={"dir": tmp_path, "epochs": 1, "batch_size": 16}),
        "data": {"name": "slow"},
        "loader": {"store": "files", "num_workers": 0},
    }
    catalog = Catalog()
    console = make_console(force_terminal=False, width=400)
    outcome = run_config(resolve_sections(sections, catalog), catalog, console)
    told = capsys.readouterr().out
    hint = next(line for line in told.splitlines() if line.startswith("hint: training waited for"))
    assert hint.endswith(remedy or "store = packed, or in more processes by [loader] num_workers")
    assert told.index(hint) < told.index("measuring: ")
    assert hint.removeprefix("hint: ") in outcome.results["notes"]


def test_ssl_host_run_in_python(tmp_path):
    results = ssl_host.run(tiny(run={"dir": tmp_path, "epochs": 1}), ["run.seed=4"], quiet=True)
    assert results["seed"] == 4
    assert (tmp_path / "tiny" / "report.html").exists()
