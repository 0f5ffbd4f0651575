"""Compute image features with a trained backbone, outside a run."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssl_host.augment.executor import evaluation_view
from ssl_host.contracts.data import Fit, ImageDataset
from ssl_host.contracts.networks import Backbone
from ssl_host.data.decoding import BatchImages, DecodedImages
from ssl_host.data.prefetch import prefetch
from ssl_host.data.store import no_readable_images_message, underlying_array
from ssl_host.errors import DataError, UserError
from ssl_host.toolkit.image_files import FileImages
from ssl_host.toolkit.image_listing import list_images
from ssl_host.toolkit.plurals import pluralize
from ssl_host.toolkit.resizing import PHOTO_MARGIN


@dataclass(frozen=True)
class FeatureBatch:
    """Features of consecutive images of a dataset.

    Attributes:
        indices: indices of the B readable images, shape (B,), int64.
        features: their features (B, D) or patch tokens (B, T, D), float32, on the CPU.
        unreadable: index and reason of each image that could not be read.
    """

    indices: Tensor
    features: Tensor
    unreadable: list[tuple[int, str]]


def extract_features(
    backbone: Backbone,
    images: str | Path | ImageDataset,
    *,
    batch_size: int = 256,
    fit: Fit | None = None,
    value_range: tuple[float, float] | None = None,
) -> tuple[list[str], Tensor]:
    """Return the names of all readable images, and their features from the backbone.

    Images are resized, made square and normalised as when a run is evaluated. Unreadable
    images are skipped, with a single warning.

    Args:
        backbone: a backbone from :func:`load_backbone`; it is switched to evaluation mode.
        images: path of a folder, or a dataset.
        batch_size: number of images in each forward pass.
        fit: how the images of a folder are made square; None uses the ``fit`` of the backbone. A
            dataset uses its own ``fit``, and a warning is given if the backbone's is different.
        value_range: pixel values of black and white in the images of a folder; None uses the
            ``value_range`` of the backbone. A dataset uses its own, as for ``fit``.

    Returns:
        The names of the N readable images and their features: a float32 tensor (N, D) on the CPU.

    Raises:
        DataError: when the folder does not exist, or when there are no images or none can be read.
        UserError: when the backbone's ``mean`` and ``std`` are not set.
    """
    if isinstance(images, ImageDataset):
        dataset = images
        _warn_about_other_settings(dataset, backbone)
    else:
        dataset = _open_folder(Path(images), backbone.in_channels)
        dataset.fit = fit or backbone.fit
        dataset.value_range = value_range or backbone.value_range
    names: list[str] = []
    rows: list[Tensor] = []
    skipped: list[tuple[str, str]] = []
    for batch in iterate_features(backbone, dataset, batch_size=batch_size):
        names += map(dataset.name, batch.indices.tolist())
        rows.append(batch.features)
        skipped += [(dataset.name(i), reason) for i, reason in batch.unreadable]
    if not names:
        raise DataError(no_readable_images_message(tuple(skipped)))
    if skipped:
        name, reason = skipped[0]
        warnings.warn(
            f"{pluralize(len(skipped), 'image')} could not be read, for example {name}: {reason}",
            stacklevel=2,
        )
    return names, torch.cat(rows)


@torch.no_grad()
def iterate_features(
    backbone: Backbone,
    images: ImageDataset,
    *,
    batch_size: int = 256,
    start: int = 0,
    tokens: bool = False,
) -> Generator[FeatureBatch, None, None]:
    """Yield the features of the images of a dataset in batches, so that memory stays bounded.

    Images are resized and normalised as when a run is evaluated. Threads decode and prepare them
    while the backbone computes the batch before.

    Args:
        backbone: a backbone from :func:`load_backbone`; it is switched to evaluation mode.
        images: the dataset.
        batch_size: number of images in each forward pass. The features of an image do not depend on
            the other images of its batch, but may depend on the size of the batch in the last bits.
        start: index of the first image.
        tokens: True to yield the patch tokens (B, T, D) instead of the features.

    Raises:
        DataError: when the images do not have the number of channels of the backbone.
        UserError: when the backbone's ``mean`` and ``std`` are not set, or it has no tokens.
    """
    if not backbone.mean:
        raise UserError(
            "the backbone has no mean and std: set backbone.mean and backbone.std, or use "
            "ssl_host.load_backbone"
        )
    backbone.eval()
    array = _array_to_read(images, backbone)
    reasons: Mapping[int, str] = getattr(array, "unreadable", {})
    starts = range(start, len(images), batch_size)
    views = prefetch(_view(array[first : first + batch_size], backbone) for first in starts)
    for first, view in zip(starts, views, strict=True):
        output = backbone.tokens(view).patches if tokens else backbone(view)
        indices = range(first, first + len(view))
        readable = torch.tensor([i for i in indices if i not in reasons], dtype=torch.int64)
        unreadable = [(i, reasons[i]) for i in indices if i in reasons]
        yield FeatureBatch(readable, output.float().cpu()[readable - first], unreadable)


def _view(images: Tensor, backbone: Backbone) -> Tensor:
    """Return the normalised input (B, C, H, W) of a backbone, given uint8 images on the CPU.

    Raises:
        DataError: when the images do not have the number of channels of the backbone.
    """
    if images.shape[1] != backbone.in_channels:
        raise DataError(
            f"the images have {images.shape[1]} channels, but the backbone needs "
            f"{backbone.in_channels}"
        )
    pixels = images.to(next(backbone.parameters()).device)
    return evaluation_view(pixels, backbone.image_size, backbone.mean, backbone.std)


def _warn_about_other_settings(images: ImageDataset, backbone: Backbone) -> None:
    """Warn if a dataset reads its images differently from the run that trained the backbone."""
    if underlying_array(images) is not None or images.image_size is not None:
        return  # these images are already square
    given = {"fit": images.fit, "value_range": images.value_range}
    expected = {"fit": backbone.fit, "value_range": backbone.value_range}
    if given != expected:
        warnings.warn(
            f"the dataset has {_settings_text(given)}, but the backbone was trained with "
            f"{_settings_text(expected)}",
            stacklevel=3,
        )


def _settings_text(settings: Mapping[str, object]) -> str:
    """Return settings as text: ``fit = crop, value_range = None``."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def _open_folder(folder: Path, channels: int) -> FileImages:
    """Return a dataset of the images in a folder and its subfolders, sorted by path.

    Raises:
        DataError: when the folder does not exist or contains no images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = list_images(folder).paths
    if not paths:
        raise DataError(f"{folder}: no image files ({', '.join(FileImages.suffixes)})")
    return FileImages(paths, channels=channels, root=folder)


def _array_to_read(images: ImageDataset, backbone: Backbone) -> BatchImages | DecodedImages:
    """Return the images of a dataset as an array that decodes them when it is indexed."""
    if images.image_size is not None:
        return BatchImages(images)
    # Leave a margin around the later crop of a photo, as in the packed store of a run.
    size = backbone.image_size
    side = size if underlying_array(images) is not None else round(size * PHOTO_MARGIN)
    return DecodedImages(images, backbone.in_channels, side)
