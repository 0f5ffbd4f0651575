"""Networks that receive no gradient: EMA copies and frozen pretrained networks."""

from __future__ import annotations

import copy
import functools
import hashlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

FINGERPRINT = "fingerprint"
"""Key that replaces the weights of a frozen network in the state of a method."""


def make_ema_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network that receives no gradient and is deterministic.

    Dropout and stochastic depth in the copy are always off. Its batch norms follow the mode of the
    method and keep their own statistics, as in BYOL (arXiv:2006.07733, appendix J).
    """
    ema_copy = copy.deepcopy(network).requires_grad_(False)
    # An instance attribute, so that every call of `train()`, by the method or by Lightning, has
    # this effect.
    ema_copy.train = functools.partial(train_batchnorm_only, ema_copy)  # type: ignore[method-assign]
    ema_copy.train()
    return ema_copy


def train_batchnorm_only(network: nn.Module, mode: bool = True) -> nn.Module:
    """Set batch norms to training or not, everything else to evaluation; return the network."""
    for module in network.modules():
        # Set the attribute: `.train()` of timm's batch norms would switch on their dropout.
        module.training = mode and isinstance(module, _BatchNorm)
    return network


@torch.no_grad()
def update_ema(ema_copy: nn.Module, online: nn.Module, ema_decay: float) -> None:
    """Set the parameters of an EMA copy to ``ema_decay`` · copy + (1 − ``ema_decay``) · online.

    Buffers are not changed: the copy keeps its own batch-norm statistics, as in BYOL
    (arXiv:2006.07733, Appendix J) and in MoCo's key encoder.
    """
    targets: list[Tensor] = [*ema_copy.parameters()]
    sources: list[Tensor] = [*online.parameters()]
    if targets:
        torch._foreach_lerp_(targets, sources, 1.0 - ema_decay)


def freeze(network: nn.Module) -> nn.Module:
    """Freeze a network and return it: no gradient, always in evaluation mode.

    Instead of its weights, ``state_dict`` contains their hash, and ``load_state_dict`` refuses a
    state that was saved with different weights.
    """
    network.requires_grad_(False)
    network.eval()
    network.train = functools.partial(_stay_in_eval_mode, network)  # type: ignore[method-assign]
    network._register_state_dict_hook(_save_fingerprint)
    network._register_load_state_dict_pre_hook(_check_fingerprint, with_module=True)
    return network


def _stay_in_eval_mode(network: nn.Module, _mode: bool = True) -> nn.Module:
    """Return a frozen network unchanged: its ``train`` method, so that it stays as it is."""
    return network


def fingerprint(network: nn.Module) -> Tensor:
    """Return a hash of the weights and buffers of a frozen network: (32,), uint8."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    # Hashing a large teacher takes seconds, and every checkpoint asks for the hash.
    state = tuple((tensor.data_ptr(), tensor._version, tensor.dtype) for _, tensor in tensors)
    cached = network.__dict__.get("_fingerprint")
    if cached is not None and cached[0] == state:
        hashed: Tensor = cached[1].clone()
        return hashed
    hashed = _hash(tensors)
    network.__dict__["_fingerprint"] = state, hashed
    return hashed.clone()


def _hash(tensors: list[tuple[str, Tensor]]) -> Tensor:
    """Return a hash of named tensors: (32,), uint8."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        # float32: the hash must not change if the run casts the network to float64.
        values = tensor.detach().cpu().float().contiguous()
        digest.update(name.encode() + values.numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def _save_fingerprint(
    network: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any
) -> None:
    """Replace the weights of a frozen network in the state of its method with their hash."""
    if not prefix:
        return  # the state of this network alone, for example to load weights
    for key in [key for key in state if key.startswith(prefix)]:
        del state[key]
    state[prefix + FINGERPRINT] = fingerprint(network)


def _check_fingerprint(
    network: nn.Module,
    state: dict[str, Any],
    prefix: str,
    _metadata: Any,
    _strict: bool,
    _missing: list[str],
    _unexpected: list[str],
    errors: list[str],
) -> None:
    """Add a message to ``errors`` if the saved hash is not that of the network's weights.

    The weights are not changed.
    """
    if not prefix:
        return
    saved = state.pop(prefix + FINGERPRINT, None)
    if saved is not None and not torch.equal(saved.cpu(), fingerprint(network)):
        errors.append(
            f"the frozen network {prefix.rstrip('.')} has different weights than when the "
            "checkpoint was saved"
        )
    tensors = [*network.named_parameters(), *network.named_buffers()]
    state.update({prefix + name: tensor.detach() for name, tensor in tensors})
