"""Backbones and image sizes to choose from, from the cheapest to the most expensive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_host import Catalog
from ssl_plugin_init.recipe import Recipe
from ssl_plugin_init.rules import image_sizes, patch_size

MAX_SMALL_SIZE = 128
"""Largest image size for the small backbones."""
TIMM_CONV = (("resnet18", 64, 4_000), ("resnet50", 128, 20_000))
"""Convolutional networks of timm, their smallest image size, and the steps that they need."""
TIMM_VIT = (("vit_tiny_patch16_224", 64, 8_000), ("vit_small_patch16_224", 128, 30_000))
"""Transformers of timm, their smallest image size, and the steps that they need."""
SMALL_STEPS = 1_500
"""Steps that a small backbone needs; the recipes on digits have 744 to 4,960."""


@dataclass(frozen=True)
class Candidate:
    """A backbone with an image size.

    Attributes:
        backbone: the values of ``[backbone]``.
        image_size: side of a full-size view in pixels.
        patch: patch size in pixels; None for a convolutional network.
        needed_steps: number of optimizer steps that the network needs to learn something.
    """

    backbone: dict[str, Any]
    image_size: int
    patch: int | None
    needed_steps: int

    @property
    def network(self) -> str:
        """Name of the network."""
        return str(self.backbone.get("model", self.backbone["name"]))

    def __str__(self) -> str:
        return f"{self.network} at {self.image_size} pixels"


@dataclass(frozen=True)
class Timed:
    """A candidate and the time that it takes here.

    Attributes:
        candidate: the candidate.
        seconds_per_step: time of an optimizer step in seconds, decoding included.
        setup_s: time before the first step in seconds, for decoding and packing the images.
    """

    candidate: Candidate
    seconds_per_step: float
    setup_s: float

    def affordable_steps(self, budget_s: float) -> int:
        """Return the number of steps that fit in a time."""
        return max(0, int((budget_s - self.setup_s) / self.seconds_per_step))

    def scaled(self, candidate: Candidate) -> Timed:
        """Return a guess for the same backbone at another image size."""
        ratio = (candidate.image_size / self.candidate.image_size) ** 2
        return Timed(candidate, ratio * self.seconds_per_step, ratio * self.setup_s)


def list_candidates(recipe: Recipe, short_side: float, catalog: Catalog) -> list[Candidate]:
    """Return the candidates for a method, cheapest first.

    Args:
        recipe: the recipe of the method.
        short_side: typical length of the images' shorter side in pixels.
        catalog: the catalog of installed backbones.
    """
    sizes = image_sizes(short_side)
    small = {"name": "small_conv"}
    if recipe.needs_tokens:
        small = dict(recipe.values.get("backbone", {"name": "timm", "model": TIMM_VIT[0][0]}))
    found = [
        _candidate(small, size, recipe.needs_tokens, SMALL_STEPS)
        for size in sizes
        if size <= MAX_SMALL_SIZE or size == sizes[0]
    ]
    if "timm" not in catalog.names("backbone"):
        return found
    for model, smallest, steps in TIMM_VIT if recipe.needs_tokens else TIMM_CONV:
        backbone = {"name": "timm", "model": model}
        found += [
            _candidate(backbone, size, recipe.needs_tokens, steps)
            for size in sizes
            if size >= smallest
        ]
    return found


def _candidate(
    backbone: dict[str, Any], size: int, needs_patches: bool, needed_steps: int
) -> Candidate:
    """Return a candidate whose patches, if it has any, fit the image size."""
    if not needs_patches:
        stem = {"stem": "cifar"} if "resnet" in backbone.get("model", "") and size <= 64 else {}
        return Candidate({**backbone, **stem}, size, None, needed_steps)
    patch = patch_size(size)
    return Candidate({**backbone, "patch_size": patch}, size, patch, needed_steps)


def choose_candidate(
    candidates: Sequence[Candidate], budget_s: float, measure: Callable[[Candidate], Timed]
) -> tuple[Timed, list[Timed]]:
    """Return the most expensive candidate whose needed steps fit in a time, and all timings.

    Candidates are timed from the cheapest; the first is returned even if it does not fit. Sizes
    and backbones that cannot fit, because a cheaper one took too long, are not timed.

    Args:
        candidates: at least one candidate, cheapest first.
        budget_s: time for training in seconds.
        measure: function that times some steps of a candidate.
    """
    timed = [measure(candidates[0])]
    best, all_fit = timed[0], _fits(timed[0], budget_s)
    for candidate in candidates[1:]:
        last = timed[-1]
        is_same_network = candidate.network == last.candidate.network
        if not all_fit and not is_same_network:
            break
        all_fit = all_fit and (not is_same_network or _fits(last.scaled(candidate), budget_s))
        if all_fit:
            timed.append(measure(candidate))
            all_fit = _fits(timed[-1], budget_s)
            best = timed[-1] if all_fit else best
    return best, timed


def _fits(timed: Timed, budget_s: float) -> bool:
    """Return True if the needed steps of a candidate fit in a time."""
    return timed.affordable_steps(budget_s) >= timed.candidate.needed_steps
