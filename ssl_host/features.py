"""Compute image features with a trained backbone, outside a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ssl_host.augment.executor import evaluation_view
from ssl_host.contracts.data import Fit, ImageDataset, UnreadableImage
from ssl_host.contracts.networks import Backbone
from ssl_host.data.store import no_readable_images_message, underlying_array
from ssl_host.errors import DataError, UserError
from ssl_host.toolkit.image_files import FileImages
from ssl_host.toolkit.image_listing import list_images
from ssl_host.toolkit.plurals import pluralize
from ssl_host.toolkit.resizing import PHOTO_MARGIN, resize_to_square


@torch.no_grad()
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
    if not backbone.mean:
        raise UserError(
            "the backbone has no mean and std: set backbone.mean and backbone.std, or use "
            "ssl_host.load_backbone"
        )
    if isinstance(images, ImageDataset):
        dataset = images
        _warn_about_other_settings(dataset, backbone)
    else:
        dataset = _open_folder(Path(images), backbone.in_channels)
        dataset.fit = fit or backbone.fit
        dataset.value_range = value_range or backbone.value_range
    backbone.eval()
    device = next(backbone.parameters()).device
    names: list[str] = []
    rows: list[Tensor] = []
    skipped: list[tuple[str, str]] = []
    for indices in torch.arange(len(dataset)).split(batch_size):
        pixels = _read_images(dataset, indices.tolist(), backbone.image_size, names, skipped)
        if pixels:
            batch = torch.stack(pixels).to(device)
            view = evaluation_view(batch, backbone.image_size, backbone.mean, backbone.std)
            rows.append(backbone(view).float().cpu())
    if not rows:
        raise DataError(no_readable_images_message(tuple(skipped)))
    if skipped:
        name, reason = skipped[0]
        warnings.warn(
            f"{pluralize(len(skipped), 'image')} could not be read, for example {name}: {reason}",
            stacklevel=2,
        )
    return names, torch.cat(rows)


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


def _read_images(
    images: ImageDataset,
    indices: list[int],
    size: int,
    names: list[str],
    skipped: list[tuple[str, str]],
) -> list[Tensor]:
    """Return the readable images, resized and made square.

    Args:
        images: the dataset.
        indices: indices of the images to read.
        size: image size of the backbone in pixels; photos get a margin around it.
        names: list to which the name of each readable image is added.
        skipped: list to which the name of each unreadable image and the reason are added.
    """
    # Leave a margin around the later crop of a photo, as in the packed store of a run.
    side = size if underlying_array(images) is not None else round(size * PHOTO_MARGIN)
    pixels = []
    for i in indices:
        try:
            pixels.append(resize_to_square(images.read(i), side, images.fit))
        except UnreadableImage as error:
            skipped.append((images.name(i), str(error)))
        else:
            names.append(images.name(i))
    return pixels
