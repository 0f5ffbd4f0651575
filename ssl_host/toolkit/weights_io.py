"""Writes safetensors files, and reads weights from safetensors and ``torch.save`` files."""

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
    """Write tensors to a safetensors file, atomically.

    Args:
        path: path of the file.
        tensors: tensors keyed by name, such as a ``state_dict``, on any device.
    """
    atomic_write(path, save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))


def read_tensors(file: Path) -> Tensors:
    """Return the tensors in a file, keyed by name; for a training checkpoint, only the weights.

    Args:
        file: path of a safetensors file or of a file written by ``torch.save``. Code in the file
            is never executed: objects that are not tensors are skipped.

    Raises:
        CheckpointError: when the file is damaged, does not contain named tensors, or would execute
            code if ``pickle`` opened it.
    """
    if file.suffix == ".safetensors":
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            message = f"{file} is damaged or not a safetensors file: {error}"
            raise CheckpointError(message) from None
    try:
        state = safe_load(file)
    except Exception as error:  # torch raises pickle's, zip's and its own errors
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{file} cannot be read as plain weights ({reason}); a pickle with more than tensors "
            "can execute any code, so it is not opened. Ask its author for a safetensors file"
        ) from None
    for key in ("state_dict", "method", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{file} contains a {type(state).__name__}, not tensors by name")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
