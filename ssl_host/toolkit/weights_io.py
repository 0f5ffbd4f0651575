"""Tensors on the disk, by name: safetensors, and what is safe to read of anyone's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ssl_host.errors import CheckpointError
from ssl_host.toolkit.atomic_io import atomic_write
from ssl_host.toolkit.safe_unpickle import safe_load

Tensors = dict[str, Tensor]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file beside and rename it."""
    atomic_write(path, save(dict(tensors)))


def read_tensors(file: Path) -> Tensors:
    """All tensors of a file by name; of a checkpoint, those of the network.

    Args:
        file: safetensors, or anything of ``torch.save``. Nothing in it is executed: objects that
            are no tensors are left out.

    Raises:
        CheckpointError: when it is damaged, holds no tensors by name, or would run commands where
            it is opened without care.
    """
    if file.suffix == ".safetensors":
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file} is damaged or no safetensors file: {error}") from None
    try:
        state = safe_load(file)
    except Exception as error:  # torch raises pickle's, zip's and its own errors
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{file} cannot be read as plain weights ({reason}); a pickle that holds more than "
            "tensors could run any code and is not opened. Ask its maker for a safetensors file"
        ) from None
    for key in ("state_dict", "method", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{file} holds a {type(state).__name__}, not weights by name")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
