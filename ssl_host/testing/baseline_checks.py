"""Conformance checks for baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_host.augment.executor import evaluation_view
from ssl_host.contracts.baseline import Baseline, BaselineInputs
from ssl_host.contracts.networks import Backbone
from ssl_host.contracts.settings import Settings
from ssl_host.errors import UserError
from ssl_host.evaluate.representations import make_representations
from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget
from ssl_host.weights import load_backbone

IMAGE_SIZE = 16
"""Height and width of the network's input, in pixels."""
STORED_SIZE = 20
"""Height and width of the images, in pixels."""
TOLERANCE = 1e-4
"""Largest difference, relative to the largest feature, between two computations of a feature."""


@dataclass(frozen=True)
class _Case:
    """Synthetic images and networks from which a baseline is made.

    Attributes:
        target: the baseline; its settings may include sections such as ``backbone.NAME``.
        channels: number of channels of the images.
    """

    target: CheckTarget
    channels: int = 3

    def images(self, count: int = 24, seed: int = 1) -> Tensor:
        """Return uint8 images (B, C, H, W)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (count, self.channels, STORED_SIZE, STORED_SIZE)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    def features(self, batches: list[Tensor], settings: Settings | None = None) -> list[Tensor]:
        """Return the features of each batch, all from the same extractor."""
        own = {k: v for k, v in self.target.settings.items() if not isinstance(v, Mapping)}
        baseline: Baseline = CheckTarget(self.target.kind, self.target.component, own).make(
            settings
        )
        name = self.target.name
        extractor = make_representations({name: baseline}, self._inputs())[name].features
        with torch.no_grad():
            return [extractor(batch) for batch in batches]

    def _inputs(self) -> BaselineInputs:
        mean, std = (0.5,) * self.channels, (0.25,) * self.channels
        return BaselineInputs(
            train_images=self.images(64, seed=0),
            transform=lambda images: evaluation_view(images, IMAGE_SIZE, mean, std),
            image_size=IMAGE_SIZE,
            channels=self.channels,
            mean=mean,
            std=std,
            device=torch.device("cpu"),
            untrained=lambda: self._network("backbone", IMAGE_SIZE).train(),
            backbone=lambda name, size: self._network(f"backbone.{name}", size).eval(),
            load_backbone=lambda path: load_backbone(path, self.target.catalog),
        )

    def _network(self, section: str, size: int) -> Backbone:
        """Return the network of a section of the target's settings, by default small_conv."""
        default = {"name": "small_conv", "width": 4, "num_stages": 2}
        settings = dict(self.target.settings.get(section, default))
        name = str(settings.pop("name"))
        torch.manual_seed(0)
        network: Backbone = CheckTarget("backbone", name, settings).make(
            in_channels=self.channels, image_size=size
        )
        return network


def features_are_rows(target: CheckTarget) -> str:
    """Check that gray and colour images give finite floating-point features (B, D)."""
    widths = {}
    for channels in (1, 3):
        case = _Case(target, channels)
        try:
            (features,) = case.features([case.images()])
        except UserError:  # the baseline is only for images with other numbers of channels
            continue
        if not features.is_floating_point() or not bool(features.isfinite().all()):
            raise CheckFailure(
                f"the features of images with {channels} channels are {features.dtype}"
                + ("" if features.is_floating_point() else " instead of float32")
                + ", and not all are finite",
                "evaluators compute distances between features",
                "convert them with .float(), and avoid divisions by 0",
            )
        widths[channels] = features.shape[1]
    if not widths:
        raise NotApplicable("it refuses images with 1 and with 3 channels")
    return ", ".join(f"{width} features of {c} channels" for c, width in widths.items())


def batch_independence(target: CheckTarget) -> str:
    """Check that the features of an image do not depend on the other images or on chance."""
    case = _accepted_case(target)
    images = case.images()
    order = torch.arange(len(images)).flip(0)
    whole, single, flipped = case.features([images, images[:1], images[order]])
    again = case.features([images])[0]
    scale = float(whole.abs().max().clamp_min(1e-12)) * TOLERANCE
    for what, other, expected in (
        ("alone", single, whole[:1]),
        ("in another order", flipped, whole[order]),
        ("by a second extractor", again, whole),
    ):
        difference = float((other - expected).abs().max())
        if not difference <= scale:
            raise CheckFailure(
                f"the features of an image computed {what} differ by {difference:.2g}",
                "metrics would depend on the order of the images or on chance",
                "use no statistics of the batch, and seed random numbers in make_extractor",
            )
    return ""


def input_unchanged(target: CheckTarget) -> str:
    """Check that the extractor does not modify the images, which all baselines share."""
    case = _accepted_case(target)
    images = case.images()
    before = images.clone()
    case.features([images])
    if not torch.equal(images, before):
        raise CheckFailure(
            "the images are changed in place",
            "all baselines and the trained network get the same batch",
            "work on a copy, such as images.float()",
        )
    return ""


def settings_declared(target: CheckTarget) -> str:
    """Check that the baseline reads only settings that its Config declares."""
    case = _accepted_case(target)
    own = {k: v for k, v in target.settings.items() if not isinstance(v, Mapping)}
    made = CheckTarget(target.kind, target.component, own).make_settings()
    settings, read, unknown = track_reads(made)
    case.features([case.images()], settings)
    return check_recorded_reads(target, read, unknown, set(target.cls.named_sections))


def _accepted_case(target: CheckTarget) -> _Case:
    """Return a case with colour images, or with gray ones if the baseline refuses these."""
    for channels in (3, 1):
        case = _Case(target, channels)
        try:
            case.features([case.images(2)])
        except UserError:
            continue
        return case
    raise NotApplicable("it refuses images with 1 and with 3 channels")
