"""What is done to a method before its first step: groups, batch norm over processes, copies.

Seen to fail with a group's own rate or decay ignored, with batch norm left as it was on two
processes, and with momentum copies of the untrained network after `init_from`.
"""

from dataclasses import replace

import pytest
import torch

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.batches import EpochPlan
from ssl_host.pipeline.run import run_config
from ssl_host.toolkit.batchnorm import SyncBatchNorm
from ssl_host.train.module import PretrainModule
from ssl_host.train.param_groups import make_optimizer
from ssl_host.train.probe import OnlineProbe
from ssl_host.train.trainer_setup import prepare_network
from tests.conftest import tiny


def test_a_groups_own_rate_and_decay_reach_torch(catalog):
    config = resolve_sections(tiny(method={"name": "barlowtwins"}), catalog)
    method = compose(config).method
    optimizer = ssl_host.build("optimizer", "sgd", lr=0.5, weight_decay=0.01, decay="all")
    groups = {group["name"]: group for group in make_optimizer(method, optimizer, 0.5).param_groups}
    assert groups["weights"]["lr"] == groups["weights"]["peak_lr"] == 0.5
    assert groups["weights"]["weight_decay"] == 0.01
    assert groups["biases"]["peak_lr"] == pytest.approx(0.5 * 0.024)
    assert groups["biases"]["weight_decay"] == 0.0


class _Module:
    channels_last = False

    def __init__(self, experiment):
        self.experiment = experiment
        self.method = experiment.method
        self.probe = OnlineProbe(experiment.config.probe, 8, 3, seed=0)


@pytest.mark.parametrize(("name", "shared"), [("simclr", True), ("mocov2", False)])
def test_batch_norm_is_shared_by_processes_unless_the_method_says_no(name, shared, catalog):
    experiment = compose(resolve_sections(tiny(method={"name": name}), catalog))
    for world_size in (1, 2):
        module = _Module(experiment)
        prepare_network(module, "cpu", world_size)
        kinds = {
            type(m)
            for m in module.method.modules()
            if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)
        }
        assert (kinds == {SyncBatchNorm}) == (shared and world_size == 2), (kinds, world_size)
        assert (type(module.probe.norm) is SyncBatchNorm) == (world_size == 2)


def test_every_process_draws_dropout_of_its_own(catalog):
    """Seen to fail: the seed was made before a process knew which one it was."""
    experiment = compose(resolve_sections(tiny(), catalog))
    seeds = set()
    for rank in (0, 1):
        module = PretrainModule(experiment, EpochPlan(40, 8, 0, world_size=2), None)
        module.plan = replace(module.plan, rank=rank)
        module._seed_step(0)
        seeds.add(torch.default_generator.initial_seed())
    assert len(seeds) == 2


BYOL_THAT_LOOKS = """
import torch
from ssl_host import hookimpl
from ssl_plugin_byol.method import BYOL


class Looking(BYOL):
    def step(self, batch):
        if self.progress.step == 0:
            for a, b in zip(self.backbone.parameters(), self.ema_backbone.parameters()):
                assert torch.equal(a, b), "the copy is not the network's"
        return super().step(batch)


@hookimpl
def register_methods(register):
    register("looking", "ssl_plugin_looking:Looking")
"""


def test_momentum_copies_start_from_the_loaded_backbone_too(install, tmp_path):
    install("ssl-plugin-looking", BYOL_THAT_LOOKS)
    catalog = Catalog()
    first = tiny(run={"dir": tmp_path, "name": "first"})
    run_config(resolve_sections(first, catalog), catalog)
    second = tiny(
        run={"dir": tmp_path, "name": "second", "init_from": tmp_path / "first"},
        method={"name": "looking"},
    )
    assert run_config(resolve_sections(second, catalog), catalog).results["steps"] == 6
