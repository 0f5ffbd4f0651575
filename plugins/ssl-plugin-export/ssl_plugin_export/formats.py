"""Select the exporter for ``--to FORMAT``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl_host import (
    Backbone,
    Catalog,
    Exporter,
    PluginError,
    UserError,
    build,
    component_options,
    did_you_mean,
)

LIBRARY = "library"
"""Name of the exporter that is used if ``--to`` names the backbone's library, such as timm."""


def describe_backbone(backbone: Backbone, component: str) -> str:
    """Return a backbone's name for use in a sentence, such as ``timm's resnet18``.

    Args:
        backbone: the trained network.
        component: its name in configurations, used if it does not come from a library.
    """
    about = backbone.export()[1]
    name = f"{about.get('library', 'ssl_host')}'s {about.get('model', component)}"
    stem = about.get("stem", "default")
    return name if stem == "default" else f"{name} with stem = {stem}"


def find_exporter(
    to: str, backbone: Backbone, component: str, catalog: Catalog, options: Sequence[str] = ()
) -> Exporter:
    """Return the exporter for a format, after checking that it can write the backbone.

    Args:
        to: name of an exporter, or of the library that the backbone comes from.
        backbone: the trained network.
        component: its name in configurations.
        catalog: the installed exporters.
        options: settings of the exporter, each as ``key=value``.

    Raises:
        UserError: when the backbone cannot be written in this format; the message lists the
            formats in which it can be written.
    """
    library = str(backbone.export()[1].get("library", ""))
    name = LIBRARY if to == library else to
    if name in catalog.names("exporter"):
        exporter: Exporter = build("exporter", name, **_settings(name, catalog, options))
        reason = exporter.refusal(backbone)
        if not reason:
            return exporter
    else:
        reason = ""
    formats = available_formats(backbone, catalog)
    about = describe_backbone(backbone, component)
    hint = "" if reason else did_you_mean(to, formats)
    if not reason:
        reason = "it is neither an exporter nor the library of this backbone"
    if not formats:
        raise UserError(f"--to {to}: {reason}; no installed exporter can write {about}")
    raise UserError(
        f"--to {to}: {reason}; {about} can be exported with --to {', '.join(formats)}{hint}"
    )


def available_formats(backbone: Backbone, catalog: Catalog) -> list[str]:
    """Return the formats in which a backbone can be exported, sorted by name."""
    library = str(backbone.export()[1].get("library", ""))
    names = []
    for name in catalog.names("exporter"):
        try:
            refused = bool(build("exporter", name).refusal(backbone))
        except PluginError:
            continue  # a broken exporter does not hide the others
        if not refused:
            names.append(library if name == LIBRARY else name)
    return sorted(names)


def _settings(name: str, catalog: Catalog, options: Sequence[str]) -> dict[str, Any]:
    """Return the settings of an exporter from options such as ``opset=18``."""
    return component_options("exporter", catalog.load("exporter", name).Config, options)
