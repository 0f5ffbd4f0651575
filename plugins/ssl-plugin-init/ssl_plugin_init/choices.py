"""Choose all settings of a run, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ssl_host import Catalog
from ssl_plugin_init import rules
from ssl_plugin_init.candidates import Timed
from ssl_plugin_init.description import DataDescription
from ssl_plugin_init.recipe import REFERENCE_IMAGES, Recipe

VIEW_ADVICE = {
    "crop_min": "smallest part of an image in a view; more if what matters fills the image",
    "flip": "0 if left and right differ in meaning, as in text",
}
"""What to know about settings of the views when they do not suit the images."""
TRAINING_FRACTION = 0.8
"""Part of the time that training may take; the rest is for evaluation and the report."""


@dataclass(frozen=True)
class Choice:
    """A value of a setting and why it was chosen; the reason may be empty."""

    section: str
    key: str
    value: Any
    reason: str = ""


@dataclass
class RunLength:
    """Length of a run that fits in a time.

    Attributes:
        batch_size: number of images in a batch.
        steps_per_epoch: number of optimizer steps in an epoch.
        epochs: number of epochs.
        training_s: estimated time of training in seconds.
    """

    batch_size: int
    steps_per_epoch: int
    epochs: int
    training_s: float

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return self.epochs * self.steps_per_epoch


def plan_length(timed: Timed, recipe: Recipe, num_images: int, budget_s: float) -> RunLength:
    """Return the longest run that fits in a time; at least one epoch.

    Args:
        timed: the backbone, the image size and the time of a step.
        recipe: the recipe of the method.
        num_images: number of training images.
        budget_s: time for training in seconds.
    """
    batch = rules.batch_size(recipe.batch_size, num_images)
    per_epoch = max(1, num_images // batch)
    epochs = timed.affordable_steps(budget_s) // per_epoch
    epochs = max(1, min(epochs, rules.MAX_EPOCHS))
    training_s = timed.setup_s + epochs * per_epoch * timed.seconds_per_step
    return RunLength(batch, per_epoch, epochs, training_s)


@dataclass
class Chooser:
    """Collects the choices for one run.

    Attributes:
        data: description of the images.
        recipe: the recipe of the method.
        timed: the chosen backbone and image size with its time.
        length: the length of the run.
        by_section: the choices so far, by section and key.
    """

    data: DataDescription
    recipe: Recipe
    timed: Timed
    length: RunLength
    by_section: dict[str, dict[str, Choice]] = field(default_factory=dict)

    def choose(self, name: str, catalog: Catalog) -> list[Choice]:
        """Return all choices, in the order of the file.

        Args:
            name: name of the run.
            catalog: the catalog of installed components.
        """
        self._run(name)
        self._data()
        self._augmentation()
        candidate = self.timed.candidate
        for key, value in candidate.backbone.items():
            self._add("backbone", key, value)
        self._explain("backbone", "name", self._backbone_reason())
        self._recipe()
        self._evaluators(catalog)
        return [choice for choices in self.by_section.values() for choice in choices.values()]

    def _add(self, section: str, key: str, value: Any, reason: str = "") -> None:
        """Add a choice; it replaces an earlier one of the same key."""
        self.by_section.setdefault(section, {})[key] = Choice(section, key, value, reason)

    def _explain(self, section: str, key: str, reason: str) -> None:
        """Set the reason of a choice."""
        choice = self.by_section[section][key]
        self.by_section[section][key] = replace(choice, reason=reason)

    def _run(self, name: str) -> None:
        """Choose the values of ``[run]``."""
        length, recipe = self.length, self.recipe
        self._add("run", "name", name)
        if recipe.extends:
            reason = "views and heads for photographs; what stands below takes precedence"
            self._add("run", "extends", recipe.extends, reason)
        self._add(
            "run",
            "epochs",
            length.epochs,
            f"{length.steps:,} steps of {1000 * self.timed.seconds_per_step:.0f} ms, "
            f"{length.steps_per_epoch} in an epoch",
        )
        reason = "as in the recipe for few images"
        if length.batch_size < recipe.batch_size:
            reason = f"small, because {self.data.num_images} images make few batches"
        self._add("run", "batch_size", length.batch_size, reason)

    def _data(self) -> None:
        """Choose the values of ``[data]``."""
        data, size = self.data, self.timed.candidate.image_size
        self._add("data", "name", data.source)
        for key, value in data.settings.items():
            self._add("data", key, value)
        assert data.short_sides is not None
        side = data.short_sides.median
        reason = f"the shorter side of a typical image has {side:.0f} pixels"
        if size < rules.image_sizes(side)[-1]:
            reason += "; larger views need more time"
        self._add("data", "image_size", size, reason)
        if data.is_gray and "num_channels" not in data.settings:
            self._add("data", "num_channels", 1, "all images are gray")

    def _backbone_reason(self) -> str:
        """Return why the backbone and the image size were chosen."""
        candidate = self.timed.candidate
        needed = candidate.needed_steps
        if self.length.steps >= needed:
            return f"{candidate} is the largest that makes {needed:,} steps in this time"
        seconds = needed * self.timed.seconds_per_step
        return (
            f"{candidate} is the smallest there is, and too slow for this time: the {needed:,} "
            f"steps that it needs take {seconds / 60:,.0f} minutes"
        )

    def _augmentation(self) -> None:
        """Show the most important values of ``[augmentation]``, and choose the size of views."""
        candidate = self.timed.candidate
        for key, value in self.recipe.views.items():
            self._add("augmentation", key, value, VIEW_ADVICE.get(key, ""))
        if self.recipe.views.get("num_local"):
            local = rules.local_size(candidate.image_size, candidate.patch or 1)
            reason = "3/7 of image_size" + (", in whole patches" if candidate.patch else "")
            self._add("augmentation", "local_size", local, reason)

    def _recipe(self) -> None:
        """Choose what follows the method's recipe: heads, loss, optimizer, moving average."""
        recipe, length = self.recipe, self.length
        source = f"as in {recipe.method}/mnist5k, which was measured on {REFERENCE_IMAGES:,} images"
        self._add("method", "name", recipe.method)
        for section, values in recipe.copied().items():
            for key, value in values.items():
                self._add(section, key, value)
            first = next((key for key in values if key != "name"), None)
            if first is not None:
                self._explain(section, first, source)
        method = recipe.values.get("method", {})
        if "queue_size" in method:
            rows = rules.queue_size(method["queue_size"], self.data.num_images, length.batch_size)
            self._add("method", "queue_size", rows, "at most a quarter of the images")
        if "ema_decay" in method:
            decay = rules.ema_decay(method["ema_decay"], recipe.steps, length.steps)
            reason = f"{method['ema_decay']} in the {recipe.steps:,} steps of the recipe"
            self._add("method", "ema_decay", decay, reason)
        if not recipe.values:
            self._add("optimizer", "name", "adamw")
        rate = rules.learning_rate(recipe.lr, recipe.batch_size, length.batch_size)
        reason = f"{recipe.lr} with batches of {recipe.batch_size}, times the root of the ratio"
        self._add("optimizer", "lr", rate, reason if rate != recipe.lr else source)
        warmup = rules.warmup_epochs(recipe.warmup_steps, length.epochs, length.steps_per_epoch)
        self._add("scheduler", "warmup_epochs", warmup, "at most a tenth of the run")

    def _evaluators(self, catalog: Catalog) -> None:
        """Choose the evaluators: accuracies with classes, label-free measures always."""
        names = ["linear", "knn", "few_label"] if self.data.has_classes else []
        names += ["rankme", "alignment_uniformity"]
        for name in names:
            if name in catalog.names("evaluator"):
                self._add(f"evaluator.{name}", "", None)
