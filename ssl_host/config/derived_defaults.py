"""Defaults that follow from other sections of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ssl_host.config.values import ConfigOrigin, ConfigValue, Key
from ssl_host.contracts.settings import Settings

_IMAGE_FORM = ("image_size", "num_channels")
"""Settings of data sources that must suit the network, which sees the images of ``[data]``."""


def derived_defaults(
    section: str,
    schema: type[Settings],
    classes: Mapping[str, Any],
    merged: Mapping[Key, ConfigValue],
) -> dict[str, ConfigValue]:
    """Return defaults of a section that follow from other sections, keyed by setting.

    * ``num_views`` of the augmentation is what the method needs. A recipe for two views, such as
      that of a data source, then also works for a method that uses one view.
    * ``image_size`` and ``num_channels`` of a section ``[data.NAME]`` are those of ``[data]``.

    Args:
        section: the section.
        schema: the settings class of its component.
        classes: the classes of all components, keyed by section.
        merged: the merged values of earlier sections, with ``[data]`` among them.
    """
    method = classes.get("method")
    if section == "augmentation" and method is not None and "num_views" in schema.model_fields:
        return {"num_views": ConfigValue(method.min_views, ConfigOrigin("views of the method"))}
    if section.startswith("data."):
        origin = ConfigOrigin("images of [data]")
        form = {
            key: replace(merged["data", key], origin=origin)
            for key in _IMAGE_FORM
            if key in schema.model_fields and ("data", key) in merged
        }
        # A source whose images all have one form, such as digits, has no setting for it.
        source = classes.get("data")
        channels = None if source is None else vars(source).get("channels")
        if "num_channels" in schema.model_fields and isinstance(channels, int):
            form.setdefault("num_channels", ConfigValue(channels, origin))
        return form
    return {}
