"""Load the weights of a method's frozen networks."""

from __future__ import annotations

import json
from pathlib import Path

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone
from ssl_host.initial_weights import load_initial_weights
from ssl_host.weights import DESCRIPTION


def load_frozen_weights(method: Method, config: RunConfig, catalog: Catalog) -> list[str]:
    """Load the weights of a method's frozen networks, and return notes about them.

    A network with neither ``init_from`` nor pretrained weights keeps its random weights; a note
    warns about this.
    """
    notes = []
    for component in config.of_kind("backbone"):
        if component.section == "backbone":
            continue
        network: Backbone = getattr(method, component.instance)
        if component.init_from is not None:
            notes.append(load_initial_weights(network, component.init_from, catalog))
            network.mean, network.std = _stored_statistics(component.init_from)
        elif not getattr(component.settings, "pretrained", False) and not getattr(
            component.settings, "weights", None
        ):
            notes.append(
                f"warning: the frozen network [{component.section}] has random weights; set "
                "init_from or pretrained = true in its section"
            )
    return notes


def _stored_statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std of each channel stored next to weights; two empty tuples if none."""
    folder = path if path.is_dir() else path.parent
    try:
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return tuple(map(float, about["mean"])), tuple(map(float, about["std"]))
    except (OSError, ValueError, KeyError, TypeError):
        return (), ()
