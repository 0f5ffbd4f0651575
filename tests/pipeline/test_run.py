"""A whole run: its folder, its metrics, resuming, refusing and repeating."""

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
from ssl_host.errors import RunFolderError, UserError
from ssl_host.pipeline.finished_runs import OTHER_DATA, OTHER_IMAGES_NOTE, evaluate_run
from ssl_host.pipeline.run import run_config
from ssl_host.run_folder.folder import RunFolder
from ssl_host.toolkit.console import make_console
from tests.conftest import as_ini, tiny

FILES_OF_A_RUN = {
    "backbone.json",
    "backbone.safetensors",
    "checkpoints",
    "config.ini",
    "config.json",
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


def test_run_folder_contains_documented_files(finished):
    files = {path.name for path in finished.folder.iterdir() if not path.name.startswith(".")}
    assert files == FILES_OF_A_RUN | {"linear.safetensors"}


def test_every_accuracy_has_three_baselines(finished):
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


def test_metrics_csv_has_one_row_per_step(finished):
    with (finished.folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(float(row["loss"]) > 0 and 0 <= float(row["online_top1"]) <= 1 for row in rows)


def test_load_backbone_returns_the_trained_weights(finished):
    backbone = ssl_host.load_backbone(finished.folder)
    assert not backbone.training
    assert backbone.mean == (0.5, 0.5, 0.5)
    saved = load_file(finished.folder / "backbone.safetensors")
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, saved[name])
    assert backbone(torch.zeros(2, 3, 16, 16)).shape == (2, backbone.feature_dim)
    assert int(saved["layers.1.num_batches_tracked"]) == 12  # two views, six steps


def test_linear_classifier_is_saved(finished):
    saved = load_file(finished.folder / "linear.safetensors")
    assert saved["weight"].shape == (4, 32)
    assert saved["bias"].shape == (4,)


def test_finished_run_returns_stored_results(finished, catalog):
    config = resolve_file(finished.folder / "config.ini", (), catalog)
    mtime = (finished.folder / "results.json").stat().st_mtime_ns
    second = run_config(config, catalog)
    assert second.was_finished
    assert second.results == finished.results
    assert (finished.folder / "results.json").stat().st_mtime_ns == mtime


def test_changed_config_is_refused_with_changed_keys(finished, catalog):
    config = resolve_file(finished.folder / "config.ini", ("run.epochs=5",), catalog)
    with pytest.raises(RunFolderError) as caught:
        run_config(config, catalog)
    message = str(caught.value)
    assert "  [run] epochs: was 2, is 5" in message
    assert "--fresh" in message
    assert message.count("was") == 1


def test_stored_config_gives_the_same_run_elsewhere(finished, catalog, tmp_path):
    copy = tmp_path / "copied.ini"
    shutil.copy(finished.folder / "config.ini", copy)
    config = resolve_file(copy, (f"run.dir={tmp_path}",), catalog)
    second = run_config(config, catalog)
    for name, value in finished.results["metrics"].items():
        if not name.startswith(("throughput", "peak")):
            assert second.results["metrics"][name] == value, name
    old = load_file(finished.folder / "backbone.safetensors")
    new = load_file(second.folder / "backbone.safetensors")
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_fresh_moves_the_old_run_aside(catalog, tmp_path):
    go(catalog, tmp_path)
    second = go(catalog, tmp_path, fresh=True, run={"epochs": 1})
    assert second.results["steps"] == 3
    assert json.loads((tmp_path / "tiny.old-1" / "results.json").read_text())["steps"] == 6


def test_fresh_refuses_a_folder_in_use(catalog, tmp_path):
    go(catalog, tmp_path)
    with RunFolder(tmp_path / "tiny"), pytest.raises(RunFolderError, match="in use by another"):
        go(catalog, tmp_path, fresh=True, run={"epochs": 1})
    assert json.loads((tmp_path / "tiny" / "results.json").read_text())["steps"] == 6


def run_on_images(catalog, tmp_path, fresh=False):
    """Run on 40 images in two classes, which are created if they do not exist."""
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
def test_resume_with_other_images_is_refused(change, catalog, tmp_path):
    results = run_on_images(catalog, tmp_path).folder / "results.json"
    results.unlink()
    run_on_images(catalog, tmp_path)  # with the same images it resumes
    results.unlink()
    image = tmp_path / "images/a/03.png"
    if change == "new":
        shutil.copy(image, image.with_name("99.png"))
    else:
        image.rename(image.with_name("x.png") if change == "renamed" else tmp_path / "03.png")
    message = (
        "with different names" if change == "renamed" else "32 training and 8 test images; now"
    )
    with pytest.raises(RunFolderError, match=message):
        run_on_images(catalog, tmp_path)
    assert run_on_images(catalog, tmp_path, fresh=True).results["steps"] > 0


@pytest.mark.parametrize("fault", ["labels", "size"])
def test_refusal_comes_before_images_are_decoded(fault, catalog, tmp_path, monkeypatch):
    folder = tmp_path / "images" / "a"
    folder.mkdir(parents=True)
    for i in range(20):
        Image.effect_noise((20, 20), 40 + i).save(folder / f"{i}.png")
    sections = tiny(run={"dir": tmp_path}, loader={"cache_dir": tmp_path / "cache"})
    sections["data"] = {"name": "imagefolder", "root": folder, "image_size": 20}
    if fault == "size":
        sections["backbone"] = {"name": "timm", "model": "vit_tiny_patch16_224"}
    config = resolve_sections(sections, catalog)
    monkeypatch.setattr(config.components["method"].cls, "uses_labels", fault == "labels")
    with pytest.raises(UserError, match="uses labels" if fault == "labels" else "sizes that fit"):
        run_config(config, catalog, Console(quiet=True))
    assert not (tmp_path / "cache").exists()


def test_evaluate_on_other_images_warns_and_stores_the_images_used(catalog, tmp_path, capsys):
    first = run_on_images(catalog, tmp_path)
    folder, console = first.folder, make_console(width=1000)
    again = evaluate_run(folder, (), catalog, console).results
    assert OTHER_IMAGES_NOTE not in again["notes"]
    assert "warning" not in capsys.readouterr().out
    assert {key: again[key] for key in ("images", "classes", "notes")} == {
        key: first.results[key] for key in ("images", "classes", "notes")
    }
    for i in range(10):
        shutil.copy(tmp_path / f"images/a/{2 * i:02}.png", tmp_path / f"images/a/new{i}.png")
    (tmp_path / "images/b/broken.png").write_bytes(b"")
    results = evaluate_run(folder, (), catalog, console).results
    warning = capsys.readouterr().out
    assert OTHER_IMAGES_NOTE in results["notes"]
    assert f"warning: {OTHER_IMAGES_NOTE}" in warning
    assert "The run had 32 training and 8 test images; now there are 40 training and 10" in warning
    assert results["images"] == {"train": 40, "probe": 40, "test": 10}
    assert [image["image"] for image in results["skipped"]] == ["b/broken.png"]
    notes = [note for note in results["notes"] if "were held out" in note]
    assert len(notes) == 1
    assert "10 of 51 images" in notes[0]
    shutil.rmtree(tmp_path / "images/a")
    results = evaluate_run(folder, (), catalog, console).results
    assert results["classes"] == ["b"]


def test_evaluate_warns_of_metrics_that_it_replaces(catalog, tmp_path, capsys):
    folder, console = run_on_images(catalog, tmp_path).folder, make_console(width=1000)
    added = ["evaluator.near.name=knn", "evaluator.near.k=3"]
    assert "near.top1" in evaluate_run(folder, added, catalog, console).results["metrics"]
    assert "no longer has" not in capsys.readouterr().out
    results = evaluate_run(folder, (), catalog, console).results
    assert "near.top1" not in results["metrics"]
    assert "warning: results.json no longer has near" in capsys.readouterr().out


def test_evaluate_replaces_the_notes_of_an_earlier_evaluation(catalog, tmp_path):
    first = run_on_images(catalog, tmp_path)
    folder, console = first.folder, make_console(quiet=True)
    notes = first.results["notes"]
    note = "twice was skipped: the images have no labels"
    for stored in ("evaluation_notes", "notes"):
        first.results[stored] = [*first.results[stored], note]
    (folder / "results.json").write_text(json.dumps(first.results), encoding="utf-8")
    for _ in range(2):
        results = evaluate_run(folder, (), catalog, console).results
        assert results["notes"] == notes


def test_notes_of_an_evaluation_are_recorded_as_such(catalog, tmp_path):
    more = {"data": {"labelled": False}, "evaluator.knn": {"name": "knn"}}
    results = go(catalog, tmp_path, **more).results
    assert results["evaluation_notes"] == ["knn was skipped: the images have no labels"]
    assert set(results["evaluation_notes"]) <= set(results["notes"])


def repaint(root):
    """Replace every image in a folder under its name."""
    for path in root.rglob("*.png"):
        Image.effect_noise((20, 20), 90).save(path)


def test_evaluate_on_replaced_images_warns_until_they_are_back(catalog, tmp_path, capsys):
    folder, console = run_on_images(catalog, tmp_path).folder, make_console(width=1000)
    shutil.copytree(tmp_path / "images", tmp_path / "backup")
    repaint(tmp_path / "images")
    results = evaluate_run(folder, (), catalog, console).results
    assert OTHER_IMAGES_NOTE in results["notes"]
    assert "with the same names, but different content" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "backup").rename(tmp_path / "images")
    results = evaluate_run(folder, (), catalog, console).results
    assert OTHER_IMAGES_NOTE not in results["notes"]
    assert "warning" not in capsys.readouterr().out


def test_evaluate_on_another_folder_is_recorded(catalog, tmp_path, capsys):
    folder, console = run_on_images(catalog, tmp_path).folder, make_console(width=1000)
    shutil.copytree(tmp_path / "images", tmp_path / "other")
    option = f"data.root={tmp_path / 'other'}"
    results = evaluate_run(folder, (option,), catalog, console).results
    (note,) = (note for note in results["notes"] if note.startswith(OTHER_DATA))
    assert f"[data] root = {tmp_path / 'other'}, was {tmp_path / 'images'}" in note
    assert f"warning: {note}" in capsys.readouterr().out
    assert OTHER_IMAGES_NOTE not in results["notes"]  # the images are equal
    repaint(tmp_path / "other")
    assert OTHER_IMAGES_NOTE in evaluate_run(folder, (option,), catalog, console).results["notes"]
    results = evaluate_run(folder, (), catalog, console).results
    assert not any(note.startswith(OTHER_DATA) for note in results["notes"])


def test_resume_after_images_were_replaced_warns(catalog, tmp_path):
    results = run_on_images(catalog, tmp_path).folder / "results.json"
    results.unlink()
    repaint(tmp_path / "images")
    notes = run_on_images(catalog, tmp_path).results["notes"]
    assert any("image files have changed since the run was started" in note for note in notes)


def test_checkpoint_settings_may_change_on_resume(catalog, tmp_path):
    first = go(catalog, tmp_path)
    (first.folder / "results.json").unlink()
    assert go(catalog, tmp_path, checkpoint={"keep": 1}).results["steps"] == 6


def test_evaluator_settings_may_change_until_evaluated(catalog, tmp_path):
    first = go(catalog, tmp_path)
    (first.folder / "results.json").unlink()
    added = {"evaluator.knn": {"name": "knn"}}
    assert "knn.top1" in go(catalog, tmp_path, **added).results["metrics"]
    assert "[evaluator.knn]" in (first.folder / "config.ini").read_text(encoding="utf-8")
    with pytest.raises(RunFolderError, match="different configuration") as caught:
        go(catalog, tmp_path, **{"evaluator.knn": {"name": "knn", "k": 3}})
    assert "ssl-host evaluate" in str(caught.value)
    with pytest.raises(RunFolderError, match="different configuration") as caught:
        go(catalog, tmp_path, **added, run={"seed": 7})
    assert "ssl-host evaluate" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_resume_of_gpu_run_without_gpu_is_refused(catalog, tmp_path):
    first = go(catalog, tmp_path, trainer={"accelerator": "auto"})
    (first.folder / "results.json").unlink()
    file = first.folder / "config.json"
    text = file.read_text("utf-8").replace('"accelerator": "cpu"', '"accelerator": "cuda"')
    file.write_text(text, "utf-8")
    with pytest.raises(RunFolderError, match=r"\[trainer\] accelerator = cuda"):
        go(catalog, tmp_path, trainer={"accelerator": "auto"})


def test_unlabelled_data_skips_labelled_evaluators_with_a_note(catalog, tmp_path):
    sections = {"data": {"labelled": "false"}, "evaluator.knn": {"name": "knn"}}
    results = go(catalog, tmp_path, **sections).results
    assert results["metrics"]["rankme"] > 0
    assert not any("top1" in name for name in results["metrics"])
    assert "knn was skipped: the images have no labels" in results["notes"]
    page = (tmp_path / "tiny" / "report.html").read_text(encoding="utf-8")
    assert "knn was skipped: the images have no labels" in page


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_evaluators_that_need_labels_are_announced_before_the_training(ssl_host, tmp_path, options):
    more = {"evaluator.knn": {"name": "knn"}, "evaluator.far": {"name": "retrieval"}}
    config = tiny(data={"labelled": "false"}, run={"epochs": 1}, **more)
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    done = ssl_host("run", "c.ini", *options)
    assert done.returncode == 0, done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    assert "knn, far will be skipped: the images have no labels" in text
    if not options:  # and afterwards, next to the metrics
        assert "note: knn was skipped: the images have no labels" in done.stdout


def test_warnings_of_the_method_are_printed_before_the_training(ssl_host, tmp_path):
    config = tiny(method={"name": "mocov2", "queue_size": 16, "bn_splits": 1})
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    lines = ssl_host("run", "c.ini").stderr.splitlines()
    (warning,) = [i for i, line in enumerate(lines) if line.startswith("warning: [method] bn_spl")]
    first_epoch = next(i for i, line in enumerate(lines) if line.startswith("epoch 1/"))
    assert warning < first_epoch


def test_init_from_loads_backbone_of_another_run(finished, catalog, tmp_path):
    run = {"init_from": str(finished.folder), "epochs": 0}
    results = go(catalog, tmp_path, run=run, **{"evaluator.knn": {"name": "knn"}}).results
    assert results["metrics"]["knn.top1"] == finished.results["metrics"]["knn.top1"]
    assert any("the backbone starts from" in note for note in results["notes"])


SLOW_SOURCE = """
import time
import torch
from pydantic import Field
from ssl_host import DataSource, ImageDataset, Settings, hookimpl

@hookimpl
def register_data(register):
    register("slow", "ssl_plugin_slow:Slow")

class Pictures(ImageDataset):
    slow_hint = {hint!r}

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


@pytest.mark.parametrize("advice", ["", "buy a faster tape"])
def test_slow_data_loading_prints_a_hint(advice, install, tmp_path, capsys):
    """With the advice of the data source, if it has one."""
    install("ssl-plugin-slow", SLOW_SOURCE.format(hint=advice))
    sections = {
        **tiny(run={"dir": tmp_path, "epochs": 1, "batch_size": 16}),
        "data": {"name": "slow"},
        "loader": {"store": "files", "num_workers": 0},
    }
    catalog = Catalog()
    console = make_console(force_terminal=False, width=400)
    outcome = run_config(resolve_sections(sections, catalog), catalog, console)
    output = capsys.readouterr().out
    hint = next(
        line for line in output.splitlines() if line.startswith("hint: training waited for")
    )
    assert hint.endswith(advice or "or in more processes with [loader] num_workers")
    assert output.index(hint) < output.index("evaluating: ")
    assert hint.removeprefix("hint: ") in outcome.results["notes"]


def test_ssl_host_run_from_python(tmp_path):
    results = ssl_host.run(tiny(run={"dir": tmp_path, "epochs": 1}), ["run.seed=4"], quiet=True)
    assert results["seed"] == 4
    assert (tmp_path / "tiny" / "report.html").exists()
