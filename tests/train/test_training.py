"""The training: order of images, micro-batches, schedules, frozen groups, collapse, auto."""

import csv
import sys

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import ssl_host
from ssl_host import read_tensors
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.batches import EpochPlan
from ssl_host.errors import PluginError, UserError
from ssl_host.pipeline.run import run_config
from ssl_host.toolkit.console import make_console
from tests.conftest import tiny
from tests.train.step_plugin import run, run_step


def test_collapse_is_warned_of_once(install, tmp_path, capsys):
    body = "h = h * 0 + 1.0\nreturn StepOutput(z.square().mean(), features=h)"
    run_step(body, install, tmp_path, make_console(width=400, force_terminal=False))
    output = capsys.readouterr().out
    assert output.count("the method is collapsing") == 1
    assert "at step 2 the features of all images are nearly the same" in output
    assert "batch norm in the projector" in output
    assert "predictor" not in output  # the method has none


@pytest.mark.parametrize(("loss", "is_at_chance"), [("1.99", True), ("2.5", True), ("1.9", False)])
def test_loss_at_chance_after_a_tenth_of_the_run_gives_one_hint(
    loss, is_at_chance, install, tmp_path, capsys
):
    level = "type(self).chance_level = lambda self, num_images: num_images / 8"
    body = f"{level}\nreturn StepOutput(0 * z.mean() + {loss}, features=h)"
    sections = {"run": {"epochs": 4}, "scheduler": {"name": "warmup_cosine", "warmup_epochs": 2}}
    run_step(body, install, tmp_path, make_console(width=400, force_terminal=False), **sections)
    output = capsys.readouterr().out
    assert f"loss {float(loss):.4f} (chance 2.0000)" in output
    assert output.count("the network does not tell images apart") == is_at_chance
    if is_at_chance:
        assert "chance (2.000)" in output
        assert "[scheduler] warmup_epochs" in output
    rows = list(csv.DictReader((tmp_path / "tiny" / "metrics.csv").open()))
    assert {row["chance_loss"] for row in rows} == {"2"}
    assert 'data-name="chance level"' in (tmp_path / "tiny" / "report.html").read_text("utf-8")


def test_error_in_step_gives_plugin_line_and_view_shapes(install, tmp_path):
    with pytest.raises(PluginError) as caught:
        run_step("return StepOutput(self.projector(z).mean())", install, tmp_path)
    message = str(caught.value)
    assert "method 'odd' (ssl_plugin_odd:Odd, from ssl-plugin-odd 1.0) failed in step 0" in message
    assert "ssl_plugin_odd.py:16" in message
    assert "the views were 16x3x16x16, 16x3x16x16" in message


def test_step_without_step_output_is_refused(install, tmp_path):
    with pytest.raises(PluginError, match=r"Odd\.step returned Tensor; return StepOutput\(loss"):
        run_step("return z.mean()", install, tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return StepOutput(z)",
            "Odd.step returned a loss of shape 16x16; return a scalar",
        ),
        ("return StepOutput(z.mean().detach())", "returned a loss without a gradient"),
    ],
)
def test_loss_not_scalar_or_without_gradient_is_refused(body, message, install, tmp_path):
    with pytest.raises(PluginError) as caught:
        run_step(body, install, tmp_path)
    assert message in str(caught.value)


def test_every_epoch_has_a_new_order(install, tmp_path):
    body = "Odd.seen = [*getattr(Odd, 'seen', []), batch.index]\nreturn StepOutput(z.mean())"
    run_step(body, install, tmp_path)
    plan = EpochPlan(48, 16, seed=1)
    expected = [index for epoch in range(2) for index in plan.indices(epoch)]
    seen = sys.modules["ssl_plugin_odd"].Odd.seen
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_batch_has_no_labels_for_methods_without_uses_labels(install, tmp_path):
    body = "assert batch.labels is None\nreturn StepOutput(z.square().mean(), features=h)"
    assert "online.top1" in run_step(body, install, tmp_path).results["metrics"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_views_are_equal_in_any_precision(precision, install, tmp_path):
    body = "Odd.views = batch.views\nreturn StepOutput(z.float().mean(), features=h)"
    trainer = {"precision": precision}
    run_step(body, install, tmp_path, trainer=trainer, augmentation={"name": "simclr"})
    config = resolve_sections(tiny(), Catalog())
    views = compose(config).views
    index = list(EpochPlan(48, 16, seed=1).indices(1))[-1]
    images = ssl_host.build("data", "synthetic", **config.components["data"].settings.model_dump())
    expected = views(images.open("train").images[index], index, epoch=1, seed=1)
    actual = sys.modules["ssl_plugin_odd"].Odd.views
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def test_accumulated_micro_batches_equal_one_batch(tmp_path):
    """Without batch norm and with a mean loss, so that two half batches equal the whole."""
    sections = {
        "method": {"name": "simsiam"},
        "head.projector": {"hidden_dim": 8, "output_dim": 8, "num_layers": 1, "last_norm": False},
        "head.predictor": {"hidden_dim": 8, "num_layers": 1},
        "trainer": {"precision": "64-true"},
        "probe": {"enabled": "false"},
        "backbone": {"name": "timm", "model": "vit_tiny_patch16_224", "patch_size": 8},
    }
    sections["run"] = {"epochs": 1}
    config = tiny(**sections)
    for key in ("width", "num_stages"):
        config["backbone"].pop(key)
    weights = []
    for micro_batches in (1, 2):
        config["run"] |= {"dir": tmp_path, "name": f"micro-batches-{micro_batches}"}
        config["trainer"]["accumulate"] = micro_batches
        catalog = Catalog()
        outcome = run_config(resolve_sections(config, catalog), catalog, Console(quiet=True))
        weights.append(load_file(outcome.folder / "backbone.safetensors"))
        assert outcome.results["steps"] == 3
        with (outcome.folder / "metrics.csv").open(encoding="utf-8") as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    for name, value in weights[0].items():
        assert (value - weights[1][name]).norm() <= 1e-9 * max(1, float(value.norm())), name


def test_queue_receives_rows_of_all_micro_batches(tmp_path):
    catalog = Catalog()
    sections = tiny(
        run={"dir": tmp_path, "epochs": 1},
        method={"name": "nnclr", "queue_size": 1000},
        trainer={"accumulate": 2},
        **{"head.predictor": {"hidden_dim": 16}},
    )
    folder = run_config(resolve_sections(sections, catalog), catalog, Console(quiet=True)).folder
    newest = max((folder / "checkpoints").glob("step-*.ckpt"))
    queues = [t for name, t in read_tensors(newest).items() if name.startswith("queue.")]
    assert max(int(t) for t in queues if t.ndim == 0) == 3 * 16


FROZEN_HEAD = """
from ssl_host import Method, ParamGroup, StepOutput, hookimpl

class Odd(Method):
    heads = {"projector": "backbone"}
    seen = []

    def step(self, batch):
        weight = self.projector.layers[0].weight.detach().clone()
        progress = self.progress
        Odd.seen.append((progress.step, progress.epoch, progress.total_steps, weight))
        h = self.backbone(batch.views[0])
        return StepOutput((self.projector(h) - 1).square().mean(), features=h)

    def param_groups(self):
        yield ParamGroup("backbone", list(self.trainable_parameters("backbone")))
        yield ParamGroup("head", list(self.trainable_parameters("projector")), frozen_until=0.5)

@hookimpl
def register_methods(register):
    register("odd", "ssl_plugin_odd:Odd")
"""


def test_frozen_until_keeps_weights_and_progress_is_current(install, tmp_path):
    install("ssl-plugin-odd", FROZEN_HEAD)
    catalog = Catalog()
    sections = tiny(
        run={"dir": tmp_path, "epochs": 2},
        method={"name": "odd"},
        optimizer={"weight_decay": 0.1},
        trainer={"precision": "32-true"},
    )
    run_config(resolve_sections(sections, catalog), catalog, Console(quiet=True))
    seen = sys.modules["ssl_plugin_odd"].Odd.seen
    assert [(step, epoch, total) for step, epoch, total, _ in seen] == [
        *((0, 0, 6), (1, 0, 6), (2, 0, 6)),
        *((3, 1, 6), (4, 1, 6), (5, 1, 6)),
    ]
    weights = [weight for *_, weight in seen]
    assert all(torch.equal(weight, weights[0]) for weight in weights[:4])
    assert not torch.equal(weights[4], weights[0])


def test_learning_rate_changes_every_step(tmp_path):
    """The last row has the rate of the last step, not that of the epoch or of the next step."""
    folder = run(tmp_path).folder
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    schedule = ssl_host.build("scheduler", "warmup_cosine")
    assert rates == pytest.approx([0.05 * schedule.factor(s, 6, 3) for s in range(6)], rel=1e-6)


def test_auto_is_resolved_and_stored(catalog, tmp_path):
    config = resolve_auto(resolve_sections(tiny(), catalog))
    for section, key in (
        ("trainer", "precision"),
        ("trainer", "compile"),
        ("loader", "num_workers"),
    ):
        assert config.entries[section, key].origin.layer == "auto, chosen on this machine"
        assert "auto" not in config.entries[section, key].text
    assert config.trainer.num_threads == 1  # what the file says stays
    text = (run(tmp_path).folder / "config.ini").read_text(encoding="utf-8")
    assert "= auto" not in text.replace("strategy = auto", "").replace("store = auto", "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_gpu_is_an_error(catalog):
    with pytest.raises(UserError, match="accelerator = cpu"):
        resolve_auto(resolve_sections(tiny(trainer={"accelerator": "gpu"}), catalog))


def test_evaluation_only_allows_any_batch_size(catalog, tmp_path):
    sections = tiny(
        run={"epochs": 0, "batch_size": 64, "dir": tmp_path},
        data={"name": "synthetic", "num_images": 33, "image_size": 16},
        trainer={"accumulate": 2},
    )
    results = run_config(resolve_sections(sections, catalog), catalog).results
    assert results["steps"] == 0
    assert any("nothing is trained" in note for note in results["notes"])


HOOK = """
import torch
from ssl_host import Method, ParamGroup, StepOutput, hookimpl

class Odd(Method):
    heads = {"projector": "backbone"}
    calls = []

    def step(self, batch):
        Odd.calls.append("step")
        h = self.backbone(batch.views[0])
        return StepOutput(100 * self.projector(h).square().mean(), features=h)

    def param_groups(self):
        yield ParamGroup("backbone", list(self.trainable_parameters("backbone")))
        yield ParamGroup("head", list(self.trainable_parameters("projector")), frozen_until=1.0)

    def before_optimizer_step(self):
        assert not torch.is_grad_enabled()
        assert all(p.grad is not None for p in self.projector.parameters())
        norms = torch.stack([p.grad.norm() for p in self.parameters()])
        Odd.calls.append(("before", self.progress.step, float(norms.norm()) > 0.01))

    def after_optimizer_step(self):
        assert all(p.grad is None for p in self.projector.parameters())
        norms = torch.stack([p.grad.norm() for p in self.backbone.parameters()])
        Odd.calls.append(("after", round(float(norms.norm()), 5)))

@hookimpl
def register_methods(register):
    register("odd", "ssl_plugin_odd:Odd")
"""


def test_before_optimizer_step_runs_once_before_clipping_and_freezing(install, tmp_path):
    install("ssl-plugin-odd", HOOK)
    trainer = {"precision": "32-true", "accumulate": 2, "gradient_clip": 0.01}
    run(tmp_path, run={"epochs": 1}, method={"name": "odd"}, trainer=trainer)
    calls = sys.modules["ssl_plugin_odd"].Odd.calls
    assert calls == [
        call
        for step in range(3)
        for call in ("step", "step", ("before", step, True), ("after", 0.01))
    ]
