"""Write safetensors files, and read safetensors and ``torch.save`` files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ssl_host.errors import CheckpointError
from ssl_host.toolkit.atomic_io import atomic_write
from ssl_host.toolkit.safe_unpickle import Placeholder, safe_load

Tensors = dict[str, Tensor]

_MAX_DEPTH = 4
"""Largest depth at which dictionaries in a checkpoint are searched."""
_OPTIMIZER = re.compile(
    r"(?:\w+_)?opt(?:im(?:izer)?)?s?(?:_(?:\w+_)?(?:states?|dicts?))?", re.IGNORECASE
)
"""Names of dictionaries with the state of optimizers, which may have tensors for each weight."""
_WRAPPERS = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Names that torch.compile, FSDP and activation checkpointing insert into tensor names."""


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
    return read_containers(file).get(WEIGHTS_CONTAINER, {})


WEIGHTS_CONTAINER = ""
"""Key of the weights that :func:`read_tensors` returns, in the result of ``read_containers``."""


def read_containers(file: Path) -> dict[str, Tensors]:
    """Return the tensors in each container (dictionary) of a file, keyed by container name.

    A training checkpoint of DINO has the containers ``student`` and ``teacher``; a nested one has
    a dotted key, such as ``model.trunk``. Optimizer states are left out.

    Args:
        file: a file as for :func:`read_tensors`.

    Returns:
        The tensors of each container, keyed by name. The key ``""`` stands for the weights that
        ``read_tensors`` returns: those in ``state_dict``, ``method`` or ``model``, or at
        the top level.

    Raises:
        CheckpointError: as for :func:`read_tensors`.
    """
    if file.suffix == ".safetensors":
        try:
            return {WEIGHTS_CONTAINER: load_file(file)}
        except (SafetensorError, OSError) as error:
            message = f"{file} is damaged or not a safetensors file: {error}"
            raise CheckpointError(message) from None
    try:
        state = safe_load(file)
    except Exception as error:  # torch raises pickle's, zip's and its own errors
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{file} cannot be read as plain weights ({reason}). Other pickled objects are not "
            "loaded, because they can execute arbitrary code; ask the author for a safetensors "
            "file."
        ) from None
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"{file} contains {_describe(state)}, not a dictionary of tensors; save the network's "
            "state_dict() instead"
        )
    containers = {WEIGHTS_CONTAINER: _tensors(_usual_weights(state))}
    return containers | dict(_find_containers(state))


def _describe(state: object) -> str:
    """Return what a file contains instead of a dictionary, for a message."""
    return "a pickled object" if isinstance(state, Placeholder) else f"a {type(state).__name__}"


def _usual_weights(state: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the part of a checkpoint where Lightning, ssl-host and others store the weights."""
    for key in ("state_dict", "method", "model"):
        if isinstance(state.get(key), Mapping):
            state = state[key]
    return state


def _find_containers(state: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, Tensors]]:
    """Yield the key path and the tensors of each dictionary in a checkpoint that has tensors."""
    tensors = _tensors(state)
    if tensors and path:
        yield path, tensors
    for key, value in state.items():
        if (
            isinstance(value, Mapping)
            and path.count(".") < _MAX_DEPTH
            and not _OPTIMIZER.fullmatch(str(key))
        ):
            yield from _find_containers(value, f"{path}.{key}" if path else str(key))


def _tensors(state: Mapping[Any, Any]) -> Tensors:
    """Return the tensors in a dictionary, without wrapper names such as torch.compile's."""
    return {
        _WRAPPERS.sub("", str(name)): value
        for name, value in state.items()
        if isinstance(value, Tensor)
    }
