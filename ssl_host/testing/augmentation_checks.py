"""Augmentations: what views must be."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_host.augment.executor import ViewMaker
from ssl_host.errors import ContractError
from ssl_host.testing.component_checks import judge_reading, watched
from ssl_host.testing.distributed import distance
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

SIZE = 32
COUNT = 6
SAME = 2e-6
"""Float32 sums in another order."""


def _maker(target: CheckTarget, channels: int = 3, settings: object = None) -> ViewMaker:
    augmentation = target.make(settings, image_size=SIZE, channels=channels)  # type: ignore[arg-type]
    try:
        # No normalisation: values are then those of the views themselves.
        return ViewMaker(
            augmentation, image_size=SIZE, mean=(0.0,) * channels, std=(1.0,) * channels
        )
    except ContractError as error:
        raise CheckFailure(
            str(error),
            "the host would not know which of the forms to call",
            "override view_specs where the engine's operations are enough, else apply_batch, or "
            "apply_image for transforms that take one image",
        ) from None


def _images(count: int = COUNT, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(channels)
    made = torch.rand(count, channels, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(made, size=(40, 48), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def view_shapes(target: CheckTarget) -> str:
    """Views are B C H W, finite, from 0 to 1, full-size ones first, of colour and gray images."""
    for channels in (3, 1):
        maker = _maker(target, channels)
        views = maker(_images(channels=channels))
        for number, view in enumerate(views):
            side = view.shape[-1]
            good = view.ndim == 4 and view.shape[:2] == (COUNT, channels)
            if not good or not torch.isfinite(view).all():
                raise CheckFailure(
                    f"view {number} of images with {channels} channels is {tuple(view.shape)}"
                    + ("" if torch.isfinite(view).all() else ", not all of it finite"),
                    "the backbone takes B C H W",
                    "return one tensor B C H W a view, with the images' channels",
                )
            if float(view.min()) < -0.3 or float(view.max()) > 1.3:
                raise CheckFailure(
                    f"view {number} goes from {float(view.min()):.2f} to {float(view.max()):.2f}",
                    "the host normalises views that go from 0 to 1",
                    "leave normalisation to the host, and work on images from 0 to 1",
                )
            if number < maker.num_global and side != SIZE:
                raise CheckFailure(
                    f"view {number} has a side of {side}, before views of {SIZE}",
                    "methods take the first batch.num_global views for the full-size ones",
                    "return full-size views first",
                )
    return f"{maker.num_views} views, {maker.num_global} of full size"


def same_seed(target: CheckTarget) -> str:
    """The same seed, epoch and image give the same views, whatever the global generators do."""
    maker = _maker(target)
    torch.manual_seed(1)
    first = maker(_images(), seed=5, epoch=2)
    torch.manual_seed(2)
    second = maker(_images(), seed=5, epoch=2)
    if any(not torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise CheckFailure(
            "the same seed, epoch and images give other views",
            "no step could be made again, and no resume would be exact",
            "take every random number from rng.uniform(view, 'name'), none from torch.rand",
        )
    return ""


def batch_independence(target: CheckTarget) -> str:
    """An image's views do not depend on the batch it is in."""
    maker = _maker(target)
    images, index = _images(), torch.arange(COUNT)
    whole = maker(images, index)
    for i in (0, COUNT - 1):
        one = maker(images[i : i + 1], index[i : i + 1])
        gap = max(distance(a[0], b[i]) for a, b in zip(one, whole, strict=True))
        if gap > SAME:
            raise CheckFailure(
                f"image {i} alone has views that differ by {gap:.1e} from those in a batch",
                "views would depend on the number of processes and on accumulation",
                "use one random number an image (rng.uniform gives B of them), and no "
                "statistic over the batch",
            )
    return ""


def varies_by_epoch(target: CheckTarget) -> str:
    """Where there is chance, epochs and images draw anew."""
    maker = _maker(target)
    same = _images()[:1].expand(COUNT, -1, -1, -1)
    one, two = maker(same, epoch=0), maker(same, epoch=1)
    random = any(not torch.equal(a[0], a[1]) for a in one)
    if random and all(torch.equal(a, b) for a, b in zip(one, two, strict=True)):
        raise CheckFailure(
            "two epochs have the same views",
            "the method would see one pair of views an image, for ever",
            "take random numbers from draws, which knows the epoch",
        )
    return "random" if random else "no chance in it"


def input_unchanged(target: CheckTarget) -> str:
    """The images that are handed over stay as they are."""
    maker = _maker(target)
    images = _images()
    before = images.clone()
    maker(images)
    if not torch.equal(images, before):
        raise CheckFailure(
            "the images have been changed in place",
            "the next epoch would start from augmented images",
            "write into new tensors",
        )
    return ""


def settings_declared(target: CheckTarget) -> str:
    """Nothing is read that Config does not declare."""
    settings, read, unknown = watched(target.make_settings())
    _maker(target, settings=settings)(_images())
    return judge_reading(target, read, unknown, set())
