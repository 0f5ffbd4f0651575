"""Batch normalisation with statistics over all processes, and with those of given images.

torch's SyncBatchNorm does not accept CPU tensors; this one does. Gradients flow through the sums
over all processes, so two gloo processes compute the same result as one process.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_host.toolkit.distributed import world_size
from ssl_host.toolkit.sampling import evenly_spaced_indices

CALIBRATION_BATCH_SIZE = 256
"""Number of images in each batch with which batch norms are recalibrated."""
CALIBRATION_BATCHES = 16
"""Largest number of batches with which batch norms are recalibrated."""


class _SumOverProcesses(torch.autograd.Function):
    """Autograd function that sums a tensor over all processes, forward and backward."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the batch of all processes (Ioffe & Szegedy, arXiv:1502.03167)."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(
                f"SyncBatchNorm expects a tensor (B, C, ...) with at least 2 dimensions, not "
                f"{input.dim()}"
            )

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        values = input if input.dtype == torch.float64 else input.float()
        count = torch.full((1,), values.numel() / values.shape[1], device=values.device)
        sums = torch.cat([values.sum(dim=axes), count.to(values.dtype)])
        total: Tensor = _SumOverProcesses.apply(sums)
        number = total[-1].detach()
        mean = total[:-1] / number
        # Two passes, because E[x²] - E[x]² loses half of the digits if the mean is large.
        centred = values - mean.view(shape)
        squares: Tensor = _SumOverProcesses.apply(centred.square().sum(dim=axes))
        variance = squares / number
        self._update_running_stats(mean.detach(), variance.detach(), number)
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _update_running_stats(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        """Update the running mean and variance from the statistics of one batch."""
        if not self.track_running_stats:
            return
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked += 1
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * (number / (number - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)


class LocalBatchNorm(_BatchNorm):
    """Batch normalisation over the batch of this process, for any number of dimensions."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def synchronise_batchnorm(module: nn.Module) -> nn.Module:
    """Replace every batch norm in a module by a :class:`SyncBatchNorm` and return the module.

    The module is changed in place; if it is itself a batch norm, its replacement is returned. Each
    replacement shares the original's parameters and buffers.
    """
    return _replace_batchnorm(module, SyncBatchNorm)


def localise_batchnorm(module: nn.Module) -> nn.Module:
    """Replace every batch norm in a module by one over this process alone and return the module.

    It undoes :func:`synchronise_batchnorm` and torch's ``convert_sync_batchnorm``, in place.
    """
    return _replace_batchnorm(module, LocalBatchNorm)


def _replace_batchnorm(module: nn.Module, cls: type[_BatchNorm]) -> nn.Module:
    """Replace every batch norm in a module by one of a class that shares its tensors."""
    if isinstance(module, _BatchNorm) and not isinstance(module, cls):
        # On the meta device it needs no memory; it gets the original's parameters and buffers.
        replacement = cls(
            module.num_features,
            module.eps,
            module.momentum,
            module.affine,
            module.track_running_stats,
            device="meta",
        )
        replacement._parameters = module._parameters
        replacement._buffers = module._buffers
        replacement.training = module.training
        return replacement
    for name, child in module.named_children():
        replacement_child = _replace_batchnorm(child, cls)
        if replacement_child is not child:
            setattr(module, name, replacement_child)
    return module


@torch.no_grad()
def recalibrate_batchnorm(
    network: nn.Module,
    images: Any,
    transform: Callable[[Tensor], Tensor],
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Return a copy of a network with batch-norm statistics computed from images.

    With its initial statistics, a random network would be 15 percentage points less accurate, and a
    comparison would attribute this difference to pretraining.

    Args:
        network: the network.
        images: uint8 array (N, C, H, W) that a tensor of indices can index; at most 4096 evenly
            spaced images are used.
        transform: function that turns a batch of images into the network's input.
        device: device of the network.

    Returns:
        The copy, in evaluation mode; its statistics are the means over all batches.
    """
    network = copy.deepcopy(network)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return network
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the cumulative mean over all batches
    network.train()
    size = CALIBRATION_BATCH_SIZE
    sample = evenly_spaced_indices(len(images), CALIBRATION_BATCHES * size)
    count = len(sample)
    sample = sample[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    for i in range(0, count - count % size or count, size):
        network(transform(images[sample[i : i + size]].to(device)))
    return network.eval()
