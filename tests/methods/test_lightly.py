"""Losses on two processes equal lightly's, where lightly gathers from all processes.

The loss of Barlow Twins is left out: lightly standardises each process's columns by themselves.
Comparisons on one process are among the tests of each loss.
"""

import lightly.loss
import pytest
import torch

import ssl_host
from ssl_host.testing import run_distributed
from ssl_host.testing.distributed import distance
from ssl_host.toolkit.distributed import rank, world_size

COUNT, WIDTH = 8, 6


def nt_xent(z1, z2):
    theirs = lightly.loss.NTXentLoss(temperature=0.2, gather_distributed=True)
    return ssl_host.build("loss", "nt_xent", temperature=0.2)(z1, z2), theirs(z1, z2)


def vicreg(z1, z2):
    theirs = lightly.loss.VICRegLoss(gather_distributed=True)
    return ssl_host.build("loss", "vicreg")(z1, z2), theirs(z1, z2)


def tico(z1, z2):
    """With the covariance after the first batch of all processes, which lightly starts at zero."""
    theirs = lightly.loss.TiCoLoss(beta=0.9, rho=8.0, gather_distributed=True)
    loss = theirs(z1, z2)
    return ssl_host.build("loss", "tico")(z1, z2, theirs.C), loss


def swav(z1, z2):
    theirs = lightly.loss.SwaVLoss(sinkhorn_gather_distributed=True)
    return ssl_host.build("loss", "swav")(z1, z2), theirs([z1, z2], []).squeeze()


LOSSES = [nt_xent, vicreg, tico, swav]


def results():
    """Return each pair's values and gradients, ours first, on this process's half of the rows."""
    rows = torch.randn(2, COUNT, WIDTH, generator=torch.Generator().manual_seed(0)).double()
    rows = rows / rows.norm(dim=-1, keepdim=True)
    pair = [z.chunk(world_size())[rank()].clone().requires_grad_() for z in rows]
    return [
        [(loss.detach(), *torch.autograd.grad(loss, pair)) for loss in compare(*pair)]
        for compare in LOSSES
    ]


@pytest.fixture(scope="module")
def found():
    """One start of two processes for all losses."""
    return run_distributed(results)


@pytest.mark.parametrize("number", range(len(LOSSES)), ids=[f.__name__ for f in LOSSES])
def test_loss_on_two_processes_equals_lightlys(number, found):
    """The mean value of the processes, and the gradients, which come from the losses of both."""
    pairs = [process[number] for process in found]
    values = torch.tensor([[values[0] for values in pair] for pair in pairs]).mean(dim=0)
    assert distance(*values) < 1e-6
    for (_, *ours), (_, *theirs) in pairs:
        assert all(distance(a, b) < 1e-6 for a, b in zip(ours, theirs, strict=True))
