"""Evaluators on the images of another data source."""

import numpy as np
import pytest
from PIL import Image

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.errors import ConfigError, UserError
from ssl_host.pipeline.dry_run import estimate_cost
from ssl_host.pipeline.finished_runs import evaluate_run
from ssl_host.pipeline.run import run_config
from ssl_host.report.summary import summarize
from ssl_host.toolkit.console import make_console
from tests.conftest import as_ini, tiny


def config(folder, **sections):
    made = tiny(**sections)
    made["run"] |= {"dir": folder, "epochs": 1}
    made["evaluator.knn"] = {"name": "knn"}
    return made


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """Write colour images of three classes, which differ in brightness, of 20 x 24 pixels."""
    root = tmp_path_factory.mktemp("flowers")
    rng = np.random.default_rng(0)
    for label, level in {"dark": 40, "middle": 120, "light": 200}.items():
        (root / label).mkdir()
        for i in range(12):
            pixels = rng.integers(level - 20, level + 20, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


def test_equal_source_gives_equal_metrics_and_another_one_its_own(flowers, tmp_path):
    sections = config(tmp_path, loader={"cache_dir": tmp_path / "cache"})
    sections["data.again"] = {k: v for k, v in sections["data"].items() if k != "image_size"}
    sections["data.flowers"] = {"name": "imagefolder", "root": flowers}
    sections["evaluator.again"] = {"name": "knn", "data": "again"}
    sections["evaluator.flowers"] = {"name": "knn", "data": "data.flowers"}
    sections["evaluator.probe"] = {"name": "linear", "epochs": 2, "data": "flowers"}
    catalog = Catalog()
    resolved = resolve_sections(sections, catalog)
    for name in ("again", "flowers"):
        assert resolved.components[f"data.{name}"].settings.image_size == 16  # as [data]
    outcome = run_config(resolved, catalog)
    metrics = outcome.results["metrics"]
    for prefix in ("", "random_init.", "pixels.", "statistics."):
        assert metrics[f"{prefix}again.top1"] == metrics[f"{prefix}knn.top1"]
    row = summarize(outcome.results).find("flowers.top1")
    assert row.baselines["statistics"] == 1.0  # brightness tells the classes apart
    assert row.figure.unit == "%"
    assert row.data == "data.flowers"
    assert summarize(outcome.results).find("knn.top1").data is None
    assert any(note.startswith("[data.flowers]") and "held out" in note
               for note in outcome.results["notes"])  # fmt: skip
    assert (outcome.folder / "probe_linear.safetensors").exists()
    again = evaluate_run(outcome.folder, (), catalog, make_console(quiet=True))
    assert again.results["metrics"]["flowers.top1"] == metrics["flowers.top1"]


CHECKED = """
from ssl_host import Evaluation, Evaluator, UserError, hookimpl

ssl_host_api = 1

class Checked(Evaluator):
    "An evaluator that refuses images of another size. No paper."

    def check(self, train, test):
        if train.header(0).height != 16:
            raise UserError(f"{len(train)} and {len(test)} images of another size")

    def evaluate(self, bank):
        return Evaluation({})

@hookimpl
def register_evaluators(register):
    register("checked", "ssl_plugin_checked:Checked")
"""


def test_evaluators_check_their_images_before_training_and_in_a_dry_run(flowers, tmp_path, install):
    install("ssl-plugin-checked", CHECKED)
    catalog = Catalog()
    sections = config(tmp_path, loader={"cache_dir": tmp_path / "cache"})
    sections["data.flowers"] = {"name": "imagefolder", "root": flowers}
    sections["evaluator.own"] = {"name": "checked"}
    sections["evaluator.other"] = {"name": "checked", "data": "flowers"}
    resolved = resolve_sections(sections, catalog)
    for call in (run_config, estimate_cost):
        with pytest.raises(UserError, match=r"\[evaluator\.other\] \d+ and \d+ images of another"):
            call(resolved, catalog)
    assert not list(tmp_path.glob("*/metrics.csv"))


def test_colour_images_are_read_in_gray_for_a_network_of_gray_images(flowers, tmp_path):
    """Digits have no setting num_channels from which it could be taken."""
    sections = config(tmp_path, data={"name": "digits"})
    del sections["data"]["num_images"], sections["data"]["num_test"]
    sections["data.flowers"] = {"name": "imagefolder", "root": flowers}
    sections["evaluator.other"] = {"name": "knn", "data": "flowers"}
    experiment = compose(resolve_sections(sections, Catalog()))
    assert experiment.other_sources["flowers"].channels == 1


def test_transfer_is_measured_on_a_finished_run_with_options(flowers, tmp_path):
    catalog = Catalog()
    sections = config(tmp_path, loader={"cache_dir": tmp_path / "cache"})
    folder = run_config(resolve_sections(sections, catalog), catalog).folder
    options = ("evaluator.flowers.name=knn", "evaluator.flowers.data=flowers")
    options += ("data.flowers.name=imagefolder", f"data.flowers.root={flowers}")
    done = evaluate_run(folder, options, catalog, make_console(quiet=True))
    assert {"knn.top1", "flowers.top1", "pixels.flowers.top1"} <= done.results["metrics"].keys()


@pytest.mark.parametrize(
    ("lines", "expected", "line"),
    [
        ("[evaluator.x]\nname = knn\ndata = flowrs", "no section [data.flowrs]", 3),
        ("[evaluator.x]\nname = knn\ndata = x\n[data.x]\nname = synthetic\nside = 3", "side", 6),
        ("[data.x]\nname = synthetic", "data = x", 1),
        ("[evaluator.x]\nname = knn\ndata = x\n[data.x]\nimage_size = 16", "needs a name", 4),
    ],
)
def test_wrong_section_is_reported_with_its_line(lines, expected, line, tmp_path):
    file = tmp_path / "c.ini"
    text = as_ini(config(tmp_path))
    file.write_text(f"{text}\n{lines}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (), Catalog())
    found = {p.where.rpartition(":")[2] for p in caught.value.problems if expected in p.message}
    assert found == {str(len(text.splitlines()) + 1 + line)}, str(caught.value)


@pytest.mark.parametrize(
    ("lines", "expected", "line"),
    [
        ("name = imagefolder\nroot = nowhere", "nowhere", 6),
        ("name = synthetic\nnum_channels = 1", "1 channels", 5),
        ("name = mnist5k", "1 channels", 5),
    ],
)
def test_unusable_images_are_reported_with_file_and_line_before_training(
    lines, expected, line, tmp_path
):
    file = tmp_path / "c.ini"
    text = as_ini(config(tmp_path))
    text = f"{text}\n[evaluator.x]\nname = knn\ndata = x\n[data.x]\n{lines}"
    file.write_text(text, encoding="utf-8")
    first = text.splitlines().index("[evaluator.x]") + 1
    catalog = Catalog()
    with pytest.raises(UserError) as caught:
        run_config(resolve_file(file, (), catalog), catalog)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{file}:{first + line - 1}: ")
    assert "[data]" not in str(caught.value).replace("those of [data]", "")
    assert not list(tmp_path.glob("**/*.ckpt"))
