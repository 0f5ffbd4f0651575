"""Draw the pictures in a report: augmented views, nearest neighbours, patches, a projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.augment.executor import ViewMaker
from ssl_host.contracts.evaluation import FeatureBank, Features
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.data.store import PixelArray
from ssl_host.report.encoding import data_uri, denormalise, png_uri, to_uint8
from ssl_host.report.patch_pictures import draw_patches
from ssl_host.toolkit.sampling import evenly_spaced_indices

NUM_QUERIES = 8
"""Number of images that are shown with their views or nearest neighbours."""
NUM_NEIGHBOURS = 6
"""Number of nearest neighbours that are shown for each query image."""
NUM_VIEWS = 6
"""Largest number of views that are shown for each image and epoch."""
MAX_MAP_IMAGES = 1000
"""Largest number of images in the 2-D projection of the features.

With more images, t-SNE takes longer than the rest of the report.
"""
TILE_SIDE = 28
"""Side of the thumbnails that the 2-D projection shows next to the pointer, in pixels."""


def draw_pictures(
    views: ViewMaker, images: OpenedDatasets, bank: FeatureBank | None, seed: int
) -> dict[str, Any]:
    """Return the content of ``report.json``: pictures and a 2-D projection of the features.

    Pictures are PNG data URIs.

    Args:
        views: view maker of the run.
        images: the images of the run.
        bank: features of the trained network; None if nothing was evaluated.
        seed: seed of the random views.
    """
    pictures: dict[str, Any] = {"gallery": _draw_views(views, images.train.images, seed)}
    if bank is None or len(bank.train.x) < 2:
        return pictures
    classes = list(images.classes)
    pictures["neighbours"] = _find_neighbours(images, bank, classes)
    pictures["patches"] = draw_patches(views, bank)
    pictures["map"] = _draw_map(images, bank, classes)
    return pictures


def _draw_views(views: ViewMaker, pixels: PixelArray, seed: int) -> list[dict[str, Any]]:
    """Return images and their augmented views in two epochs, as PNG data URIs."""
    index = evenly_spaced_indices(len(pixels), NUM_QUERIES)
    originals = pixels[index]
    epochs = [views(originals, index, epoch, seed) for epoch in range(2)]
    rows = []
    for i, original in enumerate(originals):
        pictures = [denormalise(v[i], views) for batch in epochs for v in batch[:NUM_VIEWS]]
        rows.append(
            {"image": data_uri(original), "views": [data_uri(to_uint8(p)) for p in pictures]}
        )
    return rows


def _shown_split(images: OpenedDatasets, bank: FeatureBank) -> tuple[Features, PixelArray, bool]:
    """Return the features and images that the report shows, and True if they are held out.

    The report shows the held-out split if there is one, otherwise the training split.
    """
    if bank.test is not None and images.test is not None:
        return bank.test, images.test.images, True
    return bank.train, images.probe.images, False


def _find_neighbours(
    images: OpenedDatasets, bank: FeatureBank, classes: list[str]
) -> list[dict[str, Any]]:
    """Return query images, each with the training images that have the most similar features."""
    features, pixels, held_out = _shown_split(images, bank)
    queries = evenly_spaced_indices(len(features.x), NUM_QUERIES)
    keys = functional.normalize(bank.train.x.float(), dim=1)
    similarity = functional.normalize(features.x[queries].float(), dim=1) @ keys.T
    if not held_out:  # exclude the query itself
        similarity[torch.arange(len(queries)), queries] = -2.0
    best = similarity.topk(min(NUM_NEIGHBOURS, len(keys) - 1), dim=1)
    rows = []
    for query, indices, scores in zip(queries, best.indices, best.values, strict=True):
        label = None if features.y is None else int(features.y[query])
        neighbours = []
        for index, score in zip(indices, scores, strict=True):
            neighbour_label = None if bank.train.y is None else int(bank.train.y[index])
            neighbours.append(
                {
                    "image": data_uri(images.probe.images[index[None]][0]),
                    "label": _class_name(classes, neighbour_label),
                    "right": None if label is None else label == neighbour_label,
                    "similarity": round(float(score), 3),
                }
            )
        rows.append(
            {
                "image": data_uri(pixels[query[None]][0]),
                "label": _class_name(classes, label),
                "neighbours": neighbours,
            }
        )
    return rows


def _draw_map(images: OpenedDatasets, bank: FeatureBank, classes: list[str]) -> dict[str, Any]:
    """Return a 2-D projection of the features: position, label and thumbnail of each image."""
    features, pixels, held_out = _shown_split(images, bank)
    index = evenly_spaced_indices(len(features.x), MAX_MAP_IMAGES)
    x = functional.normalize(features.x[index].float(), dim=1)
    positions, method = _project(x)
    low, high = positions.min(dim=0).values, positions.max(dim=0).values
    positions = (positions - low) / (high - low).clamp(min=1e-9)
    columns = int(len(index) ** 0.5) + 1
    rows = -(-len(index) // columns)
    sheet = torch.full((3, TILE_SIDE * rows, TILE_SIDE * columns), 255, dtype=torch.uint8)
    for i, number in enumerate(index):
        top, left = TILE_SIDE * (i // columns), TILE_SIDE * (i % columns)
        tile = _resize(pixels[number[None]][0], TILE_SIDE)
        sheet[:, top : top + TILE_SIDE, left : left + TILE_SIDE] = tile
    labels = [] if features.y is None else [int(k) for k in features.y[index]]
    return {
        "method": method,
        "images": "held-out images" if held_out else "training images",
        "positions": [[round(float(a), 4), round(float(b), 4)] for a, b in positions],
        "labels": labels,
        "classes": classes if labels else [],
        "columns": columns,
        "tile": TILE_SIDE,
        "sheet": png_uri(sheet),
    }


def _project(x: Tensor) -> tuple[Tensor, str]:
    """Return two coordinates for each row of features, and the name of the projection.

    The projection is t-SNE if scikit-learn is installed and there are at least 50 rows, otherwise
    the first two principal components.
    """
    centred = x - x.mean(dim=0)
    _, _, axes = torch.linalg.svd(centred.double(), full_matrices=False)
    components = (centred.double() @ axes[: min(50, len(axes))].T).float()
    try:
        from sklearn.manifold import TSNE  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        TSNE = None  # noqa: N806
    if TSNE is None or len(x) < 50:
        missing = max(0, 2 - components.shape[1])
        return functional.pad(components[:, :2], (0, missing)), "the first two principal components"
    perplexity = min(30.0, len(x) / 4)
    tsne = TSNE(random_state=0, perplexity=perplexity, init="pca")
    return torch.from_numpy(np.asarray(tsne.fit_transform(components.numpy()))), "t-SNE"


def _class_name(classes: list[str], label: int | None) -> str:
    """Return the name of a class; empty if there is no label or if classes have no names."""
    return "" if label is None or not classes else classes[label]


def _resize(image: Tensor, side: int) -> Tensor:
    """Return an image resized to (3, side, side), uint8."""
    if image.shape[0] not in (1, 3):
        image = image[:1]
    small = functional.interpolate(
        image[None].float(), size=(side, side), mode="bilinear", antialias=True
    )
    return small[0].clamp(0, 255).to(torch.uint8).expand(3, -1, -1)
