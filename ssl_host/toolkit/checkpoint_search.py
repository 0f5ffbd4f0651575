"""Search for the weights of a backbone in a checkpoint, under any container and prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_host.contracts.networks import Backbone
from ssl_host.errors import CheckpointError
from ssl_host.toolkit.checkpoint_keys import (
    KeyMapping,
    KeyMatch,
    StoredWeights,
    list_containers,
    match_keys,
)

OWN_CONTAINER = "method"
"""Name of a container that occurs only in ssl-host's checkpoints."""

Containers = Mapping[str, Mapping[str, Tensor]]
"""Tensors in each container (dictionary) of a file, keyed by the name of the container."""


def match_backbone(backbone: Backbone, stored: StoredWeights) -> tuple[nn.Module, KeyMatch]:
    """Return the backbone or the network that it wraps, whichever fits better, and the match."""
    module = backbone.export()[0]
    # Checkpoints use the wrapper's tensor names; all other files use the wrapped network's.
    networks = [module] if module is backbone else [module, backbone]
    return best_match(
        (network, match_keys(network, stored, _WeightConverter(backbone, network)))
        for network in networks
    )


def best_match(matches: Iterable[tuple[nn.Module, KeyMatch]]) -> tuple[nn.Module, KeyMatch]:
    """Return the first match without problems, or else the one with the most tensors."""
    found = []
    for pair in matches:
        if not pair[1].problems:
            return pair
        found.append(pair)
    return max(found, key=lambda pair: len(pair[1].tensors))


class _WeightConverter:
    """Callable that converts tensors, named as in ``network``, to the shapes of a backbone."""

    def __init__(self, backbone: Backbone, network: nn.Module) -> None:
        self.backbone = backbone
        module = backbone.export()[0]
        self.shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
        self.prefix = _prefix_of(module, network)

    def __call__(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Return all tensors, and a note for each that was converted."""
        own = {name.removeprefix(self.prefix): tensor for name, tensor in tensors.items()}
        if all(own[name].shape == shape for name, shape in self.shapes.items() if name in own):
            return dict(tensors), []
        adapted = dict(self.backbone.adapt_weights(own))
        for name, shape in self.shapes.items():
            if name in adapted:
                adapted[name] = adapt_channels(adapted[name], shape, self.backbone.in_channels)
        notes = [
            f"{name} was converted from shape {tuple(tensor.shape)} to {tuple(adapted[name].shape)}"
            for name, tensor in own.items()
            if adapted[name].shape != tensor.shape
        ]
        return {name: adapted[name.removeprefix(self.prefix)] for name in tensors}, notes


def _prefix_of(module: nn.Module, network: nn.Module) -> str:
    """Return the prefix of a module's tensor names in a network that contains the module."""
    name = next((name for name, child in network.named_modules() if child is module), "")
    return f"{name}." if name else ""


def adapt_channels(weight: Tensor, shape: torch.Size, channels: int) -> Tensor:
    """Return the weight of a first convolution for another number of input channels.

    Like timm's ``adapt_input_conv``: one input channel gets the sum of the weights; otherwise they
    are repeated and scaled, so that the response to equal channels stays the same.

    Args:
        weight: the weight, shape (D, C, h, w).
        shape: shape of the network's weight; unless it is (D, ``channels``, h, w), the weight is
            returned unchanged.
        channels: number of channels of the images.
    """
    others_equal = weight.shape[:1] == shape[:1] and weight.shape[2:] == shape[2:]
    if len(shape) != 4 or shape[1] != channels or not others_equal or weight.shape == shape:
        return weight
    given = weight.shape[1]
    if channels == 1:
        return weight.float().sum(dim=1, keepdim=True).to(weight.dtype)
    repeated = weight.repeat(1, -(-channels // given), 1, 1)[:, :channels]
    return (repeated.float() * (given / channels)).to(weight.dtype)


def search_backbone(
    backbone: Backbone,
    containers: Containers,
    schemes: Iterable[KeyMapping],
    prefixes: Sequence[str] | None = None,
) -> Iterator[KeyMatch]:
    """Yield the match of a backbone for each container and prefix that may hold its weights.

    Args:
        backbone: the backbone.
        containers: the containers to search.
        schemes: naming schemes to try; their prefixes are ignored.
        prefixes: the prefixes to try; None to try all that occur in the file.
    """
    module = backbone.export()[0]
    adapter = _WeightConverter(backbone, module)
    first = next(iter(module.state_dict()), "")
    tried: list[KeyMapping] = []
    for scheme in (replace(scheme, prefix="") for scheme in schemes):
        if scheme in tried:
            continue
        tried.append(scheme)
        for container, tensors in containers.items():
            for prefix in prefixes or _prefixes(scheme.file_name(first), tensors):
                mapping = replace(scheme, prefix=prefix)
                yield match_keys(module, _stored(tensors, mapping, container), adapter)


def _prefixes(name: str, names: Iterable[str]) -> list[str]:
    """Return the prefixes with which a tensor's name occurs in a checkpoint."""
    return [key[: -len(name)] for key in names if key == name or key.endswith(f".{name}")]


def _stored(tensors: Mapping[str, Tensor], mapping: KeyMapping, container: str) -> StoredWeights:
    """Return tensors together with a single naming scheme."""
    return StoredWeights(tensors, lambda _: iter([mapping]), container)


def distinct_matches(matches: Iterable[KeyMatch]) -> list[KeyMatch]:
    """Return the matches without problems, but only the first of those with equal tensors."""
    found: list[KeyMatch] = []
    for match in matches:
        if not match.problems and not any(_equal(match, other) for other in found):
            found.append(match)
    return found


def _equal(first: KeyMatch, second: KeyMatch) -> bool:
    """Return True if two matches of one network have the same tensors."""
    return all(torch.equal(t, second.tensors[name]) for name, t in first.tensors.items())


def find_other_networks(
    backbone: Backbone, match: KeyMatch, containers: Containers, schemes: Iterable[KeyMapping]
) -> list[KeyMatch]:
    """Find other networks in a checkpoint that fit the backbone but have different tensors.

    Args:
        backbone: the backbone.
        match: the match that would be used.
        containers: the containers of the file.
        schemes: naming schemes to try.

    Returns:
        The matches of the other networks; none for a checkpoint of ssl-host, whose other networks
        belong to the run.
    """
    if OWN_CONTAINER in containers:
        return []  # its other networks belong to the run, such as EMA copies
    used = containers.get(match.container, {})
    others = {
        name: tensors
        for name, tensors in containers.items()
        if name and not (tensors.keys() == used.keys() and all(tensors[n] is used[n] for n in used))
    }
    module = backbone.export()[0]
    names = module.state_dict().keys()
    prefix = "" if names <= match.tensors.keys() else _prefix_of(module, backbone)
    chosen = replace(match, tensors={name: match.tensors[f"{prefix}{name}"] for name in names})
    found = distinct_matches(search_backbone(backbone, others, schemes))
    return [other for other in found if not _equal(chosen, other)]


def add_note_on_others(match: KeyMatch, others: Sequence[KeyMatch]) -> KeyMatch:
    """Return a copy of a match with a note that names the containers of the other matches."""
    if not others:
        return match
    names = ", ".join(dict.fromkeys(other.container for other in others))
    note = f"not used, although they also fit: {names} (choose one with [run] init_key)"
    return replace(match, notes=[*match.notes, note])


def select_container(containers: Containers, key: str | None, file: Path) -> Containers:
    """Return the containers to search: the one named ``key``, or all if ``key`` is None.

    The unnamed container is left out if a named one has the same tensor names.

    Raises:
        CheckpointError: when there is no such container; the message lists those in the file.
    """
    if key is not None:
        if key in containers:
            return {key: containers[key]}
        raise CheckpointError(
            f"[run] init_key = {key}: {file} has no such container; it contains "
            f"{list_containers(containers)}"
        )
    usual = containers.get("", {}).keys()
    is_repeated = any(name and usual == each.keys() for name, each in containers.items())
    return {name: each for name, each in containers.items() if name or not is_repeated}


def ambiguity_error(matches: Sequence[KeyMatch], file: Path) -> CheckpointError:
    """Return the error to raise when several networks in a file fit a backbone."""
    choices = [
        ", ".join(
            part
            for part in (
                f"init_key = {match.container}" if match.container else "",
                f"init_prefix = {match.mapping.prefix}" if match.mapping.prefix else "",
            )
            if part
        )
        for match in matches
    ]
    return CheckpointError(
        f"{file} contains several networks that fit the backbone; choose one in [run]: "
        f"{'; or '.join(choice or 'the names without a prefix' for choice in choices)}"
    )


def misfit_error(
    backbone: Backbone, match: KeyMatch, containers: Containers, file: Path, hint: str
) -> CheckpointError:
    """Return an error that explains why the tensors in a file do not fit a backbone.

    Args:
        backbone: the backbone.
        match: the closest match.
        containers: the containers of the file.
        file: path of the file.
        hint: additional advice for the end of the message, such as a plugin to install.
    """
    if not match.tensors:
        expected = list(backbone.export()[0].state_dict())
        return CheckpointError(
            f"{file} does not contain weights of this backbone: the backbone has "
            f"{next(iter(expected), '?')} and {len(expected) - 1} more tensors, but the file has "
            f"{list_containers(containers)}; to use a part of the file, set [run] init_key and "
            f"init_prefix{hint}"
        )
    problems = match.problems
    return CheckpointError(
        f"{file} does not fit the backbone: {'; '.join(problems[:3])}"
        + (f" and {len(problems) - 3} more" if len(problems) > 3 else "")
        + f"; use the same [backbone] settings, image size and channels{hint}"
    )
