"""Read checkpoints of other projects, which name a backbone's tensors differently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from ssl_host import OWN_PREFIXES, CheckpointError, KeyMapping, StoredWeights, read_containers

FOREIGN_PREFIXES = (
    *("online_network.", "encoder.", "module.backbone.", "module.", "model."),
    *("feature_extractor.", "feature_extractor.backbone."),
    *("teacher_backbone.", "student_backbone."),  # lightly: the teacher is evaluated
    *("module.encoder_q.", "encoder_q."),  # MoCo: its authors evaluate the query encoder
    *("module.base_encoder.", "base_encoder."),  # MoCo v3
    "module.encoder.",  # SimSiam
    "online_network.encoder.",  # BYOL of lightning-bolts
    "teacher.backbone.",  # DINOv2
)
"""Prefixes of the names of backbone tensors in checkpoints of other projects."""

TEACHERS = ("teacher", "target_encoder", "state_dict_ema", "model_ema")
"""Containers with the moving average of a network, which the authors evaluate."""

SHORTCUT = {"downsample.": "shortcut."}
"""Replacement in tensor names: lightly's ResNet calls ``downsample`` layers ``shortcut``."""

_NUMBERED = re.compile(r"(^|\.)\d+\.\d+\.conv1\.")
"""Part of the name of a tensor in a ResNet whose layers are numbered."""

SEQUENTIAL = "numbered like the layers of a Sequential"
LIGHTLY_RESNET = "with the names of lightly's ResNet"
POOLED_NORM = "with the final norm after the mean of the patches"
LIGHTLY_SEQUENTIAL = (
    "numbered like the layers of lightly's ResNet in a Sequential, which was trained without the "
    "ReLU after the first batch norm that this network has"
)


def read_checkpoint(path: Path) -> StoredWeights | None:
    """Return the tensors of another project's checkpoint, with schemes to rename them.

    Args:
        path: a safetensors file, or any file written by ``torch.save``. No code in it is executed.

    Returns:
        The tensors and naming schemes, or None if the file cannot be read or nothing in it follows
        a known scheme. If the file has a teacher and a student, the tensors are the teacher's.
    """
    try:
        containers = read_containers(path)
    except CheckpointError:
        return None  # another plugin may read it; otherwise the host reports the error
    teacher = next((name for name in TEACHERS if name in containers), "")
    tensors = containers[teacher]
    if not teacher and not any(map(_is_foreign, tensors)):
        return None
    return StoredWeights(tensors, key_mappings, teacher)


def key_mappings(network: nn.Module) -> Iterator[KeyMapping]:
    """Yield the naming schemes to try for a network, the most common first."""
    children = dict(network.named_children())
    with_weights = [name for name, child in children.items() if child.state_dict()]
    schemes = [
        KeyMapping(),
        # lightly's examples: nn.Sequential(*list(resnet.children())[:-1])
        KeyMapping(description=SEQUENTIAL, children=_numbers(children)),
        # The same for lightly's own ResNet, which uses functions for activations, not layers.
        KeyMapping(
            description=LIGHTLY_SEQUENTIAL, children=_numbers(with_weights), substrings=SHORTCUT
        ),
        KeyMapping(description=LIGHTLY_RESNET, substrings=SHORTCUT),
    ]
    if getattr(network, "global_pool", "") == "avg":
        # timm's transformers that average their patches, and MAE's after fine-tuning.
        schemes.append(KeyMapping(description=POOLED_NORM, children={"norm": "fc_norm"}))
    for scheme in schemes:
        # Other projects also use ssl-host's prefixes, with renamed layers.
        for prefix in (*OWN_PREFIXES, *FOREIGN_PREFIXES):
            yield replace(scheme, prefix=prefix)


def _numbers(names: Iterable[str]) -> dict[str, str]:
    """Return the position of each name as text, as in the state dict of an nn.Sequential."""
    return {name: str(number) for number, name in enumerate(names)}


def _is_foreign(name: str) -> bool:
    """Return True if a tensor's name follows the naming scheme of another project."""
    if name.startswith(FOREIGN_PREFIXES) or ".shortcut." in name or "fc_norm." in name:
        return True
    return bool(_NUMBERED.search(name))
