"""Build one component from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_host.catalog.registry import Entry, error_location
from ssl_host.config.error_locations import locate_errors, name_section
from ssl_host.config.network_widths import resolve_network_widths
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.component import Component
from ssl_host.contracts.networks import Backbone
from ssl_host.contracts.settings import Settings
from ssl_host.errors import PluginError, SslHostError


def build_section(
    config: RunConfig,
    section: str,
    networks: Mapping[str, Backbone] | None = None,
    **build_args: Any,
) -> Any:
    """Return the component that one section of the configuration describes.

    Args:
        config: the configuration.
        section: name of the section.
        networks: networks that are built already, keyed by section, for references to their widths.
        build_args: keyword arguments of the constructor.
    """
    component = config.components[section]
    settings = resolve_network_widths(config, section, networks or {})
    with locate_errors(config, section), name_section(section):
        return build_component(component.cls, settings, component.entry, build_args)


def build_component(
    cls: type[Component], settings: Settings, entry: Entry, build_args: Mapping[str, Any]
) -> Any:
    """Build a component and record in ``origin`` which distribution it comes from.

    Args:
        cls: class of the component.
        settings: validated settings of the component.
        entry: registry entry of the component.
        build_args: keyword arguments that the constructor takes besides the settings, such as
            ``in_channels``.

    Raises:
        PluginError: if the constructor raises; the message names the distribution and the line
            that failed.
    """
    constructor: Any = cls
    try:
        component = constructor(settings, **build_args)
    except SslHostError:
        raise
    except Exception as error:
        raise PluginError(
            f"{entry.describe()} could not be built: {type(error).__name__}: {error} "
            f"({error_location(error)}); its settings: "
            f"{', '.join(f'{k}={v!r}' for k, v in settings.model_dump().items()) or 'none'}"
        ) from error
    component.origin = str(entry.origin)
    return component
