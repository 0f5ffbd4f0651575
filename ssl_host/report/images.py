"""What a report shows of images: the views, nearest neighbours, a map of the features."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ssl_host.augment.executor import ViewMaker
from ssl_host.contracts.evaluation import FeatureBank
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.data.store import PixelArray
from ssl_host.toolkit.sampling import evenly_spaced_indices

GALLERY = 8
"""Images whose views are shown."""
NEIGHBOURS = 6
"""Nearest images of each query."""
MAP_IMAGES = 1000
"""Images on the map; t-SNE of more takes longer than the figures are worth."""
SIDE = 64
"""Largest side of a picture in the report, in pixels."""
TILE = 28
"""Side of a picture that the map shows on hovering."""


def draw_pictures(
    views: ViewMaker, images: OpenedDatasets, bank: FeatureBank | None, seed: int
) -> dict[str, Any]:
    """``report.json``: pictures as PNG data URIs, and the coordinates of the map."""
    pictures: dict[str, Any] = {"gallery": _gallery(views, images.train.images, seed)}
    if bank is None or len(bank.train.x) < 2:
        return pictures
    classes = list(images.classes)
    pictures["neighbours"] = _neighbours(images, bank, classes)
    pictures["map"] = _map(images, bank, classes)
    return pictures


def _gallery(views: ViewMaker, pixels: PixelArray, seed: int) -> list[dict[str, Any]]:
    chosen = evenly_spaced_indices(len(pixels), GALLERY)
    originals = pixels[chosen]
    rounds = [views(originals, chosen, epoch, seed) for epoch in range(2)]
    mean = torch.tensor(views.mean).view(-1, 1, 1)
    std = torch.tensor(views.std).view(-1, 1, 1)
    rows = []
    for i, original in enumerate(originals):
        made = [view[i] * std + mean for views_ in rounds for view in views_[:6]]
        rows.append({"image": _uri(original), "views": [_uri(_to_bytes(view)) for view in made]})
    return rows


def _neighbours(
    images: OpenedDatasets, bank: FeatureBank, classes: list[str]
) -> list[dict[str, Any]]:
    held_out = bank.test is not None and images.test is not None
    asked = bank.test if bank.test is not None and held_out else bank.train
    asked_images = (
        images.test.images if images.test is not None and held_out else images.probe.images
    )
    queries = evenly_spaced_indices(len(asked.x), GALLERY)
    keys = functional.normalize(bank.train.x.float(), dim=1)
    similarity = functional.normalize(asked.x[queries].float(), dim=1) @ keys.T
    if not held_out:  # an image is its own nearest
        similarity[torch.arange(len(queries)), queries] = -2.0
    best = similarity.topk(min(NEIGHBOURS, len(keys) - 1), dim=1)
    rows = []
    for query, near, scores in zip(queries, best.indices, best.values, strict=True):
        truth = None if asked.y is None else int(asked.y[query])
        found = []
        for number, score in zip(near, scores, strict=True):
            label = None if bank.train.y is None else int(bank.train.y[number])
            found.append(
                {
                    "image": _uri(images.probe.images[number[None]][0]),
                    "label": _class(classes, label),
                    "right": None if truth is None else truth == label,
                    "similarity": round(float(score), 3),
                }
            )
        rows.append(
            {
                "image": _uri(asked_images[query[None]][0]),
                "label": _class(classes, truth),
                "neighbours": found,
            }
        )
    return rows


def _map(images: OpenedDatasets, bank: FeatureBank, classes: list[str]) -> dict[str, Any]:
    held_out = bank.test is not None and images.test is not None
    features = bank.test if bank.test is not None and held_out else bank.train
    pixels = images.test.images if images.test is not None and held_out else images.probe.images
    chosen = evenly_spaced_indices(len(features.x), MAP_IMAGES)
    x = functional.normalize(features.x[chosen].float(), dim=1)
    places, how = _flat(x)
    low, high = places.min(dim=0).values, places.max(dim=0).values
    places = (places - low) / (high - low).clamp(min=1e-9)
    side = -(-int(len(chosen) ** 0.5) // 1) + 1
    sheet = torch.full((3, TILE * (-(-len(chosen) // side)), TILE * side), 255, dtype=torch.uint8)
    for i, number in enumerate(chosen):
        picture = _resized(pixels[number[None]][0], TILE)
        top, left = TILE * (i // side), TILE * (i % side)
        sheet[:, top : top + TILE, left : left + TILE] = picture
    labels = [] if features.y is None else [int(k) for k in features.y[chosen]]
    return {
        "how": how,
        "of": "held-out images" if held_out else "training images",
        "places": [[round(float(a), 4), round(float(b), 4)] for a, b in places],
        "labels": labels,
        "classes": classes if labels else [],
        "columns": side,
        "tile": TILE,
        "sheet": _png(sheet),
    }


def _flat(x: Tensor) -> tuple[Tensor, str]:
    """Two coordinates a row: t-SNE where scikit-learn is there, else principal components."""
    centred = x - x.mean(dim=0)
    _, _, axes = torch.linalg.svd(centred.double(), full_matrices=False)
    plane = (centred.double() @ axes[: min(50, len(axes))].T).float()
    try:
        from sklearn.manifold import TSNE  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        TSNE = None  # noqa: N806
    if TSNE is None or len(x) < 50:
        wide = functional.pad(plane[:, :2], (0, max(0, 2 - plane.shape[1])))
        return wide, "the first two principal components"
    perplexity = min(30.0, len(x) / 4)
    made = TSNE(random_state=0, perplexity=perplexity, init="pca").fit_transform(plane.numpy())
    return torch.from_numpy(np.asarray(made)), "t-SNE"


def _class(classes: list[str], label: int | None) -> str:
    return "" if label is None or not classes else classes[label]


def _to_bytes(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _resized(image: Tensor, side: int) -> Tensor:
    if image.shape[0] not in (1, 3):
        image = image[:1]
    small = functional.interpolate(
        image[None].float(), size=(side, side), mode="bilinear", antialias=True
    )
    return small[0].clamp(0, 255).to(torch.uint8).expand(3, -1, -1)


def _uri(image: Tensor) -> str:
    height, width = image.shape[1:]
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        shrunk = functional.interpolate(
            image[None].float(), size=size, mode="bilinear", antialias=True
        )
        image = shrunk[0].clamp(0, 255).to(torch.uint8)
    return _png(image)


def _png(image: Tensor) -> str:
    if image.shape[0] not in (1, 3):
        image = image[:1]
    array = image.permute(1, 2, 0).contiguous().numpy()
    made = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    buffer = io.BytesIO()
    made.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
