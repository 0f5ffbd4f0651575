"""Conformance checks for losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.distributed import average_gradients, distance, run_distributed
from ssl_host.testing.method_checks import BATCH_SIZES, TOLERANCE
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.distributed import rank, world_size

BATCH_SIZE = 8
DIM = 12


def _embeddings(count: int) -> list[Tensor]:
    """Return random embeddings (B, D) of two views, which require gradients."""
    generator = torch.Generator().manual_seed(count)
    pair = torch.randn(2, count, DIM, generator=generator, dtype=torch.float64)
    return [z.requires_grad_() for z in pair.unbind()]


def settings_declared(target: CheckTarget) -> str:
    """Check that the loss reads only settings that its Config declares."""
    settings, read, unknown = track_reads(target.make_settings())
    target.make(settings)(*_embeddings(BATCH_SIZE))
    return check_recorded_reads(target, read, unknown)


def finite_loss(target: CheckTarget) -> str:
    """Check that the loss of two batches of embeddings is a finite scalar with a gradient."""
    loss = target.make()
    for count in BATCH_SIZES:
        embeddings = _embeddings(count)
        value = loss(*embeddings)
        if value.ndim or not torch.isfinite(value):
            raise CheckFailure(
                f"the loss of {count} embeddings is {value.detach().tolist()}",
                "training needs a finite scalar",
                "take the mean over images",
            )
        gradients = torch.autograd.grad(value, embeddings, allow_unused=True)
        if all(g is None or not g.any() for g in gradients):
            raise CheckFailure(
                "no gradient reaches the embeddings",
                "the method cannot learn",
                "detach at most one of them, and compute nothing under no_grad()",
            )
    return ""


def degenerate_embeddings(target: CheckTarget) -> str:
    """Check that all-zero and identical embeddings give a finite loss and finite gradients."""
    loss = target.make()
    ones = torch.ones(6, DIM, dtype=torch.float64)
    for name, rows in (("zero", torch.zeros_like(ones)), ("all equal", ones)):
        embeddings = [rows.clone().requires_grad_(), rows.clone().requires_grad_()]
        value = loss(*embeddings)
        gradients = torch.autograd.grad(value, embeddings, allow_unused=True)
        infinite = [g for g in gradients if g is not None and not torch.isfinite(g).all()]
        if infinite or not torch.isfinite(value):
            raise CheckFailure(
                f"embeddings that are {name} give {'a gradient' if infinite else 'a loss'} that "
                "is not finite",
                "dead units or a collapse would end the run with NaN instead of a warning",
                "use functional.normalize, and add an epsilon inside square roots",
            )
    return ""


def batch_order(target: CheckTarget) -> str:
    """Check that the loss does not depend on the order of the images in the batch."""
    loss = target.make()
    embeddings = _embeddings(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    error = distance(loss(*(z[order] for z in embeddings)).detach(), loss(*embeddings).detach())
    if error > TOLERANCE:
        raise CheckFailure(
            f"with the images in a different order the loss differs by {error:.1e}",
            "training would depend on how files are sorted",
            "pair row i of one view with row i of the other, and treat all other rows the same",
        )
    return f"error {error:.0e}"


def one_process_equals_two(target: CheckTarget) -> str:
    """Check that two processes compute the same gradient as one process with the whole batch."""
    expected = _gradient(target)
    for actual in run_distributed(_gradient, target):
        error = distance(actual, expected)
        if error > TOLERANCE:
            raise CheckFailure(
                f"on two processes the gradient is off by {error:.1e}",
                "the result would depend on the number of GPUs",
                "compare images over all processes with ssl_host.gather(z), offset labels by "
                "gather_offset(z), and take the mean over this process's own images",
            )
    return ""


def _gradient(target: CheckTarget) -> Tensor:
    """Return the gradient, averaged over processes, of a linear layer that feeds the loss."""
    loss = target.make()
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(DIM, DIM, generator=generator, dtype=torch.float64))
    size = BATCH_SIZE // world_size()
    share = slice(rank() * size, (rank() + 1) * size)
    first, second = (z.detach()[share] @ weight for z in _embeddings(BATCH_SIZE))
    loss(first, second).backward()
    average_gradients([weight])
    assert weight.grad is not None
    return weight.grad
