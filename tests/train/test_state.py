"""The training state: what a checkpoint holds is restored to the bit."""

import io

import pytest
import torch
from pytorch_lightning.plugins import Precision

from ssl_host.compose import compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.errors import CheckpointError
from ssl_host.train.loop import make_state
from ssl_host.train.param_groups import make_optimizer
from ssl_host.train.state import TrainingState
from ssl_host.train.training_step import TrainingStep
from tests.conftest import tiny

PLAN = EpochPlan(48, 16, seed=1)


def make_step(catalog, **sections):
    """Return a training step with its optimizer."""
    trainer = {"accelerator": "cpu", "precision": "32-true"}
    config = resolve_auto(resolve_sections(tiny(trainer=trainer, **sections), catalog))
    experiment = compose(config)
    step = TrainingStep(experiment, PLAN, make_state(experiment, PLAN, num_classes=4))
    return step, make_optimizer(experiment.method, experiment.optimizer, 0.05)


def raw_batch(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return RawBatch(images, torch.arange(16), torch.arange(16) % 4, epoch=0)


def test_restored_state_continues_bit_equal(catalog):
    sections = {
        "method": {"name": "mocov2", "queue_size": 40},
        "scheduler": {"warmup_epochs": 0},
    }
    step, optimizer = make_step(catalog, **sections)
    step.state.bind(optimizer, Precision())
    for seed in range(3):
        step.run(raw_batch(seed), optimizer)
    step.state.finish_epoch()
    step.state.timer.earlier_s = 12.5
    file = io.BytesIO()
    torch.save(step.state.state_dict(), file)

    twin, twin_optimizer = make_step(catalog, **sections)
    file.seek(0)
    twin.state.load_state_dict(torch.load(file, weights_only=True))
    twin.state.bind(twin_optimizer, Precision())
    assert (twin.state.step, twin.state.epoch, twin.state.step_in_epoch) == (3, 1, 0)
    assert twin.method.progress == step.state.progress
    assert twin.state.timer.earlier_s == 12.5
    for each, its_optimizer in ((step, optimizer), (twin, twin_optimizer)):
        each.run(raw_batch(3), its_optimizer)
    assert torch.equal(step.loss, twin.loss)
    for key in ("method", "probe"):
        expected, actual = (each.state.state_dict()[key] for each in (step, twin))
        assert_equal(expected, actual)
    assert_equal(optimizer.state_dict(), twin_optimizer.state_dict())


def assert_equal(expected, actual):
    """Compare nested dictionaries and lists with tensors."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(expected, actual)
    elif isinstance(expected, dict):
        assert expected.keys() == actual.keys()
        for key, value in expected.items():
            assert_equal(value, actual[key])
    elif isinstance(expected, list | tuple):
        for one, other in zip(expected, actual, strict=True):
            assert_equal(one, other)
    else:
        assert expected == actual


def test_state_of_another_network_is_an_error(catalog):
    step, optimizer = make_step(catalog)
    step.state.bind(optimizer, Precision())
    wider, _ = make_step(catalog, backbone={"width": 16})
    with pytest.raises(CheckpointError, match=r"a different network: .*size mismatch.*--fresh"):
        wider.state.load_state_dict(step.state.state_dict())


def test_epoch_of_a_skipped_step_is_that_of_its_batch():
    """With one step an epoch, two skipped steps are two epochs without a step."""
    state = TrainingState(None, epochs=9, steps_per_epoch=1)
    for advance in (state.skip_step, state.skip_step, state.finish_step):
        advance()
        during = state.epoch_of_last_step
        state.finish_epoch()
        assert state.epoch_of_last_step == during == state.epoch
    assert (state.step, state.epoch) == (1, 3)
