"""Choose a configuration for a set of images on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_host import Catalog, PluginError, UserError, dry_run, pluralize
from ssl_plugin_init.candidates import Candidate, Timed, choose_candidate, list_candidates
from ssl_plugin_init.choices import (
    TRAINING_FRACTION,
    Choice,
    Chooser,
    RunLength,
    plan_length,
)
from ssl_plugin_init.configuration import to_ini, to_sections
from ssl_plugin_init.description import DataDescription
from ssl_plugin_init.findings import findings
from ssl_plugin_init.machine import Machine, describe_machine
from ssl_plugin_init.recipe import Recipe, read_recipe

DEFAULT_METHODS = ("vicreg", "simclr", "simsiam", "byol")
"""Methods to use if none is named; the first that is installed."""
MORE_TIME = (4, 24)
"""Factors of the time for which the file says what would be chosen."""


@dataclass(frozen=True)
class Proposal:
    """A configuration for a set of images.

    Attributes:
        text: the commented INI file.
        sections: the same values by section and key, for :func:`ssl_host.run`.
        choices: the values with their reasons.
        training_minutes: estimated time of training in minutes, without evaluation.
        warning: a sentence if the time is too short for any network; else None.
    """

    text: str
    sections: dict[str, dict[str, Any]]
    choices: list[Choice]
    training_minutes: float
    warning: str | None


def propose(
    data: DataDescription,
    *,
    method: str | None = None,
    budget_s: float = 900.0,
    name: str = "run",
    folder: Path = Path(),
    progress: Callable[[str], None] = lambda _: None,
) -> Proposal:
    """Choose all settings for pretraining on a set of images on this machine.

    Steps of a few backbones and image sizes are timed, and the most expensive one that can make
    enough steps in the time is used.

    Args:
        data: description of the images, from :func:`ssl_plugin_init.describe`.
        method: name of the method; None for one that works with few images and small batches.
        budget_s: time for the whole run in seconds.
        name: name of the run, before that of the method.
        folder: folder of the file that will contain the text.
        progress: function that is called with a text before a step that takes a while.

    Raises:
        UserError: if no image can be read, or if the method cannot be used with these images.
        PluginError: if the method is not installed.
    """
    catalog = Catalog()
    recipe = read_recipe(method or _default_method(catalog), catalog)
    if data.short_sides is None:
        raise UserError(f"none of {data.num_read} images can be read")
    if recipe.trains_on_labels and not data.classes:
        raise UserError(
            f"method {recipe.method} trains on labels, and these images have none; choose another "
            "method with -m"
        )

    def measure(candidate: Candidate) -> Timed:
        progress(f"timing {recipe.method} with {candidate}")
        return _measure(candidate, data, recipe, catalog)

    budget = TRAINING_FRACTION * budget_s
    candidates = list_candidates(recipe, data.short_sides.median, catalog)
    best, timings = choose_candidate(candidates, budget, measure)
    length = plan_length(best, recipe, data.num_images, budget)
    choices = Chooser(data, recipe, best, length).choose(f"{name}-{recipe.method}", catalog)
    heading = _heading(data, describe_machine(), recipe, length.training_s, budget_s)
    ending = _with_more_time(timings, candidates, recipe, data, budget_s)
    text = to_ini(choices, heading, ending, folder)
    warning = _warning(best, length, budget_s)
    return Proposal(text, to_sections(choices), choices, length.training_s / 60, warning)


def _warning(timed: Timed, length: RunLength, budget_s: float) -> str | None:
    """Return a sentence if a run is too short to learn something, or None."""
    needed = timed.candidate.needed_steps
    if length.steps >= needed:
        return None
    seconds = (timed.setup_s + needed * timed.seconds_per_step) / TRAINING_FRACTION
    return (
        f"{format_time(budget_s)} are enough for {pluralize(length.steps, 'step')}, and even the "
        f"smallest network needs about {needed:,}: use --time {format_time(seconds)}"
    )


def _default_method(catalog: Catalog) -> str:
    """Return the first of the default methods that is installed.

    Raises:
        PluginError: if none of them is installed.
    """
    installed = catalog.names("method")
    for name in DEFAULT_METHODS:
        if name in installed:
            return name
    raise PluginError(
        f"none of the methods {', '.join(DEFAULT_METHODS)} is installed: "
        f"pip install ssl-plugin-{DEFAULT_METHODS[0]}, or name an installed method with -m"
    )


def _measure(
    candidate: Candidate, data: DataDescription, recipe: Recipe, catalog: Catalog
) -> Timed:
    """Return the time of a few steps of a candidate on these images."""
    guess = Timed(candidate, 1.0, 0.0)
    length = plan_length(guess, recipe, data.num_images, 100.0 * candidate.needed_steps)
    choices = Chooser(data, recipe, guess, length).choose("timing", catalog)
    estimate = dry_run(to_sections(choices))
    return Timed(candidate, estimate.loaded_seconds_per_step, 60 * estimate.packing_minutes)


def _heading(
    data: DataDescription, machine: Machine, recipe: Recipe, training_s: float, budget_s: float
) -> list[str]:
    """Return the paragraphs at the start of the file."""
    paragraphs = [
        f"{recipe.method} on {data.num_images:,} images, written by `ssl-host init` for a machine "
        f"with {machine}.",
        f"Training takes about {format_time(training_s)}, evaluation some more; the time allowed "
        f"was {format_time(budget_s)}.",
    ]
    return [*paragraphs, *(f"- {text}" for text in findings(data))]


def _with_more_time(
    timings: list[Timed],
    candidates: list[Candidate],
    recipe: Recipe,
    data: DataDescription,
    budget_s: float,
) -> list[str]:
    """Return paragraphs that say what would be chosen with more time, from the same timings."""
    measured: Mapping[str, Timed] = {timed.candidate.network: timed for timed in timings}
    known = [candidate for candidate in candidates if candidate.network in measured]
    paragraphs = []
    for factor in MORE_TIME:
        budget = factor * budget_s
        best, _ = choose_candidate(
            known, TRAINING_FRACTION * budget, lambda c: measured[c.network].scaled(c)
        )
        length = plan_length(best, recipe, data.num_images, TRAINING_FRACTION * budget)
        paragraphs.append(
            f"With --time {format_time(budget)}: {best.candidate}, {length.epochs} epochs."
        )
    return paragraphs


def format_time(seconds: float) -> str:
    """Return a time as text that ``--time`` reads: ``45s``, ``15m``, ``1h30m``."""
    if seconds < 60:
        return f"{max(1, math.ceil(seconds))}s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes}m" if not hours else f"{hours}h{rest}m" if rest else f"{hours}h"


def default_name(path: Path) -> str:
    """Return the name of a run on the images of a file or folder."""
    return path.resolve().name.split(".")[0] or "run"
