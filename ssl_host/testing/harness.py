"""Build small instances of SSL methods, and batches of views, for checks and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ssl_host.augment.executor import evaluation_view
from ssl_host.compose import Experiment, compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.config.run_config import RunConfig
from ssl_host.config.schema import DEFAULT_HEAD
from ssl_host.contracts.batch import Batch, Progress, StepOutput
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone
from ssl_host.contracts.rng import BatchRNG
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError
from ssl_host.testing.distributed import average_gradients
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.distributed import rank, world_size
from ssl_host.train.step import (
    InvalidOutputError,
    compute_output,
    overrides_epoch_start,
    run_optimizer_step,
    start_epoch,
)

TOTAL_STEPS = 20
"""Total number of optimizer steps in the ``progress`` of the method."""
NUM_IMAGES = 64
"""Number of training images of the small instance."""
EPOCH_STEPS = 2
"""Number of optimizer steps after which an epoch starts."""
IMAGE_SIZE = 16
"""Height and width of the images, in pixels."""
LOCAL_SIZE = 8
"""Height and width of small views, if the recipe has them; a multiple of the patch size."""
NUM_LOCAL = 2
"""Number of small views, if the recipe has them."""
MAX_HEAD_DIM = 16
"""Largest width of a head or decoder; larger numbers in the recipe are replaced by it."""
MAX_DEPTH = 2
"""Largest number of blocks or of attention heads in a method's decoder."""
SIZE_THRESHOLD = 1024
"""Integer settings of a method above this number are reduced, such as a queue size."""
SMALL_SIZE = 24
"""Value that replaces sizes above :data:`SIZE_THRESHOLD`."""


def plain_sgd(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Return SGD with learning rate 0.1 and no momentum, which has no optimizer state."""
    return torch.optim.SGD(parameters, lr=0.1)


class MethodCase:
    """Small instance of an SSL method with synthetic images, reproducible from its seeds.

    It uses the views, heads and loss from the method's recipe, and a tiny backbone of the family
    named there. Heads and decoders are at most 16 wide. Integer settings of the method with a
    default above 1,024, such as a queue size, are set to 24. The target's settings take priority.

    Args:
        target: the method; its settings may include whole sections, such as
            ``{"backbone": {"name": ...}}``.
    """

    def __init__(self, target: CheckTarget) -> None:
        self.target = target

    @cached_property
    def config(self) -> RunConfig:
        """Resolved configuration of the small instance.

        Raises:
            CheckFailure: when the recipe is invalid.
        """
        try:
            return resolve_sections(self._sections(), self.target.catalog)
        except ConfigError as error:
            raise CheckFailure(
                f"the recipe is invalid: {error}",
                "a run that sets only the method's name would fail with the same error",
                "correct the `recipe` of the class, or pass the missing settings to the check",
            ) from None

    def _sections(self) -> dict[str, dict[str, Any]]:
        """Return the sections of the configuration, with small networks and queues."""
        cls, settings = self.target.cls, self.target.settings
        sections: dict[str, dict[str, Any]] = {
            "run": {"batch_size": 32, "epochs": TOTAL_STEPS // EPOCH_STEPS},
            "data": {
                "name": "synthetic",
                "image_size": IMAGE_SIZE,
                "num_images": NUM_IMAGES,
                "num_test": 8,
            },
            "method": {"name": self.target.name, **_reduced_sizes(cls.Config, settings)},
        }
        recipe: Mapping[str, Mapping[str, Any]] = cls.recipe
        for section in ("backbone", *(f"backbone.{name}" for name in cls.frozen)):
            sections[section] = self._tiny_backbone(recipe.get(section, {}), section)
        if "local_size" in recipe.get("augmentation", {}) and "augmentation" not in settings:
            sections["augmentation"] = {"local_size": LOCAL_SIZE, "num_local": NUM_LOCAL}
        for head in cls.heads:
            sections[f"head.{head}"] = self._reduced_widths(head, recipe.get(f"head.{head}", {}))
        for key, value in settings.items():
            is_section = isinstance(value, Mapping)
            values = dict(value) if is_section else {key: value}
            sections.setdefault(key if is_section else "method", {}).update(values)
        return sections

    def _tiny_backbone(self, recipe: Mapping[str, Any], section: str) -> dict[str, Any]:
        """Return the settings of a tiny backbone of the family named in the recipe.

        The target's settings for the section are used unchanged.
        """
        own = self.target.settings.get(section, {})
        if not recipe and not own:
            return {"name": "small_conv", "width": 8, "num_stages": 3}
        name = str(own.get("name", recipe.get("name")))
        if own.get("name", recipe.get("name")) != recipe.get("name"):
            return {"name": name}
        cls: type[Backbone] = self.target.catalog.load("backbone", name)
        return {"name": name, **cls.tiny({**recipe, **own}, IMAGE_SIZE)}

    def _reduced_widths(self, head: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return small values for the widths of a head, except widths that are references."""
        name = self.target.settings.get(f"head.{head}", {}).get(
            "name", recipe.get("name", DEFAULT_HEAD)
        )
        schema: type[Settings] = self.target.catalog.load("head", str(name)).Config
        values = {key: field.default for key, field in schema.model_fields.items()} | {**recipe}
        return {
            key: min(value, MAX_HEAD_DIM)
            for key, value in values.items()
            if key.endswith("_dim") and type(value) is int
        }

    def experiment(self, seed: int = 0, settings: Settings | None = None) -> Experiment:
        """Return the method with its data source, views and networks.

        Args:
            seed: random seed for the weights.
            settings: settings of the method that replace the configured ones.
        """
        config = self.config.with_value("run", "seed", seed, "check")
        if settings is not None:
            method = replace(config.components["method"], settings=settings)
            config = replace(config, components={**config.components, "method": method})
        return compose(config, num_images=NUM_IMAGES)

    def fresh(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> Method:
        """Return a new instance of the method in training mode."""
        method = self.experiment(seed).method.to(dtype).train()
        self.start_epoch(method, 0)
        return method

    def start_epoch(self, method: Method, step: int) -> None:
        """Call ``on_epoch_start`` with all training images, as the host does before a step."""
        if overrides_epoch_start(method):
            images = _EpochImages(self, next(method.parameters()).dtype)
            progress = Progress(step, TOTAL_STEPS, step // EPOCH_STEPS)
            start_epoch(method, images, progress, step, torch.device("cpu"))

    @cached_property
    def _data(self) -> tuple[Any, Tensor, Tensor | None]:
        """View maker, uint8 training images (N, C, H, W), and their labels (N,) or None."""
        experiment = self.experiment()
        images = experiment.source.open("train")
        assert images is not None
        pixels = torch.stack([images.read(i) for i in range(len(images))])
        return experiment.views, pixels, images.labels

    def batch(
        self,
        count: int = 8,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        positions: Tensor | None = None,
    ) -> Batch:
        """Return a batch of views; the same seed gives the same images and views.

        Args:
            count: number of images.
            seed: random seed for choosing the images and for augmenting them.
            dtype: dtype of the views.
            positions: which images of the batch to return, and in which order; None returns the
                whole batch.
        """
        view_maker, pixels, labels = self._data
        generator = torch.Generator().manual_seed(seed)
        index = torch.randint(len(pixels), (count,), generator=generator)
        if count <= len(pixels):
            index = torch.randperm(len(pixels), generator=generator)[:count]
        # The views of an image depend only on its position, so a micro-batch gets the same views.
        sample = torch.arange(count)
        if positions is not None:
            index, sample = index[positions], sample[positions]
        views = [view.to(dtype) for view in view_maker(pixels[index], sample, seed, seed)]
        if not self.target.cls.uses_labels:
            labels = None
        batch_labels = None if labels is None else labels[index]
        ids = index if count <= len(pixels) else sample  # memory banks need the image's index
        rng = BatchRNG(seed, seed, ids, seed)
        return Batch(views, ids, batch_labels, view_maker.num_global, rng)

    def step(self, method: Method, batch: Batch) -> StepOutput:
        """Compute one step without updating weights; torch's random seed is the step number.

        Raises:
            CheckFailure: when the step does not return a StepOutput with a scalar loss.
        """
        try:
            return compute_output(method, batch, method.progress, seed=method.progress.step)
        except InvalidOutputError as error:
            raise CheckFailure(
                str(error),
                "the host needs a scalar loss with a gradient, features, and rows for queues",
                "return StepOutput(loss, features=h), with a loss that is not detached",
            ) from None

    def train(
        self,
        method: Method,
        steps: int,
        start: int = 0,
        *,
        count: int = 8,
        optimizer: Callable[..., torch.optim.Optimizer] = plain_sgd,
        share: slice = slice(None),
    ) -> list[tuple[float, Tensor]]:
        """Train for some steps; return the loss and the flattened gradient of each step.

        Args:
            method: the method to train; its weights change.
            steps: number of optimizer steps.
            start: index of the first step.
            count: batch size over all processes.
            optimizer: function that returns an optimizer for a list of parameters.
            share: slice of each batch that this process uses.
        """
        parameters = [p for _, p in method.trainable_parameters()]
        dtype = parameters[0].dtype
        stepper = optimizer(parameters)
        results = []
        for step in range(start, start + steps):
            if step and step % EPOCH_STEPS == 0:
                self.start_epoch(method, step)
            progress = method.progress = Progress(step, TOTAL_STEPS, step // EPOCH_STEPS)
            positions = torch.arange(count)[share]
            out = self.step(method, self.batch(count, step, dtype, positions))
            stepper.zero_grad()
            out.loss.backward()
            average_gradients(parameters)
            gradient = [p.grad.flatten() for p in parameters if p.grad is not None]
            results.append((float(out.loss.detach()), torch.cat(gradient).clone()))
            run_optimizer_step(method, stepper, [out], progress)
        return results


class _EpochImages:
    """Training images of a case, for ``on_epoch_start``; see :class:`ssl_host.EpochImages`."""

    def __init__(self, case: MethodCase, dtype: torch.dtype) -> None:
        self.case = case
        self.dtype = dtype

    def batches(self, augmented: bool = False) -> Iterator[Batch]:
        """Yield all training images once; each process yields its share of every batch."""
        make, pixels, _ = self.case._data
        for positions in torch.arange(len(pixels)).split(24):
            share = positions.tensor_split(world_size())[rank()]
            views = [evaluation_view(pixels[share], make.image_size, make.mean, make.std)]
            if augmented:
                views = make(pixels[share], share)
            num_global = make.num_global if augmented else 1
            yield Batch([view.to(self.dtype) for view in views], share, None, num_global)


def _reduced_sizes(schema: type[Settings], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return small values for sizes, widths and depths with large defaults that are not set."""
    reduced = {}
    for name, field in schema.model_fields.items():
        if name in settings or type(field.default) is not int:
            continue
        limits = {"_dim": MAX_HEAD_DIM, "_depth": MAX_DEPTH, "_heads": MAX_DEPTH}
        limit = next((size for end, size in limits.items() if name.endswith(end)), None)
        if limit is not None:
            reduced[name] = min(field.default, limit)
        elif field.default > SIZE_THRESHOLD:
            reduced[name] = SMALL_SIZE
    return reduced
