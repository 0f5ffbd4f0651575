"""Under what names other projects keep a network's weights, and the way back to its own names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

PREFIXES = (
    *("", "backbone.", "online_network.", "encoder.", "module.backbone.", "module.", "model."),
    *("feature_extractor.", "feature_extractor.backbone.", "student_backbone."),
)
"""What may stand in front of every name; ``backbone.`` is ours, solo-learn's and lightly's."""

CUT = (
    "as lightly numbers its own ResNet, which so cut was trained without the ReLU after the first "
    "batch norm that this network has"
)
_BESIDE = 5
"""How many groups of other tensors a sentence lists."""


@dataclass(frozen=True)
class KeyMapping:
    """A way to name the tensors of a network.

    Attributes:
        prefix: stands in front of every name.
        words: what it is like, where names differ by more than the prefix.
        children: the network's children by their names to what they are called; others keep
            their names.
        shortcut: whether a block's ``downsample`` is called ``shortcut``.
    """

    prefix: str = ""
    words: str = ""
    children: Mapping[str, str] = field(default_factory=dict)
    shortcut: bool = False

    def outside(self, name: str) -> str:
        """A name of the network, as the file has it."""
        child, dot, rest = name.partition(".")
        renamed = rest.replace("downsample.", "shortcut.") if self.shortcut else rest
        return f"{self.prefix}{self.children.get(child, child)}{dot}{renamed}"

    def inside(self, name: str) -> str | None:
        """A name of the file, as the network would have it; None without the prefix."""
        if not name.startswith(self.prefix):
            return None
        child, dot, rest = name.removeprefix(self.prefix).partition(".")
        own = {theirs: ours for ours, theirs in self.children.items()}.get(child, child)
        renamed = rest.replace("shortcut.", "downsample.") if self.shortcut else rest
        return f"{own}{dot}{renamed}"


@dataclass(frozen=True)
class StoredWeights:
    """The tensors of a checkpoint and the naming schemes under which they may fit a network.

    Attributes:
        tensors: by the names in the file.
        mappings: naming schemes to try for a network, in order.
    """

    tensors: Mapping[str, Tensor]
    mappings: Callable[[nn.Module], Iterator[KeyMapping]]


@dataclass(frozen=True)
class KeyMatch:
    """How the tensors of a file fit a network under one layout.

    Attributes:
        found: tensors by the network's names; all of them where there are no faults.
        faults: what is missing, of another shape or too much, by the file's names.
        left_out: the file's other tensors.
    """

    layout: KeyMapping
    found: Mapping[str, Tensor]
    faults: Sequence[str]
    left_out: Sequence[str]

    def told(self) -> str:
        """Which tensors were taken and which were not, in a few words."""
        told = f"{len(self.found)} tensors"
        if self.layout.prefix:
            told += f" under {self.layout.prefix[:-1]}"
        if self.layout.words:
            told += f", {self.layout.words}"
        if self.left_out:
            depth = self.layout.prefix.count(".") + 1
            groups = Counter(
                ".".join(name.split(".")[: depth if name.startswith(self.layout.prefix) else 1])
                for name in self.left_out
            )
            beside = [f"{name} ({count})" for name, count in groups.most_common(_BESIDE)]
            more = "" if len(groups) <= _BESIDE else f" and {len(groups) - _BESIDE} others"
            told += f"; left out: {', '.join(beside)}{more}"
        return told


def match_keys(network: nn.Module, tensors: Mapping[str, Tensor]) -> KeyMatch:
    """The layout under which tensors fit a network, or the one that comes closest."""
    closest = None
    for layout in _layouts(network):
        one = _fit(network, layout, tensors)
        if not one.faults:
            return one
        if closest is None or len(one.found) > len(closest.found):
            closest = one
    assert closest is not None
    return closest


def _layouts(network: nn.Module) -> Iterator[KeyMapping]:
    children = dict(network.named_children())
    weighted = [name for name, child in children.items() if child.state_dict()]
    forms = (
        KeyMapping(),
        # lightly's examples: nn.Sequential(*list(resnet.children())[:-1])
        KeyMapping(words="numbered as the layers of a Sequential", children=_numbered(children)),
        # The same of lightly's own ResNet, whose activations are functions and no layers.
        KeyMapping(words=CUT, children=_numbered(weighted), shortcut=True),
        KeyMapping(words="as lightly names its ResNet", shortcut=True),
    )
    for form in forms:
        for prefix in PREFIXES:
            yield KeyMapping(prefix, form.words, form.children, form.shortcut)


def _numbered(names: Mapping[str, nn.Module] | Sequence[str]) -> dict[str, str]:
    return {name: str(number) for number, name in enumerate(names)}


def _fit(network: nn.Module, layout: KeyMapping, tensors: Mapping[str, Tensor]) -> KeyMatch:
    wanted = network.state_dict()
    places = {name: layout.outside(name) for name in wanted}
    found = {name: tensors[place] for name, place in places.items() if place in tensors}
    faults = [f"{place} is missing" for name, place in places.items() if name not in found]
    faults += [
        f"{places[name]} is {tuple(tensor.shape)} and should be {tuple(wanted[name].shape)}"
        for name, tensor in found.items()
        if tensor.shape != wanted[name].shape
    ]
    taken = {places[name] for name in found}
    left_out = [name for name in tensors if name not in taken]
    if not faults:
        faults += [
            f"{name} has no place in it"
            for name in left_out
            if _belongs(network, found, layout.inside(name))
        ]
    return KeyMatch(layout, found, faults, left_out)


def _belongs(network: nn.Module, found: Mapping[str, Tensor], name: str | None) -> bool:
    """Whether a tensor that was not wanted is part of the same network, which then is another one.

    The first blocks of a ResNet-34 are those of a ResNet-18. A classifier is no such part: an
    identity stands in its place.
    """
    if name is None or name.split(".")[0] not in {own.split(".")[0] for own in found}:
        return False
    owner, _, _ = name.rpartition(".")
    try:
        return bool(network.get_submodule(owner).state_dict())
    except AttributeError:
        return True
