"""Match tensor names in a checkpoint to tensor names in a network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

OWN_PREFIXES = ("", "backbone.")
"""Prefixes of tensor names in files that ssl-host writes."""

_MAX_GROUPS = 5
"""Largest number of groups of tensors that a message lists."""


@dataclass(frozen=True)
class KeyMapping:
    """Naming scheme: how a checkpoint names the tensors of a network.

    Attributes:
        prefix: text at the start of every name in the file, such as ``backbone.``.
        description: description for messages, if there is more to the scheme than a prefix.
        children: maps the names of the network's direct children to their names in the file;
            children that are not listed have the same name in both.
        substrings: replacements in the rest of each name: ``{"downsample.": "shortcut."}`` if
            the file says ``shortcut.`` where the network says ``downsample.``.
    """

    prefix: str = ""
    description: str = ""
    children: Mapping[str, str] = field(default_factory=dict)
    substrings: Mapping[str, str] = field(default_factory=dict)

    def file_name(self, name: str) -> str:
        """Return the name in the file of the network's tensor ``name``."""
        child, dot, rest = name.partition(".")
        for own, stored in self.substrings.items():
            rest = rest.replace(own, stored)
        return f"{self.prefix}{self.children.get(child, child)}{dot}{rest}"

    def network_name(self, name: str) -> str | None:
        """Return the name in the network of the file's tensor ``name``; None without the prefix."""
        if not name.startswith(self.prefix):
            return None
        child, dot, rest = name.removeprefix(self.prefix).partition(".")
        own_children = {stored: own for own, stored in self.children.items()}
        for own, stored in self.substrings.items():
            rest = rest.replace(stored, own)
        return f"{own_children.get(child, child)}{dot}{rest}"


@dataclass(frozen=True)
class StoredWeights:
    """Tensors of a checkpoint, with the naming schemes that may match them to a network.

    Attributes:
        tensors: the tensors, keyed by their names in the file.
        mappings: function that takes a network and returns the naming schemes to try, in order.
        container: name of the dictionary in the file that holds the tensors, such as ``teacher``;
            empty for the weights that :func:`~ssl_host.toolkit.weights_io.read_tensors` returns.
    """

    tensors: Mapping[str, Tensor]
    mappings: Callable[[nn.Module], Iterator[KeyMapping]]
    container: str = ""


AdaptWeights = Callable[[Mapping[str, Tensor]], tuple[dict[str, Tensor], list[str]]]
"""Function that takes tensors keyed by their names in a network, converts those of another image
size or number of channels, and returns all tensors with a note for each conversion."""


@dataclass(frozen=True)
class KeyMatch:
    """Result of matching a checkpoint's tensors to a network under one naming scheme.

    Attributes:
        mapping: the naming scheme.
        tensors: the tensors that were found, keyed by their names in the network; complete if there
            are no problems.
        problems: messages about tensors that are missing, have a different shape, or are not part
            of the network.
        unused: names of the tensors in the file that have no counterpart in the network.
        container: name of the dictionary in the file that holds the tensors, as in
            :class:`StoredWeights`.
        notes: descriptions of the tensors that were converted to the network's image size and
            number of channels.
    """

    mapping: KeyMapping
    tensors: Mapping[str, Tensor]
    problems: Sequence[str]
    unused: Sequence[str]
    container: str = ""
    notes: Sequence[str] = ()

    def describe(self) -> str:
        """Return text for messages: which tensors are used, which are not, and the notes."""
        text = f"{len(self.tensors)} tensors"
        if self.mapping.prefix:
            text += f" under {self.mapping.prefix.removesuffix('.')}"
        if self.container:
            text += f" in {self.container}"
        if self.mapping.description:
            text += f", {self.mapping.description}"
        if self.unused:
            text += f"; not used: {list_groups(self.unused, self.mapping.prefix)}"
        return "; ".join([text, *self.notes])


def own_weights(tensors: Mapping[str, Tensor]) -> StoredWeights:
    """Return tensors together with the naming schemes that ssl-host uses in its own files."""
    return StoredWeights(tensors, lambda _: (KeyMapping(prefix) for prefix in OWN_PREFIXES))


def match_keys(
    network: nn.Module, stored: StoredWeights, adapt: AdaptWeights | None = None
) -> KeyMatch:
    """Match the tensors in a checkpoint to a network, by name and shape.

    Args:
        network: the network.
        stored: the tensors, with the naming schemes to try.
        adapt: function that converts tensors of another shape; None to convert none.

    Returns:
        The match under the first naming scheme that has no problems, or else the match with the
        most tensors.
    """
    matches = []
    expected = network.state_dict()
    for mapping in stored.mappings(network):
        match = _match(network, expected, mapping, stored, adapt)
        if not match.problems:
            return match
        matches.append(match)
    return max(matches, key=lambda match: len(match.tensors))


def list_groups(names: Sequence[str], prefix: str = "") -> str:
    """Return text that counts names by their first component: ``layer1 (12), fc (2)``.

    The five largest groups are listed.

    Args:
        names: names of tensors.
        prefix: prefix such as ``backbone.``; names are grouped by all components up to the first
            that is not in the prefix.
    """
    path = prefix.split(".")[:-1]
    groups = Counter(_group_name(name.split("."), path) for name in names)
    listed = [f"{name} ({count})" for name, count in groups.most_common(_MAX_GROUPS)]
    more = "" if len(groups) <= _MAX_GROUPS else f" and {len(groups) - _MAX_GROUPS} others"
    return f"{', '.join(listed)}{more}"


def _group_name(name: list[str], path: list[str]) -> str:
    """Return the leading components that a name shares with a path, plus the next one."""
    depth = next((i for i, (a, b) in enumerate(zip(name, path, strict=False)) if a != b), len(path))
    return ".".join(name[: depth + 1])


def list_containers(containers: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Return text that counts the tensors of a file: ``teacher: backbone (150), head (8)``.

    Args:
        containers: tensors of each dictionary in the file, keyed by the name of the dictionary.
    """
    texts = []
    for container, tensors in containers.items():
        if tensors:
            parents = [name.replace(".", "/").rpartition("/")[0] for name in tensors]
            shared = os.path.commonpath(parents).replace("/", ".")
            groups = list_groups(list(tensors), f"{shared}." if shared else "")
            texts.append(f"{container}: {groups}" if container else groups)
    return "; ".join(texts) or "no tensors"


def _match(
    network: nn.Module,
    expected: Mapping[str, Tensor],
    mapping: KeyMapping,
    stored: StoredWeights,
    adapt: AdaptWeights | None,
) -> KeyMatch:
    """Return the match of a checkpoint's tensors with a network's state under one scheme."""
    names_in_file = stored.tensors
    file_names = {name: mapping.file_name(name) for name in expected}
    tensors = {name: names_in_file[key] for name, key in file_names.items() if key in names_in_file}
    counters = [
        name
        for name, key in file_names.items()
        if tensors and key not in names_in_file and name.endswith("num_batches_tracked")
    ]
    # Files of old versions of torch lack these counters, which only count training steps.
    tensors |= {name: expected[name] for name in counters}
    notes = [f"{len(counters)} counters num_batches_tracked are not in the file"] * bool(counters)
    if adapt is not None and len(tensors) == len(expected):
        tensors, converted = adapt(tensors)
        notes += converted
    problems = [f"{key} is missing" for name, key in file_names.items() if name not in tensors]
    problems += [
        f"{file_names[name]} has shape {tuple(tensor.shape)}, expected "
        f"{tuple(expected[name].shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != expected[name].shape
    ]
    used = {file_names[name] for name in tensors}
    unused = [key for key in names_in_file if key not in used]
    if not problems:
        children = {name.split(".")[0] for name in tensors}
        problems += [
            f"{key} is not part of the network"
            for key in unused
            if _is_of_larger_network(network, children, mapping.network_name(key))
        ]
    return KeyMatch(mapping, tensors, problems, unused, stored.container, notes)


def _is_of_larger_network(network: nn.Module, children: set[str], name: str | None) -> bool:
    """Return True if an unused tensor shows that the file comes from a larger network.

    For example, the first blocks of a ResNet-34 fit a ResNet-18. A classifier in the file does not
    count, because the network has an identity in its place.
    """
    if name is None or name.split(".")[0] not in children:
        return False
    owner, _, _ = name.rpartition(".")
    try:
        return bool(network.get_submodule(owner).state_dict())
    except AttributeError:
        return True
