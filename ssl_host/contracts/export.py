"""Base class of exporters, which write a trained backbone in a format for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component
from ssl_host.contracts.networks import Backbone


@dataclass(frozen=True)
class ModelCard:
    """Parts of a model card that depend on the export format.

    Attributes:
        usage: Python code that loads the files from the current folder and computes features.
        notes: a Markdown paragraph that follows the code.
        metadata: JSON-compatible entries for the card's front matter, which model hubs read.
    """

    usage: str
    notes: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Exporter(Component):
    """Base class of exporters, which write a trained backbone in a format for other programs.

    ``ssl-host export RUN --to NAME`` (from ssl-plugin-export) uses the exporter with that name.
    """

    kind: ClassVar[str] = "exporter"

    main_file: ClassVar[str] = ""
    """Name of the file with the weights, for messages."""

    def refusal(self, backbone: Backbone) -> str:
        """Return the reason why a backbone cannot be written in this format, or an empty string."""
        return ""

    def write(self, backbone: Backbone, folder: Path, properties: Mapping[str, str]) -> ModelCard:
        """Write a trained backbone to a folder and return the format's parts of the model card.

        Args:
            backbone: the trained backbone, in evaluation mode; do not change it.
            folder: an existing, empty folder.
            properties: facts that users of the files need, as strings with the keys ``input``,
                ``output``, ``mean``, ``std``, ``image_size``, ``fit``, ``value_range`` (JSON),
                ``method``, ``data`` and ``ssl_host`` (the version).

        Returns:
            The parts of the model card that depend on the format.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement write()")
