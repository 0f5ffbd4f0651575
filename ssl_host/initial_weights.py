"""Initialise backbones with weights from ssl-host's runs or from other projects."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.schema import RunSettings
from ssl_host.contracts.networks import Backbone
from ssl_host.errors import CheckpointError, UserError
from ssl_host.toolkit.checkpoint_keys import KeyMapping, KeyMatch, own_weights
from ssl_host.toolkit.checkpoint_search import (
    Containers,
    add_note_on_others,
    ambiguity_error,
    best_match,
    distinct_matches,
    find_other_networks,
    match_backbone,
    misfit_error,
    search_backbone,
    select_container,
)
from ssl_host.toolkit.weights_io import WEIGHTS_CONTAINER, read_containers
from ssl_host.weights import HUB_WEIGHTS, WEIGHTS, find_weights

CHECKPOINTS_PLUGIN = "ssl-plugin-checkpoints"
"""Distribution that reads checkpoints from other projects; named only in messages."""


def load_initial_weights(
    backbone: Backbone,
    path: str | Path,
    catalog: Catalog | None = None,
    *,
    key: str | None = None,
    prefix: str | None = None,
) -> str:
    """Load weights from a file or folder into a backbone, as ``[run] init_from`` does.

    Naming schemes are tried in this order: ssl-host's own, those of installed plugins, then every
    combination of a container (a dictionary of tensors in the file, such as ``state_dict`` or
    ``teacher``) and a prefix. If several containers fit the backbone and no plugin chooses one,
    CheckpointError is raised.

    Args:
        backbone: the network to initialise.
        path: path of a run folder, an exported or hub folder, a ``.safetensors`` file, an ssl-host
            checkpoint, or a checkpoint in a layout that a plugin can read. Code in the file is
            never executed.
        catalog: registry of the installed plugins; built by default.
        key: name of the container to load, such as ``teacher``; None to search all of them.
        prefix: prefix of the tensor names, such as ``module.encoder_q.``; None to search for it.

    Returns:
        A sentence that says which tensors were loaded, and names other containers that also fit.

    Raises:
        UserError: when there is no such file, the folder has no weights, or the file is an ONNX
            graph.
        CheckpointError: when the file is damaged, does not fit the backbone (for example, a tensor
            is missing), or contains several networks that fit.
    """
    catalog = catalog or Catalog()
    file = _initial_weights_file(Path(path))
    network, match = _find_match(backbone, file, catalog, key, prefix)
    network.load_state_dict(dict(match.tensors))
    return f"the backbone starts from {file}: {match.describe()}"


def load_run_weights(backbone: Backbone, settings: RunSettings, catalog: Catalog) -> str:
    """Load the weights in ``[run] init_from``, and return a sentence about the loaded tensors.

    Raises:
        UserError: as for :func:`load_initial_weights`.
        CheckpointError: as for :func:`load_initial_weights`.
    """
    assert settings.init_from is not None
    key, prefix = settings.init_key, settings.init_prefix
    try:
        return load_initial_weights(backbone, settings.init_from, catalog, key=key, prefix=prefix)
    except CheckpointError as error:
        raise CheckpointError(f"[run] init_from: {error}") from error


def _initial_weights_file(path: Path) -> Path:
    """Return the weights file or checkpoint to load for a path in ``[run] init_from``.

    Raises:
        UserError: when there is no such file, or it is an ONNX graph.
    """
    file = path
    if path.is_dir():
        checkpoints = sorted((path / "checkpoints").glob("step-*.ckpt"))
        candidates = (find_weights(path), *checkpoints[-1:], *path.glob("*.onnx"))
        first = next((candidate for candidate in candidates if candidate), None)
        if first is None:
            raise UserError(
                f"[run] init_from = {path}: the folder contains no {WEIGHTS}, no {HUB_WEIGHTS} "
                "and no checkpoint; use a run folder or an exported folder"
            )
        file = first
    if file.suffix == ".onnx":
        raise UserError(
            f"[run] init_from = {path}: an ONNX graph is for inference only, because its batch "
            "norms are folded into its convolutions; use the run's folder or an export in a "
            "different format"
        )
    if not file.exists():
        raise UserError(f"[run] init_from = {path}: no such file or folder")
    return file


def _find_match(
    backbone: Backbone, file: Path, catalog: Catalog, key: str | None, prefix: str | None
) -> tuple[nn.Module, KeyMatch]:
    """Return the network to load weights into, and the tensors in a file that fit it.

    Args:
        backbone: the network to initialise.
        file: path of the weights file or checkpoint.
        catalog: registry of the installed plugins.
        key: name of the container to load; None to search all of them.
        prefix: prefix of the tensor names; None to search for it.

    Raises:
        CheckpointError: when the file is damaged, or none or several of its networks fit.
    """
    matches: list[tuple[nn.Module, KeyMatch]] = []
    containers: Containers = {}
    unreadable: CheckpointError | None = None
    try:
        containers = read_containers(file)
        matches.append(match_backbone(backbone, own_weights(containers[WEIGHTS_CONTAINER])))
    except CheckpointError as error:
        unreadable = error
    is_chosen = key is not None or prefix is not None
    others: list[KeyMatch] = []
    if matches and not is_chosen and not matches[0][1].problems:
        others = find_other_networks(backbone, matches[0][1], containers, [KeyMapping()])
        if not others:
            return matches[0]
    stored = catalog.call("read_weights", path=file)
    if stored is None and unreadable is not None:
        raise unreadable
    schemes = [KeyMapping()]
    if stored is not None:
        matches.append(match_backbone(backbone, stored))
        schemes += stored.mappings(backbone.export()[0])
        containers = containers or {stored.container: stored.tensors}
        network, match = matches[-1]
        if not is_chosen and not match.problems:
            others = find_other_networks(backbone, match, containers, schemes)
            # A plugin that names a container chose it, such as the teacher.
            if match.container or not others:
                return network, add_note_on_others(match, others)
    found = list(
        search_backbone(
            backbone,
            select_container(containers, key, file),
            schemes,
            None if prefix is None else (prefix, f"{prefix}."),
        )
    )
    fitting = distinct_matches(found)
    if len(fitting) > 1:
        raise ambiguity_error(fitting, file)
    module = backbone.export()[0]
    if fitting:
        return module, fitting[0]
    matches = [*([] if is_chosen else matches), *((module, match) for match in found)]
    _, closest = best_match(matches)
    raise misfit_error(backbone, closest, containers, file, _install_hint(catalog))


def _install_hint(catalog: Catalog) -> str:
    """Return advice to install the plugin for checkpoints from other projects.

    The result is the end of a message; it is empty if the plugin is installed.
    """
    if any(plugin.origin.distribution == CHECKPOINTS_PLUGIN for plugin in catalog.plugins):
        return ""
    return f"; if another project wrote the file, pip install {CHECKPOINTS_PLUGIN}"
