"""``--dry-run``: sizes and times of a run, from the same steps that training computes."""

import sys

import pytest
import torch
from PIL import Image
from ssl_plugin_simclr.method import SimCLR

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_sections
from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.data.datasets import open_datasets
from ssl_host.errors import UserError
from ssl_host.pipeline import loading_time
from ssl_host.pipeline.dry_run import estimate_cost
from ssl_host.pipeline.loading_time import LoadingTime
from ssl_host.toolkit.cores import available_cores
from ssl_host.train.probe import OnlineProbe
from tests.conftest import tiny
from tests.train.step_plugin import run


def test_dry_run_unreadable_init_from_is_an_error(catalog, tmp_path):
    (tmp_path / "backbone.onnx").write_bytes(b"")
    for path, message in (
        (tmp_path / "none", "no such file"),
        (tmp_path, "ONNX graph is for infer"),
    ):
        with pytest.raises(UserError, match=message):
            estimate_cost(resolve_sections(tiny(run={"init_from": str(path)}), catalog), catalog)


def test_dry_run_ignores_onnx_file_next_to_weights(catalog, tmp_path):
    """As in many folders of the Hugging Face hub."""
    folder = run(tmp_path).folder
    (folder / "model.onnx").write_bytes(b"")
    estimate = estimate_cost(
        resolve_sections(tiny(run={"init_from": str(folder)}), catalog), catalog
    )
    assert "backbone.safetensors" in estimate.starts_from


def test_dry_run_reports_sizes_steps_and_times(catalog):
    estimate = estimate_cost(resolve_sections(tiny(), catalog), catalog)
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
    settings = resolve_auto(resolve_sections(tiny(), catalog)).trainer
    alternatives = {(other.setting, other.value) for other in estimate.alternatives}
    assert "channels_last" in {setting for setting, _ in alternatives}
    assert not alternatives & {(s, getattr(settings, s)) for s in ("precision", "channels_last")}
    assert all(other.seconds_per_step > 0 for other in estimate.alternatives)


@pytest.mark.parametrize("hardware", [True, False])
def test_dry_run_times_bfloat16_only_where_the_processor_has_it(catalog, monkeypatch, hardware):
    """Emulated, it is ten times slower than float32, and the dry run would be, too."""
    monkeypatch.setattr("ssl_host.pipeline.dry_run.cpu_has_bf16", lambda: hardware)
    sections = tiny(trainer={"accelerator": "cpu", "precision": "32-true"})
    estimate = estimate_cost(resolve_sections(sections, catalog), catalog)
    precisions = {o.value for o in estimate.alternatives if o.setting == "precision"}
    assert precisions == ({"bf16-mixed"} if hardware else set())


def test_dry_run_batch_size_not_divisible_by_devices_is_an_error(catalog):
    sections = tiny(trainer={"accelerator": "cpu", "devices": 3})
    with pytest.raises(UserError, match="cannot be divided"):
        estimate_cost(resolve_sections(sections, catalog), catalog)


def test_dry_run_times_float64_in_float64(catalog, monkeypatch):
    dtypes = []
    step = SimCLR.step
    monkeypatch.setattr(
        SimCLR, "step", lambda self, batch: dtypes.append(batch.views[0].dtype) or step(self, batch)
    )
    sections = tiny(trainer={"accelerator": "cpu", "precision": "64-true"})
    estimate_cost(resolve_sections(sections, catalog), catalog)
    assert dtypes[0] == torch.float64
    assert dtypes[-1] == torch.float64  # again, after the alternatives
    assert torch.float32 in dtypes


GRADIENTS = """
import torch
from ssl_host import Method, ParamGroup, StepOutput, hookimpl

class Odd(Method):
    heads = {"projector": "backbone"}
    norms = []

    def step(self, batch):
        h = self.backbone(batch.views[0])
        return StepOutput(100 * self.projector(h).square().mean(), features=h)

    def param_groups(self):
        yield ParamGroup("backbone", list(self.trainable_parameters("backbone")))
        yield ParamGroup("head", list(self.trainable_parameters("projector")), frozen_until=1.0)

    def after_optimizer_step(self):
        frozen = [p.grad is None for p in self.projector.parameters()]
        norms = [p.grad.norm() for p in self.backbone.parameters()]
        Odd.norms.append((all(frozen), float(torch.stack(norms).norm())))

@hookimpl
def register_methods(register):
    register("odd", "ssl_plugin_odd:Odd")
"""


def test_dry_run_step_includes_probe_clipping_and_frozen_groups(install, monkeypatch):
    install("ssl-plugin-odd", GRADIENTS)
    labels_of_steps = []
    monkeypatch.setattr(
        OnlineProbe, "step", lambda self, features, labels: labels_of_steps.append(labels)
    )
    catalog = Catalog()
    trainer = {"accelerator": "cpu", "precision": "32-true", "gradient_clip": 0.01}
    sections = tiny(run={"epochs": 100}, method={"name": "odd"}, trainer=trainer)
    estimate_cost(resolve_sections(sections, catalog), catalog)
    norms = sys.modules["ssl_plugin_odd"].Odd.norms
    assert len(labels_of_steps) == len(norms) > 0
    assert all(len(labels) == 16 for labels in labels_of_steps)
    for frozen, norm in norms:
        assert frozen
        assert norm == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("store", ["packed", "files"])
def test_dry_run_estimate_includes_decoding_and_packing(store, catalog, tmp_path):
    for i in range(40):
        path = tmp_path / "x" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((300, 200), 60).convert("RGB").save(path)
    sections = tiny(loader={"store": store, "cache_dir": tmp_path / "cache", "num_workers": 0})
    sections["data"] = {"name": "imagefolder", "root": tmp_path / "x", "image_size": 16}
    config = resolve_sections(sections, catalog)
    estimate = estimate_cost(config, catalog)
    assert estimate.decode_ms > 0
    expected = estimate.packing_minutes + 4 * estimate.loaded_seconds_per_step / 60
    assert estimate.training_minutes == pytest.approx(expected)
    decoding_s = 16 * estimate.decode_ms / 1000
    if store == "files":
        expected_s = estimate.seconds_per_step + decoding_s
        assert estimate.loaded_seconds_per_step == pytest.approx(expected_s)
        assert estimate.packing_minutes == 0
        return
    assert estimate.loaded_seconds_per_step == estimate.seconds_per_step
    assert estimate.packing_minutes == pytest.approx(
        40 * estimate.decode_ms / 60_000 / available_cores()
    )
    source = compose(config).source
    open_datasets(source, compose(config).views, config.loader)
    assert estimate_cost(config, catalog).packing_minutes == 0


def test_workers_and_training_share_the_cores_of_a_cpu(monkeypatch):
    monkeypatch.setattr(loading_time, "available_cores", lambda: 2)
    cpu = TrainerSettings(accelerator="cpu", num_threads=2)
    gpu = TrainerSettings(accelerator="cuda", num_threads=2)
    files = LoadingTime("files", 0.01, 0, workers=2)
    assert files.seconds_per_step(1.0, cpu, 100) == pytest.approx(1.5)
    assert files.seconds_per_step(1.0, gpu, 100) == pytest.approx(1.0)
    assert files.seconds_per_step(0.1, gpu, 100) == pytest.approx(0.5)
    assert LoadingTime("packed", 0.01, 100, 2).seconds_per_step(1.0, cpu, 100) == 1.0
