"""What the trainer watches over: collapse, parts of a step, schedules, choices of auto."""

import csv
import sys

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from ssl_plugin_simclr.method import SimCLR

import ssl_host
from ssl_host import read_tensors
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.batches import EpochPlan
from ssl_host.errors import PluginError, UserError
from ssl_host.pipeline.dry_run import dry_run
from ssl_host.pipeline.run import run_config
from ssl_host.toolkit.console import make_console
from tests.conftest import tiny
from tests.train.odd_methods import odd, run


def test_a_collapse_is_warned_of_while_the_run_is_young(install, tmp_path, capsys):
    body = "h = h * 0 + 1.0\nreturn StepOutput(z.square().mean(), features=h)"
    odd(body, install, tmp_path, make_console(width=400, force_terminal=False))
    told = capsys.readouterr().out
    assert told.count("the method is collapsing") == 1
    assert "at step 2 the features of all images are nearly the same" in told


def test_a_method_that_raises_is_named_with_its_line_and_shapes(install, tmp_path):
    with pytest.raises(PluginError) as caught:
        odd("return StepOutput(self.projector(z).mean())", install, tmp_path)
    message = str(caught.value)
    assert "method 'odd' (ssl_plugin_odd:Odd, from ssl-plugin-odd 1.0) failed in step 0" in message
    assert "ssl_plugin_odd.py:16" in message
    assert "the views were 16x3x16x16, 16x3x16x16" in message


def test_a_step_must_return_a_step_output(install, tmp_path):
    with pytest.raises(PluginError, match=r"Odd\.step returned Tensor; return StepOutput\(loss"):
        odd("return z.mean()", install, tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return StepOutput(z)",
            "Odd.step returned a loss of shape 16x16; a scalar: take its mean",
        ),
        ("return StepOutput(z.mean().detach())", "returned a loss without a gradient"),
    ],
)
def test_a_loss_must_be_a_scalar_with_a_gradient(body, message, install, tmp_path):
    with pytest.raises(PluginError) as caught:
        odd(body, install, tmp_path)
    assert message in str(caught.value)


def test_every_epoch_has_an_order_of_its_own(install, tmp_path):
    """Seen to fail with a loader that was not told its epoch."""
    body = "Odd.seen = [*getattr(Odd, 'seen', []), batch.index]\nreturn StepOutput(z.mean())"
    odd(body, install, tmp_path)
    plan = EpochPlan(48, 16, seed=1)
    expected = [index for epoch in range(2) for index in plan.indices(epoch)]
    seen = sys.modules["ssl_plugin_odd"].Odd.seen
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_labels_are_handed_only_to_methods_that_use_them(install, tmp_path):
    body = "assert batch.labels is None\nreturn StepOutput(z.square().mean(), features=h)"
    assert "online.top1" in odd(body, install, tmp_path).results["metrics"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_views_are_the_same_in_any_precision(precision, install, tmp_path):
    """Seen to fail: under autocast the engine's matrix products were made in bfloat16."""
    body = "Odd.views = batch.views\nreturn StepOutput(z.float().mean(), features=h)"
    trainer = {"precision": precision}
    odd(body, install, tmp_path, trainer=trainer, augmentation={"name": "simclr"})
    config = resolve_sections(tiny(), Catalog())
    views = compose(config).views
    index = list(EpochPlan(48, 16, seed=1).indices(1))[-1]
    images = ssl_host.build("data", "synthetic", **config.components["data"].settings.model_dump())
    expected = views(images.open("train").images[index], index, epoch=1, seed=1)
    found = sys.modules["ssl_plugin_odd"].Odd.views
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_step_in_parts_is_a_step(tmp_path):
    """Half batches accumulated give the gradient of the whole: no batch norm, plain mean loss."""
    sections = {
        "method": {"name": "simsiam"},
        "head.projector": {"hidden_dim": 8, "output_dim": 8, "num_layers": 1, "last_norm": False},
        "head.predictor": {"hidden_dim": 8, "num_layers": 1},
        "trainer": {"precision": "64-true"},
        "probe": {"enabled": "false"},
        "backbone": {"name": "timm", "model": "vit_tiny_patch16_224", "patch_size": 8},
    }
    sections["run"] = {"epochs": 1}
    whole = tiny(**sections)
    for key in ("width", "num_stages"):
        whole["backbone"].pop(key)
    found = []
    for parts in (1, 2):
        whole["run"] |= {"dir": tmp_path, "name": f"parts-{parts}"}
        whole["trainer"]["accumulate"] = parts
        catalog = Catalog()
        outcome = run_config(resolve_sections(whole, catalog), catalog, Console(quiet=True))
        found.append(load_file(outcome.folder / "backbone.safetensors"))
        assert outcome.results["steps"] == 3
        with (outcome.folder / "metrics.csv").open(encoding="utf-8") as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    for name, value in found[0].items():
        assert (value - found[1][name]).norm() <= 1e-9 * max(1, float(value.norm())), name


def test_a_queue_receives_every_part_of_a_step(tmp_path):
    """Seen to fail with the last part's rows alone in the queue."""
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


STANDS_STILL = """
from ssl_host import Method, ParamGroup, StepOutput, hookimpl

class Odd(Method):
    heads = {"projector": "backbone"}
    seen = []

    def step(self, batch):
        weight = self.projector.layers[0].weight.detach().clone()
        now = self.progress
        Odd.seen.append((now.step, now.epoch, now.total_steps, weight))
        h = self.backbone(batch.views[0])
        return StepOutput((self.projector(h) - 1).square().mean(), features=h)

    def param_groups(self):
        yield ParamGroup("backbone", list(self.trainable_parameters("backbone")))
        yield ParamGroup("head", list(self.trainable_parameters("projector")), frozen_until=0.5)

@hookimpl
def register_methods(register):
    register("odd", "ssl_plugin_odd:Odd")
"""


def test_a_group_stands_still_at_first_and_progress_is_that_of_the_step(install, tmp_path):
    """Seen to fail with the gradients left, and with the progress of the step before."""
    install("ssl-plugin-odd", STANDS_STILL)
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


def test_the_schedule_moves_every_step_and_reaches_its_end(tmp_path):
    """Never per epoch, and not once too often: the last row is the rate of the last step. Seen to
    fail with the rate of the epoch's first step, and with that of the next step.
    """
    folder = run(tmp_path).folder
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    schedule = ssl_host.build("scheduler", "warmup_cosine")
    assert rates == pytest.approx([0.05 * schedule.factor(s, 6, 3) for s in range(6)], rel=1e-6)


def test_auto_is_settled_from_the_hardware_and_kept(catalog, tmp_path):
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_told(catalog):
    with pytest.raises(UserError, match="torch finds no GPU; set accelerator = cpu"):
        resolve_auto(resolve_sections(tiny(trainer={"accelerator": "gpu"}), catalog))


def test_a_dry_run_reads_the_weights_it_would_start_from(catalog, tmp_path):
    """Seen to fail with a run that was sure to end at once."""
    (tmp_path / "backbone.onnx").write_bytes(b"")
    for path, told in ((tmp_path / "none", "no such file"), (tmp_path, "ONNX graph is for infer")):
        with pytest.raises(UserError, match=told):
            dry_run(resolve_sections(tiny(run={"init_from": str(path)}), catalog), catalog)


def test_a_graph_beside_weights_is_not_in_their_way(catalog, tmp_path):
    """As in many folders of a hub. Seen to fail with every folder of a graph refused."""
    folder = run(tmp_path).folder
    (folder / "model.onnx").write_bytes(b"")
    found = dry_run(resolve_sections(tiny(run={"init_from": str(folder)}), catalog), catalog)
    assert "backbone.safetensors" in found.starts_from


def test_a_dry_run_counts_what_the_run_will_do(catalog):
    estimate = dry_run(resolve_sections(tiny(), catalog), catalog)
    method = ssl_host.build(
        "method",
        "simclr",
        backbone=ssl_host.build(
            "backbone", "small_conv", in_channels=3, image_size=16, width=8, num_stages=3
        ),
        **{"head.projector": {"hidden_dim": 32, "output_dim": 16}},
    )
    assert estimate.parameters == sum(p.numel() for p in method.parameters())
    assert (estimate.total_steps, estimate.steps_per_epoch) == (6, 3)
    assert estimate.views == [[16, 3, 16, 16]] * 2
    expected = estimate.seconds_per_step * 6 / 60
    assert estimate.training_minutes == pytest.approx(expected)
    chosen = resolve_auto(resolve_sections(tiny(), catalog)).trainer
    others = {(other.setting, other.value) for other in estimate.alternatives}
    assert {setting for setting, _ in others} >= {"precision", "channels_last"}
    assert not others & {(s, getattr(chosen, s)) for s in ("precision", "channels_last")}
    assert all(other.seconds_per_step > 0 for other in estimate.alternatives)


def test_a_dry_run_refuses_a_batch_that_the_devices_cannot_share(catalog):
    """Seen to fail: the run was the first to say so."""
    sections = tiny(trainer={"accelerator": "cpu", "devices": 3})
    with pytest.raises(UserError, match="cannot be shared"):
        dry_run(resolve_sections(sections, catalog), catalog)


def test_a_dry_run_is_of_the_numbers_that_the_run_will_have(catalog, monkeypatch):
    """Seen to fail: 64-true was timed in float32."""
    seen = []
    step = SimCLR.step
    monkeypatch.setattr(
        SimCLR, "step", lambda self, batch: seen.append(batch.views[0].dtype) or step(self, batch)
    )
    sections = tiny(trainer={"accelerator": "cpu", "precision": "64-true"})
    dry_run(resolve_sections(sections, catalog), catalog)
    assert seen[0] == torch.float64
    assert seen[-1] == torch.float64  # and again, after the alternatives
    assert torch.float32 in seen


def test_what_is_only_measured_may_have_any_batch_size(catalog, tmp_path):
    """Seen to fail: the batch was made as small as the set, which could not be shared then."""
    sections = tiny(
        run={"epochs": 0, "batch_size": 64, "dir": tmp_path},
        data={"name": "synthetic", "num_images": 33, "image_size": 16},
        trainer={"accumulate": 2},
    )
    assert run_config(resolve_sections(sections, catalog), catalog).results["steps"] == 0
