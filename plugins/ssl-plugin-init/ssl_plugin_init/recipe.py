"""Read the recipe of a method that was measured on 4,000 images: its preset ``mnist5k``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ssl_host import Catalog, ConfigError, UserError, option_layer, resolve_layers

REFERENCE_IMAGES = 4000
"""Number of training images of the preset ``mnist5k``."""
VIEWS = ("name", "crop_min", "flip", "num_local")
"""Settings of the augmentation that the file shows, because they depend on the images most."""
COPIED = ("method", "head", "loss", "optimizer", "scheduler", "trainer")
"""Kinds of sections that do not depend on what the images show."""

Values = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """A method's recipe.

    Attributes:
        method: name of the method.
        values: the preset's values by section and key; empty if the method has no such preset.
        extends: preset for a folder of images, whose augmentation is used; None without one.
        views: the augmentation's most important settings.
        needs_tokens: True if the backbone has to be a transformer.
        trains_on_labels: True if the method uses labels.
    """

    method: str
    values: Values
    extends: str | None
    views: dict[str, Any]
    needs_tokens: bool
    trains_on_labels: bool

    @property
    def batch_size(self) -> int:
        """Number of images in a batch."""
        return int(self.values.get("run", {}).get("batch_size", 64))

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        epochs = int(self.values.get("run", {}).get("epochs", 40))
        return epochs * (REFERENCE_IMAGES // self.batch_size)

    @property
    def warmup_steps(self) -> float:
        """Number of steps during which the learning rate rises."""
        epochs = float(self.values.get("scheduler", {}).get("warmup_epochs", 1))
        return epochs * (REFERENCE_IMAGES // self.batch_size)

    @property
    def lr(self) -> float:
        """Learning rate of AdamW."""
        return float(self.values.get("optimizer", {}).get("lr", 0.001))

    def copied(self) -> Values:
        """Return the values that are copied into a configuration for other images."""
        return {
            section: dict(values)
            for section, values in self.values.items()
            if section.split(".")[0] in COPIED
        }


def read_recipe(method: str, catalog: Catalog) -> Recipe:
    """Return the recipe of a method.

    Raises:
        UserError: if the method cannot be trained from images alone, as distillation.
        PluginError: if no plugin provides the method.
    """
    component = catalog.load("method", method)
    presets = catalog.names("preset")
    values: Values = {}
    if f"{method}/mnist5k" in presets:
        try:
            values = _preset_values(f"{method}/mnist5k", catalog)
        except ConfigError as error:
            raise UserError(
                f"init cannot write a configuration for method {method}, because its preset "
                f"{method}/mnist5k needs further settings: {error}"
            ) from None
    folder = f"{method}/imagefolder" if f"{method}/imagefolder" in presets else None
    return Recipe(
        method,
        values,
        folder,
        _views(method, folder, catalog),
        needs_tokens=component.needs_tokens,
        trains_on_labels=component.uses_labels,
    )


def _views(method: str, preset: str | None, catalog: Catalog) -> dict[str, Any]:
    """Return the most important settings of the views that a method makes of photographs."""
    start = f"method.name={method}" if preset is None else f"run.extends={preset}"
    layer = option_layer([start, "data.name=imagefolder", "data.root=."])
    entries = resolve_layers([layer], catalog, "views").entries
    keys = [("augmentation", key) for key in VIEWS]
    return {key: entries[section, key].value for section, key in keys if (section, key) in entries}


def _preset_values(name: str, catalog: Catalog) -> Values:
    """Return the values that a preset sets, by section and key."""
    config = resolve_layers([option_layer([f"run.extends={name}"])], catalog, "recipe")
    values: Values = {}
    for (section, key), entry in config.entries.items():
        if entry.origin.layer == f"preset {name}":
            values.setdefault(section, {})[key] = entry.value
    return values
