"""Exporters: base class for writing a trained backbone for another program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component
from ssl_host.contracts.networks import Backbone


@dataclass(frozen=True)
class ModelCard:
    """Format-specific content of a model card.

    Attributes:
        usage: Python code that loads the files from the current folder and computes features.
        notes: Markdown paragraph after the code.
        metadata: front matter of the card, for model hubs; JSON values by key.
    """

    usage: str
    notes: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Exporter(Component):
    """Base class of exporters, which write a trained backbone in the format of another program.

    ``ssl-host export RUN --to NAME`` (in ssl-plugin-export) uses the exporter of that name.
    """

    kind: ClassVar[str] = "exporter"

    main_file: ClassVar[str] = ""
    """Name of the file with the weights, for messages."""

    def refusal(self, backbone: Backbone) -> str:
        """Return why a backbone cannot be written in this format; empty if it can."""
        return ""

    def write(self, backbone: Backbone, folder: Path, properties: Mapping[str, str]) -> ModelCard:
        """Write the files of the format into a folder.

        Args:
            backbone: in evaluation mode; must not be changed.
            folder: an existing, empty folder.
            properties: what a user of the files has to know, as text: ``input``, ``output``,
                ``mean``, ``std``, ``image_size``, ``method``, ``data``, ``ssl_host`` (version).

        Returns:
            The parts of the model card that depend on the format.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no write")
