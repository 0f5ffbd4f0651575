"""Small instances of a method, with batches from its own recipe's views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ssl_host.compose import Experiment, compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.config.run_config import RunConfig
from ssl_host.config.schema import DEFAULT_HEAD
from ssl_host.contracts.batch import Batch, StepOutput
from ssl_host.contracts.method import Method
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError
from ssl_host.testing.distributed import average_gradients
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

IMAGES = 64
TOTAL_STEPS = 20
WIDTH = 16
"""Widest layer of a head, where the recipe gives a number; references stay."""
LARGEST = 1024
"""A method's whole number above this is the size of something: of a queue, of a set."""
SMALL = 24


def plain_sgd(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Without any state of its own."""
    return torch.optim.SGD(parameters, lr=0.1)


class MethodCase:
    """A method on a tiny backbone and made images, all of it a function of seeds.

    The recipe's own views, heads and loss are used, made small: heads at most 16 wide, and whole
    numbers of the method above 1,024 (a queue's size) become 24, unless settings say otherwise.

    Args:
        target: a method; its settings may hold sections, ``{"backbone": {"name": ...}}``.
    """

    def __init__(self, target: CheckTarget) -> None:
        self.target = target

    @cached_property
    def config(self) -> RunConfig:
        """The whole configuration.

        Raises:
            CheckFailure: when the recipe is refused.
        """
        try:
            return resolve_sections(self._sections(), self.target.catalog)
        except ConfigError as error:
            raise CheckFailure(
                f"the recipe is refused: {error}",
                "an INI file that names nothing but the method would be refused in the same words",
                "correct the class's `recipe`, or give the check the settings that are missing",
            ) from None

    def _sections(self) -> dict[str, dict[str, Any]]:
        cls, given = self.target.cls, self.target.settings
        sections: dict[str, dict[str, Any]] = {
            "run": {"batch_size": 32},
            "data": {"name": "synthetic", "image_size": 16, "num_images": IMAGES, "num_test": 8},
            "method": {"name": self.target.name, **_shrunk(cls.Config, given)},
        }
        recipe: Mapping[str, Mapping[str, Any]] = cls.recipe
        if "backbone" not in recipe and "backbone" not in given:
            sections["backbone"] = {"name": "small_conv", "width": 8, "num_stages": 3}
        for head in cls.heads:
            sections[f"head.{head}"] = self._narrow(head, recipe.get(f"head.{head}", {}))
        for key, value in given.items():
            section = key if isinstance(value, Mapping) else "method"
            own = dict(value) if isinstance(value, Mapping) else {key: value}
            sections.setdefault(section, {}).update(own)
        return sections

    def _narrow(self, head: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Small widths where there are numbers; a reference to another head is left to follow."""
        name = self.target.settings.get(f"head.{head}", {}).get(
            "name", recipe.get("name", DEFAULT_HEAD)
        )
        schema: type[Settings] = self.target.catalog.load("head", str(name)).Config
        given = {key: field.default for key, field in schema.model_fields.items()} | {**recipe}
        return {
            key: min(value, WIDTH)
            for key, value in given.items()
            if key.endswith("_dim") and type(value) is int
        }

    def experiment(self, seed: int = 0, settings: Settings | None = None) -> Experiment:
        """Everything built, weights by the seed.

        Args:
            settings: in the place of the method's own.
        """
        config = self.config.with_value("run", "seed", seed, "check")
        if settings is not None:
            part = replace(config.components["method"], settings=settings)
            config = replace(config, components={**config.components, "method": part})
        return compose(config)

    def fresh(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> Method:
        """A new instance in training mode."""
        return self.experiment(seed).method.to(dtype).train()

    @cached_property
    def _data(self) -> tuple[Any, Tensor, Tensor | None]:
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
        chosen: Tensor | None = None,
    ) -> Batch:
        """Views of ``count`` images; the same seed picks the same images and views.

        Args:
            chosen: places in the batch to keep, in this order.
        """
        maker, pixels, labels = self._data
        generator = torch.Generator().manual_seed(seed)
        index = torch.randint(len(pixels), (count,), generator=generator)
        if count <= len(pixels):
            index = torch.randperm(len(pixels), generator=generator)[:count]
        # Views depend on the image's number alone, so that a part of a batch has the same ones.
        number = torch.arange(count)
        if chosen is not None:
            index, number = index[chosen], number[chosen]
        views = [view.to(dtype) for view in maker(pixels[index], number, seed, seed)]
        own = labels[index] if labels is not None and self.target.cls.uses_labels else None
        return Batch(views, number, own, maker.num_global)

    def step(self, method: Method, batch: Batch) -> StepOutput:
        """One step, its random numbers those of the method's progress.

        Raises:
            CheckFailure: when it raises, or returns something else than a StepOutput.
        """
        torch.default_generator.manual_seed(method.progress.step)
        out = method.step(batch)
        if not isinstance(out, StepOutput):
            raise CheckFailure(
                f"step returned {type(out).__name__}",
                "the host reads loss, features and what queues receive from a StepOutput",
                "return StepOutput(loss, features=h)",
            )
        return out

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
        """Training steps; the loss and the gradient of each.

        Args:
            optimizer: makes it from the parameters.
            start: number of the first step.
            share: this process's part of each batch.
        """
        parameters = [p for _, p in method.trainable_parameters()]
        dtype = parameters[0].dtype
        stepping = optimizer(parameters)
        found = []
        for step in range(start, start + steps):
            chosen = torch.arange(count)[share]
            out = self.step(method, self.batch(count, step, dtype, chosen))
            stepping.zero_grad()
            out.loss.backward()
            average_gradients(parameters)
            gradient = [p.grad.flatten() for p in parameters if p.grad is not None]
            found.append((float(out.loss.detach()), torch.cat(gradient).clone()))
            stepping.step()
            method.finish_step(out, step, TOTAL_STEPS)
        return found


def _shrunk(schema: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: SMALL
        for name, field in schema.model_fields.items()
        if name not in given and type(field.default) is int and field.default > LARGEST
    }
