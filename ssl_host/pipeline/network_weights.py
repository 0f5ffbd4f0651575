"""Load the weights of networks ``[backbone.NAME]``, such as those of frozen networks."""

from __future__ import annotations

import json
from pathlib import Path

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.run_config import ComponentConfig, RunConfig
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone
from ssl_host.initial_weights import load_initial_weights
from ssl_host.weights import DESCRIPTION


def load_frozen_weights(
    method: Method, config: RunConfig, catalog: Catalog
) -> tuple[list[str], list[str]]:
    """Load the weights of a method's frozen networks, and return notes and warnings about them.

    A network with neither ``init_from`` nor pretrained weights keeps its random weights, about
    which there is a warning.
    """
    notes: list[str] = []
    warnings: list[str] = []
    for name in method.frozen:
        component = config.components[f"backbone.{name}"]
        loaded = load_section_weights(getattr(method, name), component, catalog)
        if loaded is None:
            warnings.append(
                f"the frozen network [{component.section}] has random weights; set "
                "init_from or pretrained = true in its section"
            )
        notes += filter(None, [loaded])
    return notes, warnings


def load_section_weights(
    network: Backbone, component: ComponentConfig, catalog: Catalog
) -> str | None:
    """Load the weights that ``init_from`` of a section names, with their mean and std.

    Args:
        network: the network of the section ``[backbone.NAME]``.
        component: the configuration of the section.
        catalog: the catalog of installed components.

    Returns:
        A note on the weights, empty if the backbone has loaded weights itself; None if the network
        has random weights.
    """
    if component.init_from is not None:
        note = load_initial_weights(network, component.init_from, catalog)
        network.mean, network.std = _stored_statistics(component.init_from)
        return note
    settings = component.settings
    has_own = getattr(settings, "pretrained", False) or getattr(settings, "weights", None)
    return "" if has_own else None


def _stored_statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std of each channel stored next to weights; two empty tuples if none."""
    folder = path if path.is_dir() else path.parent
    try:
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return tuple(map(float, about["mean"])), tuple(map(float, about["std"]))
    except (OSError, ValueError, KeyError, TypeError):
        return (), ()
