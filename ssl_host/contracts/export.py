"""Base class of exporters, which write a trained backbone in the format of another program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component
from ssl_host.contracts.networks import Backbone


@dataclass(frozen=True)
class ModelCard:
    """Record of the parts of a model card that depend on the export format.

    Attributes:
        usage: Python code that loads the files from the current folder and computes features.
        notes: Markdown paragraph that follows the code.
        metadata: JSON values by key for the front matter of the card, which model hubs read.
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
        """Return the reason why a backbone cannot be written in this format; empty if it can."""
        return ""

    def write(self, backbone: Backbone, folder: Path, properties: Mapping[str, str]) -> ModelCard:
        """Write a trained backbone into a folder, and return the format's parts of the model card.

        Args:
            backbone: the trained backbone, in evaluation mode; must not be changed.
            folder: an existing, empty folder.
            properties: facts that a user of the files needs, as text by name: ``input``,
                ``output``, ``mean``, ``std``, ``image_size``, ``method``, ``data`` and
                ``ssl_host`` (its version).

        Returns:
            The parts of the model card that depend on the format.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no write")
