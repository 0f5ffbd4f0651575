"""Replace references to network widths, such as ``${backbone.teacher.feature_dim}``."""

from __future__ import annotations

from collections.abc import Mapping

from ssl_host.config.messages import validate_settings
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.networks import Backbone
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem


def resolve_network_widths(
    config: RunConfig, section: str, networks: Mapping[str, Backbone]
) -> Settings:
    """Return a component's settings, with references to network widths replaced by numbers.

    Args:
        config: the configuration.
        section: the section of the component.
        networks: the networks that are already built, keyed by section.

    Raises:
        ConfigError: if a network has no such width, or the width is not valid for the setting.
    """
    component = config.components[section]
    if not component.network_references:
        return component.settings
    values = dict(component.settings)
    for key, reference in component.network_references.items():
        name, _, attribute = reference.rpartition(".")
        value = getattr(networks.get(name), attribute, None)
        if value is None:
            text = (
                f"[{section}] {key}: the network [{name}] has no {attribute}; write a number "
                "instead of the reference"
            )
            raise ConfigError([Problem(str(config.entries[section, key].origin), text)])
        values[key] = value
    location = str(config.entries[section, next(iter(component.network_references))].origin)
    return validate_settings(type(component.settings), values, location, section)
