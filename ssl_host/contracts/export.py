"""Exporters: a trained backbone written for another program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component
from ssl_host.contracts.networks import Backbone
from ssl_host.contracts.settings import Settings


class Exporter(Component):
    """Writes a trained backbone in the format of another program."""

    kind: ClassVar[str] = "exporter"

    def __init__(self, config: Settings) -> None:
        self.config: Any = config
        self.setup()

    def refusal(self, backbone: Backbone) -> str:
        """Return why a backbone cannot be written in this format; empty if it can."""
        return ""

    def write(
        self, backbone: Backbone, folder: Path, properties: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Write the files of the format into a folder.

        Args:
            backbone: in evaluation mode.
            folder: an existing, empty folder.
            properties: what a user of the file has to know, as text: input, mean, std, ...

        Returns:
            Values for the template of the model card.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no write")
