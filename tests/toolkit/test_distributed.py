"""Tests that gathering, shuffling and batch norm over two processes equal one process."""

import copy

import torch
from torch import nn

from ssl_host import gather, gather_offset, shuffle_keys, unshuffle_keys
from ssl_host.testing import run_distributed
from ssl_host.toolkit.batchnorm import (
    SyncBatchNorm,
    localise_batchnorm,
    synchronise_batchnorm,
)
from ssl_host.toolkit.distributed import rank
from tests.processes import close


def rows(seed=0, count=8, dim=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64)


def gathering():
    mine = rows().chunk(2)[rank()].clone().requires_grad_()
    gathered = gather(mine)
    weights = rows(seed=rank() + 1)  # a different loss in each process
    (gathered * weights).square().sum().backward()
    return gathered.detach(), gather_offset(mine), mine.grad


def test_gather_is_in_order_of_rank_with_summed_gradient():
    found = run_distributed(gathering)
    whole = rows().requires_grad_()
    sum((whole * rows(seed=r + 1)).square().sum() for r in range(2)).backward()
    for number, (gathered, offset, gradient) in enumerate(found):
        assert torch.equal(gathered, rows())
        assert offset == 4 * number
        assert close(gradient, whole.grad[4 * number : 4 * number + 4])


def shuffling():
    images = torch.arange(8.0).view(8, 1, 1, 1).chunk(2)[rank()]
    shuffled, order = shuffle_keys(images, seed=5)
    keys = shuffled.flatten(1) * 10
    return shuffled.flatten(), unshuffle_keys(keys, order).flatten(), order


def test_unshuffle_returns_keys_in_the_order_of_their_images():
    found = run_distributed(shuffling)
    assert torch.equal(torch.cat([f[0] for f in found]).sort().values, torch.arange(8.0))
    assert not torch.equal(found[0][0], torch.arange(4.0))
    for number, (_, keys, order) in enumerate(found):
        assert torch.equal(keys, 10 * torch.arange(8.0)[4 * number : 4 * number + 4])
        assert torch.equal(order, found[0][2])


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)]
    return nn.Sequential(*layers, nn.BatchNorm1d(5, affine=False)).double()


def images():
    return rows(count=6, dim=72).view(6, 2, 6, 6)


def normalising():
    model = synchronise_batchnorm(network())
    own = images().chunk(2)[rank()]
    out = model(own)
    (out * rows(seed=3, count=6, dim=5).chunk(2)[rank()]).sum().backward()
    gradients = []
    for parameter in model.parameters():
        torch.distributed.all_reduce(parameter.grad)
        gradients.append(parameter.grad)
    return out.detach(), gradients, dict(model.named_buffers())


def test_sync_batchnorm_of_two_processes_equals_one():
    found = run_distributed(normalising)
    model = network()
    out = model(images())
    (out * rows(seed=3, count=6, dim=5)).sum().backward()
    assert close(torch.cat([f[0] for f in found]), out.detach())
    for _, gradients, buffers in found:
        assert all(close(g, p.grad) for g, p in zip(gradients, model.parameters(), strict=True))
        assert all(close(buffers[n].double(), b.double()) for n, b in model.named_buffers())


def test_synchronise_batchnorm_keeps_parameters_without_a_process_group():
    model = network()
    names = dict(model.named_parameters())
    before = model(images())
    twin = synchronise_batchnorm(model)
    assert isinstance(twin[1], SyncBatchNorm)
    assert all(p is names[n] for n, p in twin.named_parameters())
    assert torch.allclose(twin(images()), before)
    assert twin.eval()(images()).shape == (6, 5)


def test_local_batchnorm_undoes_a_synchronised_one():
    model = network()
    expected = model(images())
    for synchronise in (synchronise_batchnorm, torch.nn.SyncBatchNorm.convert_sync_batchnorm):
        local = localise_batchnorm(synchronise(copy.deepcopy(model)))
        assert not any(
            isinstance(m, SyncBatchNorm | torch.nn.SyncBatchNorm) for m in local.modules()
        )
        assert torch.equal(local(images()), expected)


def gathering_twice():
    a = torch.ones(2, dtype=torch.float64, requires_grad=True)
    b = torch.ones(2, dtype=torch.float64, requires_grad=True)
    (gather(a) + gather(b)).square().sum().backward()
    return a.grad, b.grad


def test_sum_of_two_gathers_has_correct_gradients():
    for grads in run_distributed(gathering_twice):
        for grad in grads:
            assert grad.tolist() == [8.0, 8.0]
