"""Tests that two processes with half a batch each equal one process, for every method."""

import pytest
import torch
import torch.distributed as dist

from ssl_host import Batch
from ssl_host.testing import run_distributed
from ssl_host.testing.distributed import average_gradients
from ssl_host.toolkit.batchnorm import synchronise_batchnorm
from tests.methods.cases import METHODS, small, views
from tests.processes import close

COUNT = 8
STEPS = 3


def steps(name, rank, world_size, **settings):
    """Make three SGD steps on this process's share; return the gradients and the final state."""
    method = small(name, **settings)
    if world_size > 1 and method.sync_batchnorm:
        synchronise_batchnorm(method)
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    gradients = []
    for step in range(STEPS):
        share = [view.chunk(world_size)[rank] for view in views(COUNT, seed=step)]
        out = method.step(Batch(share, torch.arange(COUNT).chunk(world_size)[rank]))
        optimizer.zero_grad()
        out.loss.backward()
        average_gradients(parameters)
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))
        optimizer.step()
        method.finish_step(out, step, STEPS)
    return gradients, {k: v.clone() for k, v in method.state_dict().items()}


def work(name):
    return steps(name, dist.get_rank(), dist.get_world_size())


@pytest.mark.parametrize("name", [m for m in METHODS if m != "mocov2"])
def test_two_processes_equal_one(name):
    """Gradients, parameters, EMA copies and queues agree to a relative 1e-9, at float64."""
    expected_gradients, expected = steps(name, 0, 1)
    for actual_gradients, actual in run_distributed(work, name):
        for a, b in zip(actual_gradients, expected_gradients, strict=True):
            assert close(a, b)
        for key, value in expected.items():
            if key == "queue.rows":
                continue
            assert close(actual[key].double(), value.double()), key
        if "queue.rows" in expected:
            rows = torch.cdist(actual["queue.rows"], expected["queue.rows"])
            assert rows.min(dim=1).values.max() < 1e-9
            assert rows.min(dim=0).values.max() < 1e-9


def train_moco(permutations):
    """Train MoCo with separate statistics per process and known permutations of the keys."""
    import ssl_plugin_mocov2.method as module

    original = module.shuffle_keys
    module.shuffle_keys = lambda images, seed: original(images, permutations[seed])
    return steps("mocov2", dist.get_rank(), dist.get_world_size())


def test_moco_on_two_processes_equals_one_with_split_batch_norm(monkeypatch):
    """Statistics per process equal those of bn_splits = 2 with the same permutations."""
    import ssl_plugin_mocov2.method as module

    permutations = {step: step + 100 for step in range(STEPS)}
    original = module.shuffle_keys
    shuffled = []

    def record(images, seed):
        shuffled.append(seed)
        return original(images, permutations[seed])

    monkeypatch.setattr(module, "shuffle_keys", record)
    expected_gradients, expected = steps("mocov2", 0, 1, bn_splits=2)
    assert shuffled == list(permutations)
    for actual_gradients, actual in run_distributed(train_moco, permutations):
        for a, b in zip(actual_gradients, expected_gradients, strict=True):
            assert close(a, b)
        for key, value in expected.items():
            if "running" in key or "tracked" in key:
                continue  # each process has statistics of its own half
            assert close(actual[key].double(), value.double()), key
