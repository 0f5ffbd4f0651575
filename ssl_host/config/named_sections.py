"""Sections that a setting of another section names, and the host's own keys of components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class HostKey:
    """Key that the host itself reads in the section of a component.

    Attributes:
        annotation: type of its value.
        description: its meaning, as for a setting of a component.
    """

    annotation: Any
    description: str


NETWORK_KEYS = {
    "init_from": HostKey(
        Path | None,
        "weights of the network: a run folder, an export folder, a .safetensors file or a "
        "checkpoint",
    )
}
"""Keys of the sections ``[backbone.NAME]``, besides ``name`` and the settings of the backbone."""
EVALUATOR_KEYS = {
    "data": HostKey(
        str | None,
        "NAME of the section [data.NAME] whose images are evaluated; default: the images of [data]",
    )
}
"""Keys of the sections ``[evaluator.NAME]``, besides ``name`` and the evaluator's settings."""


def names_of_sections(kind: str, cls: Any) -> Mapping[str, str]:
    """Return the settings of a component that name a section, keyed by setting: the section's kind.

    Args:
        kind: kind of the component, such as ``baseline``.
        cls: class of the component.
    """
    host = {"data": "data"} if kind == "evaluator" else {}
    return {**host, **cls.named_sections}


def named_section(kind: str, name: str) -> str:
    """Return the section that ``name`` names: ``data.flowers`` for ``flowers``, and for itself."""
    return name if name.startswith(f"{kind}.") else f"{kind}.{name}"
