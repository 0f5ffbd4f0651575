"""Setup before the first step: parameter groups, batch norm, seeds, EMA copies."""

import pytest
import torch

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.pipeline.run import run_config
from ssl_host.toolkit.batchnorm import SyncBatchNorm
from ssl_host.train.loop import make_state
from ssl_host.train.param_groups import make_optimizer
from ssl_host.train.probe import OnlineProbe
from ssl_host.train.trainer_setup import prepare_networks
from ssl_host.train.training_step import TrainingStep
from tests.conftest import tiny


def test_make_optimizer_uses_lr_scale_and_weight_decay_of_groups(catalog):
    config = resolve_sections(tiny(method={"name": "barlowtwins"}), catalog)
    method = compose(config).method
    optimizer = ssl_host.build("optimizer", "sgd", lr=0.5, weight_decay=0.01, decay_params="all")
    groups = {group["name"]: group for group in make_optimizer(method, optimizer, 0.5).param_groups}
    assert groups["weights"]["lr"] == groups["weights"]["peak_lr"] == 0.5
    assert groups["weights"]["weight_decay"] == 0.01
    assert groups["biases"]["peak_lr"] == pytest.approx(0.5 * 0.024)
    assert groups["biases"]["weight_decay"] == 0.0


@pytest.mark.parametrize(("name", "shared"), [("simclr", True), ("mocov2", False)])
def test_prepare_networks_synchronises_batchnorm_unless_disabled(name, shared, catalog):
    config = resolve_auto(resolve_sections(tiny(method={"name": name}), catalog))
    experiment, settings = compose(config), config.trainer
    for world_size in (1, 2):
        probe = OnlineProbe(experiment.config.probe, 8, 3, seed=0)
        prepare_networks(experiment.method, probe, settings, world_size)
        kinds = {
            type(m)
            for m in experiment.method.modules()
            if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)
        }
        assert (kinds == {SyncBatchNorm}) == (shared and world_size == 2), (kinds, world_size)
        assert (type(probe.norm) is SyncBatchNorm) == (world_size == 2)


def test_compile_on_compiles_the_networks_that_a_step_calls(catalog, monkeypatch):
    calls = []

    def record_calls(function, **_):
        def compiled(*args, **kwargs):
            calls.append(type(function.__self__).__name__)
            return function(*args, **kwargs)

        return compiled

    monkeypatch.setattr(torch, "compile", record_calls)
    sections = tiny(trainer={"compile": "on"})
    experiment = compose(resolve_auto(resolve_sections(sections, catalog)))
    prepare_networks(experiment.method, None, experiment.config.trainer, processes=1)
    plan = EpochPlan(40, 8, seed=0)
    step = TrainingStep(experiment, plan, make_state(experiment, plan, num_classes=0))
    images = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    step.forward(RawBatch(images, torch.arange(8), None, epoch=0))
    assert type(experiment.method.backbone).__name__ in calls
    assert "MLP" in calls


def test_random_numbers_of_a_step_differ_between_ranks(catalog):
    experiment = compose(resolve_sections(tiny(), catalog))
    images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    seeds = set()
    for rank in (0, 1):
        plan = EpochPlan(40, 8, seed=0, rank=rank, world_size=2)
        step = TrainingStep(experiment, plan, make_state(experiment, plan, num_classes=0))
        step.forward(RawBatch(images, torch.arange(4), None, epoch=0))
        seeds.add(torch.default_generator.initial_seed())
    assert len(seeds) == 2


CHECKING_BYOL = """
import torch
from ssl_host import hookimpl
from ssl_plugin_byol.method import BYOL


class CheckingBYOL(BYOL):
    def step(self, batch):
        if self.progress.step == 0:
            for a, b in zip(self.backbone.parameters(), self.ema_backbone.parameters()):
                assert torch.equal(a, b), "the EMA copy differs from the backbone"
        return super().step(batch)


@hookimpl
def register_methods(register):
    register("checking", "ssl_plugin_checking:CheckingBYOL")
"""


def test_ema_copies_start_from_the_initial_weights(install, tmp_path):
    install("ssl-plugin-checking", CHECKING_BYOL)
    catalog = Catalog()
    first = tiny(run={"dir": tmp_path, "name": "first"})
    run_config(resolve_sections(first, catalog), catalog)
    second = tiny(
        run={"dir": tmp_path, "name": "second", "init_from": tmp_path / "first"},
        method={"name": "checking"},
    )
    assert run_config(resolve_sections(second, catalog), catalog).results["steps"] == 6
