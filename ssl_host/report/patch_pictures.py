"""Draw the patch tokens in a report: principal components, attention, similar patches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.evaluation import FeatureBank
from ssl_host.contracts.networks import Backbone, Tokens
from ssl_host.errors import PluginError, UserError
from ssl_host.report.encoding import data_uri, denormalise, to_uint8
from ssl_host.toolkit.sampling import evenly_spaced_indices

NUM_IMAGES = 6
"""Number of images whose patches are shown."""
NUM_SEARCHED = 64
"""Number of training images among which similar patches are searched."""
NUM_SIMILAR = 3
"""Number of images with a similar patch that are shown for each image."""
SIDE = 96
"""Largest side of a picture, in pixels."""
QUANTILE = 0.02
"""Fraction of the patches that is beyond each end of a colour's range."""
MIN_BRIGHTNESS = 0.1
"""Brightness of pixels without attention."""


@dataclass(frozen=True)
class PatchReader:
    """Reader of the pictures, the patch tokens and the attention of a trained network.

    Attributes:
        network: the network, in evaluation mode.
        transform: function that turns uint8 images into the network's input.
        views: view maker of the run, which has the mean and std of the input.
    """

    network: Backbone
    transform: Callable[[Tensor], Tensor]
    views: ViewMaker

    def picture(self, images: Tensor) -> Tensor:
        """Return what the network sees of uint8 images (B, C, H, W): (B, C, S, S), from 0 to 1."""
        return denormalise(self.transform(images), self.views).clamp(0, 1)

    def patches(self, images: Tensor) -> Tensor:
        """Return the patch tokens (B, T, D) of uint8 images, float32, on the CPU."""
        tokens: Tokens = self.network.tokens(self._input(images))
        return tokens.patches.float().cpu()

    def attention(self, images: Tensor) -> Tensor | None:
        """Return the mean class attention of the heads, (B, T); None if there is none."""
        try:
            return self.network.class_attention(self._input(images)).mean(dim=1).float().cpu()
        except UserError:
            return None

    def _input(self, images: Tensor) -> Tensor:
        """Return the network's input for uint8 images, on its device."""
        return self.transform(images.to(next(self.network.parameters()).device))


@torch.no_grad()
def draw_patches(views: ViewMaker, bank: FeatureBank) -> dict[str, Any] | None:
    """Return pictures of the patches of a few images; None if the network has no patch tokens.

    If the network fails, for example because it needs too much memory, the result has the error
    instead, because a finished training must not be lost for pictures.

    Args:
        views: view maker of the run.
        bank: features of the trained network. Its held-out images are shown if there are any, and
            similar patches are searched in its training images.
    """
    network = None if bank.encoder is None or bank.train_images is None else bank.encoder()
    if bank.eval_transform is None or not isinstance(network, Backbone):
        return None
    reader = PatchReader(network.eval(), bank.eval_transform, views)
    shown = bank.train_images if bank.test_images is None else bank.test_images
    numbers = evenly_spaced_indices(len(shown), NUM_IMAGES)
    others = evenly_spaced_indices(len(bank.train_images), NUM_SEARCHED)
    images, searched = shown[numbers], bank.train_images[others]
    try:
        with attribute_errors(network, "while computing patch tokens for the report"):
            patches, keys = reader.patches(images), reader.patches(searched)
            attention = reader.attention(images)
    except PluginError as error:
        return {"error": str(error)}
    except UserError:  # the backbone has no tokens
        return None
    side = math.isqrt(patches.shape[1])
    if side < 2 or side**2 != patches.shape[1] or not patches.isfinite().all():
        return None
    marked = _marked_patches(attention, len(images), side)
    is_same = (numbers[:, None] == others) & (bank.test_images is None)
    similar = find_similar_patches(patches[torch.arange(len(images)), marked], keys, is_same)
    return {
        "images": "training images" if bank.test_images is None else "held-out images",
        "num_searched": len(searched),
        "side": side,
        "has_attention": attention is not None,
        "rows": _draw_rows(reader, images, patches, attention, marked, searched, similar),
    }


def principal_colours(patches: Tensor) -> Tensor:
    """Return the first three principal components of all patches, from 0 to 1.

    Each component is signed so that its largest value is positive, and scaled so that all but the
    outer quantiles are between 0 and 1. A missing component is 0.

    Args:
        patches: patch tokens of several images, (B, T, D).

    Returns:
        (B, T, 3), float32.
    """
    x = patches.flatten(0, 1).double()
    x = x - x.mean(dim=0)
    if x.shape[0] < x.shape[1]:  # rotate into the space of the patches, which is smaller
        x = torch.linalg.qr(x.T).R.T
    # Eigenvectors of the covariance, because singular values of many patches take seconds.
    components = x @ torch.linalg.eigh(x.T @ x).eigenvectors.flip(1)[:, :3]
    largest = components.gather(0, components.abs().argmax(dim=0, keepdim=True))
    components = components * torch.where(largest < 0, -1.0, 1.0)
    ends = torch.tensor([QUANTILE, 1 - QUANTILE], dtype=torch.float64)
    low, high = components.quantile(ends, dim=0)
    colours = ((components - low) / (high - low).clamp(min=1e-9)).clamp(0, 1).float()
    colours = functional.pad(colours, (0, 3 - colours.shape[1]))
    return colours.view(*patches.shape[:2], 3)


def brightness(attention: Tensor) -> Tensor:
    """Return a brightness below 1 for each weight; in the middle for the mean weight.

    Unlike a scale from the smallest to the largest weight, it shows that uniform weights are
    uniform, and one large weight does not darken all others.
    """
    relative = attention / (attention + attention.mean()).clamp(min=1e-12)
    return MIN_BRIGHTNESS + (1 - MIN_BRIGHTNESS) * relative


def find_similar_patches(
    queries: Tensor, keys: Tensor, excluded: Tensor
) -> list[list[tuple[int, int, float]]]:
    """Return, for each query, the images that have the most similar patches.

    Args:
        queries: one patch token for each shown image, (Q, D).
        keys: patch tokens of the searched images, (N, T, D).
        excluded: True for searched images that are the shown image itself, (Q, N), bool.

    Returns:
        Image, patch and cosine similarity of the best patch of each of the most similar images,
        the most similar one first.
    """
    similarity = torch.einsum(
        "qd,ntd->qnt", functional.normalize(queries, dim=1), functional.normalize(keys, dim=2)
    )
    best = similarity.masked_fill(excluded[:, :, None], -torch.inf).max(dim=2)
    near = best.values.topk(min(NUM_SIMILAR, len(keys)), dim=1)
    return [
        [
            (int(i), int(best.indices[query, i]), round(float(score), 3))
            for i, score in zip(indices, scores, strict=True)
            if score.isfinite()
        ]
        for query, (indices, scores) in enumerate(zip(near.indices, near.values, strict=True))
    ]


def _marked_patches(attention: Tensor | None, count: int, side: int) -> Tensor:
    """Return the patch of each image with the most attention, or else the one in the middle."""
    if attention is None:
        return torch.full((count,), side // 2 * side + side // 2)
    return attention.argmax(dim=1)


def _draw_rows(
    reader: PatchReader,
    images: Tensor,
    patches: Tensor,
    attention: Tensor | None,
    marked: Tensor,
    searched: Tensor,
    similar: list[list[tuple[int, int, float]]],
) -> list[dict[str, Any]]:
    """Return the pictures of each image as data URIs, and the places of its patches in percent."""
    side = math.isqrt(patches.shape[1])
    pictures, colours = reader.picture(images), principal_colours(patches)
    rows = []
    for i, picture in enumerate(pictures):
        size = max(picture.shape[-1], SIDE)
        row = {
            "image": _uri(picture),
            "place": _place(int(marked[i]), side),
            "components": _uri(_enlarge(colours[i].T.unflatten(1, (side, side)), size)),
            "similar": [
                {
                    "image": _uri(reader.picture(searched[n : n + 1])[0]),
                    "place": _place(patch, side),
                    "similarity": score,
                }
                for n, patch, score in similar[i]
            ],
        }
        if attention is not None:
            light = _enlarge(brightness(attention[i]).view(1, side, side), size)
            row["attention"] = _uri(_enlarge(picture, size) * light)
        rows.append(row)
    return rows


def _place(patch: int, side: int) -> list[float]:
    """Return the left and the top of a patch, as percentages of the picture."""
    return [round(100 * (patch % side) / side, 2), round(100 * (patch // side) / side, 2)]


def _enlarge(picture: Tensor, size: int) -> Tensor:
    """Return a picture (C, H, W), bilinearly resized to (C, ``size``, ``size``)."""
    return functional.interpolate(picture[None], size=(size, size), mode="bilinear")[0]


def _uri(picture: Tensor) -> str:
    """Return a picture (C, H, W), from 0 to 1, as a PNG data URI."""
    return data_uri(to_uint8(picture), SIDE)
