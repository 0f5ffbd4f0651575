"""Conformance checks for augmentations."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_host.augment.executor import ViewMaker
from ssl_host.errors import ContractError
from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.distributed import distance
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

IMAGE_SIZE = 32
BATCH_SIZE = 6
TOLERANCE = 2e-6
"""Largest relative error of float32 sums that are computed in a different order."""


def _view_maker(target: CheckTarget, channels: int = 3, settings: object = None) -> ViewMaker:
    """Return a view maker that applies the augmentation without normalising the views.

    Raises:
        CheckFailure: when the host cannot decide which method of the augmentation to call.
    """
    augmentation = target.make(settings, image_size=IMAGE_SIZE, channels=channels)  # type: ignore[arg-type]
    try:
        # Identity normalisation, so the checks see the augmentation's own values.
        return ViewMaker(
            augmentation, image_size=IMAGE_SIZE, mean=(0.0,) * channels, std=(1.0,) * channels
        )
    except ContractError as error:
        raise CheckFailure(
            str(error),
            "the host cannot decide which method to call",
            "override view_specs if the engine's operations are enough, else apply_batch, or "
            "apply_image for transforms of a single image",
        ) from None


def _images(count: int = BATCH_SIZE, channels: int = 3) -> Tensor:
    """Return smooth random uint8 images of shape (B, C, 40, 48)."""
    generator = torch.Generator().manual_seed(channels)
    noise = torch.rand(count, channels, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(noise, size=(40, 48), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def view_shapes(target: CheckTarget) -> str:
    """Check that views are (B, C, H, W) with valid values, and that full-size ones come first."""
    for channels in (3, 1):
        maker = _view_maker(target, channels)
        views = maker(_images(channels=channels))
        for number, view in enumerate(views):
            size = view.shape[-1]
            fits = view.ndim == 4 and view.shape[:2] == (BATCH_SIZE, channels)
            if not fits or not torch.isfinite(view).all():
                raise CheckFailure(
                    f"view {number} of images with {channels} channels has the shape "
                    f"{tuple(view.shape)}"
                    + ("" if torch.isfinite(view).all() else " and values that are not finite"),
                    "the backbone expects a tensor of shape (B, C, H, W) with finite values",
                    "return one tensor (B, C, H, W) per view, with as many channels as the images",
                )
            if float(view.min()) < -0.3 or float(view.max()) > 1.3:
                raise CheckFailure(
                    f"the values of view {number} range from {float(view.min()):.2f} to "
                    f"{float(view.max()):.2f}",
                    "the host expects values from 0 to 1 and normalises them itself",
                    "leave normalisation to the host, and return images from 0 to 1",
                )
            if number < maker.num_global and size != IMAGE_SIZE:
                raise CheckFailure(
                    f"view {number} is {size} pixels wide, but views of {IMAGE_SIZE} pixels follow",
                    "methods use the first batch.num_global views as the full-size ones",
                    "return full-size views first",
                )
    return f"{maker.num_views} views, {maker.num_global} of full size"


def same_seed(target: CheckTarget) -> str:
    """Check that views do not depend on torch's global random number generator."""
    maker = _view_maker(target)
    torch.manual_seed(1)
    first = maker(_images(), seed=5, epoch=2)
    torch.manual_seed(2)
    second = maker(_images(), seed=5, epoch=2)
    if any(not torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise CheckFailure(
            "two calls with the same seed, epoch and images give different views",
            "a resumed run would differ from one that was never interrupted",
            "draw all random numbers with rng.uniform(view, 'name'), and none with torch.rand",
        )
    return ""


def batch_independence(target: CheckTarget) -> str:
    """Check that the views of an image do not depend on the other images in the batch."""
    maker = _view_maker(target)
    images, index = _images(), torch.arange(BATCH_SIZE)
    whole = maker(images, index)
    for i in (0, BATCH_SIZE - 1):
        one = maker(images[i : i + 1], index[i : i + 1])
        error = max(distance(a[0], b[i]) for a, b in zip(one, whole, strict=True))
        if error > TOLERANCE:
            raise CheckFailure(
                f"the views of image {i} alone differ by {error:.1e} from those in a batch",
                "views would depend on the number of processes and on accumulation",
                "use one random number per image (rng.uniform returns B of them), and no "
                "statistics over the batch",
            )
    return ""


def varies_by_epoch(target: CheckTarget) -> str:
    """Check that random views of the same image differ from epoch to epoch."""
    maker = _view_maker(target)
    copies = _images()[:1].expand(BATCH_SIZE, -1, -1, -1)
    first, second = maker(copies, epoch=0), maker(copies, epoch=1)
    is_random = any(not torch.equal(view[0], view[1]) for view in first)
    if is_random and all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise CheckFailure(
            "two epochs have the same views",
            "the method would see the same views of an image in every epoch",
            "draw random numbers from rng, which depends on the epoch",
        )
    return "random" if is_random else "not random"


def input_unchanged(target: CheckTarget) -> str:
    """Check that the augmentation does not modify its input images."""
    maker = _view_maker(target)
    images = _images()
    before = images.clone()
    maker(images)
    if not torch.equal(images, before):
        raise CheckFailure(
            "the input images are changed in place",
            "the next epoch would start from augmented images",
            "write into new tensors",
        )
    return ""


def settings_declared(target: CheckTarget) -> str:
    """Check that the augmentation reads only settings that its Config declares."""
    settings, read, unknown = track_reads(target.make_settings())
    _view_maker(target, settings=settings)(_images())
    return check_recorded_reads(target, read, unknown)
