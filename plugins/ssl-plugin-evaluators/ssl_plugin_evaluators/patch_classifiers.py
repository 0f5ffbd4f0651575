"""Classifiers of patch tokens, which predict the class of every pixel."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_plugin_evaluators.network import BATCH_SIZE, NetworkOutputs
from ssl_plugin_evaluators.training import train

PIXELS_PER_PATCH = 4
"""Largest number of mask pixels per side of a patch in the loss of the linear classifier."""
QUERIES_AT_ONCE = 1024
"""Number of patches that are compared with all stored patches at a time."""


def as_map(patches: Tensor) -> Tensor:
    """Return the patches (B, T, D) of square images as a map (B, D, √T, √T)."""
    side = math.isqrt(patches.shape[1])
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)


def upsample(scores: Tensor, size: int) -> Tensor:
    """Return scores of patches (B, C, h, w), bilinearly resized to (B, C, ``size``, ``size``)."""
    return functional.interpolate(scores, size=(size, size), mode="bilinear", align_corners=False)


def class_fractions(mask: Tensor, grid: int, num_classes: int, ignore_index: int) -> Tensor:
    """Return the fraction of each class among the labelled pixels of each patch.

    Each pixel belongs to the one patch that contains its centre, also if ``grid`` does not divide
    the size of the mask.

    Args:
        mask: class indices, (S, S), uint8.
        grid: number of patches per side.
        num_classes: number of classes C.
        ignore_index: class index of pixels without a class.

    Returns:
        (grid², C), float32; zeros for a patch without labelled pixels.
    """
    pixels = mask.numpy()
    line = (2 * np.arange(len(pixels)) + 1) * grid // (2 * len(pixels))
    labelled = pixels != ignore_index
    bins = (line[:, None] * grid + line) * num_classes + np.where(labelled, pixels, 0)
    counts = np.bincount(bins.ravel(), labelled.ravel(), minlength=grid**2 * num_classes)
    counts = counts.reshape(grid**2, num_classes)
    fractions = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    return torch.from_numpy(fractions.astype(np.float32))


def reduce_masks(masks: Tensor, grid: int) -> Tensor:
    """Return masks (N, S, S) with at most :data:`PIXELS_PER_PATCH` pixels per side of a patch.

    Args:
        masks: class indices, uint8.
        grid: number of patches per side.
    """
    old, new = masks.shape[-1], PIXELS_PER_PATCH * grid
    if new >= old:
        return masks
    line = (2 * torch.arange(new) + 1) * old // (2 * new)
    return masks[:, line[:, None], line]


class LinearPatches(nn.Module):
    """Batch norm and a linear layer on patch tokens, as in DINOv2's segmentation.

    Args:
        dim: width D of the tokens.
        num_classes: number of classes C.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(dim)
        self.head = nn.Conv2d(dim, num_classes, 1)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, patches: Tensor) -> Tensor:
        """Return the logits (B, C, √T, √T) of patches (B, T, D) of square images."""
        logits: Tensor = self.head(self.norm(as_map(patches)))
        return logits


def train_linear(
    model: LinearPatches,
    optimizer: torch.optim.Optimizer,
    tokens: NetworkOutputs,
    masks: Tensor,
    *,
    ignore_index: int,
    epochs: int,
    batch_size: int,
    seed: int,
) -> None:
    """Train a linear classifier with the cross-entropy of the labelled pixels.

    The masks are reduced to :data:`PIXELS_PER_PATCH` pixels per side of a patch, because logits of
    many classes at full resolution take gigabytes, and differ little between neighbouring pixels.

    Args:
        model: the classifier; it is in evaluation mode afterwards.
        optimizer: optimizer of the classifier; its rate follows a cosine.
        tokens: the patch tokens of the training images, (N, T, D).
        masks: their class indices, (N, S, S), uint8.
        ignore_index: class index of pixels without a class.
        epochs: number of passes over the images.
        batch_size: number of images per step.
        seed: seed of the order of the images.
    """
    device = model.head.weight.device
    masks = reduce_masks(masks, math.isqrt(tokens[torch.arange(1)].shape[1]))

    def loss_of(index: Tensor) -> Tensor:
        target = masks[index].long().to(device)
        logits = upsample(model(tokens[index].to(device)), target.shape[-1])
        total = functional.cross_entropy(logits, target, ignore_index=ignore_index, reduction="sum")
        return total / (target != ignore_index).sum().clamp(min=1)

    model.train()
    train(optimizer, loss_of, torch.arange(len(tokens)), epochs, batch_size, seed)
    model.eval()


class NearestPatches:
    """Nearest-neighbour classifier of patches: arXiv:2306.01667 without augmentation.

    Args:
        tokens: the patch tokens of the training images, (N, T, D).
        masks: their class indices, (N, S, S), uint8.
        num_classes: number of classes C.
        ignore_index: class index of pixels without a class.
        max_patches: largest number of patches to store; of more, random ones are chosen.
        seed: seed of that choice.
        device: device on which patches are compared.
    """

    def __init__(
        self,
        tokens: NetworkOutputs,
        masks: Tensor,
        num_classes: int,
        *,
        ignore_index: int,
        max_patches: int,
        seed: int,
        device: torch.device,
    ) -> None:
        per_image = tokens[torch.arange(1)].shape[1]
        chosen = torch.zeros(len(tokens) * per_image, dtype=torch.bool)
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))
        chosen[order[:max_patches]] = True
        chosen = chosen.view(len(tokens), per_image)
        grid = math.isqrt(per_image)
        keys, values = [], []
        for rows in torch.arange(len(tokens)).split(BATCH_SIZE):
            for patches, i in zip(tokens[rows], rows.tolist(), strict=True):
                fractions = class_fractions(masks[i], grid, num_classes, ignore_index)
                kept = chosen[i] & (fractions.sum(dim=1) > 0)
                keys.append(functional.normalize(patches[kept], dim=1))
                values.append(fractions[kept])
        self.keys, self.values = torch.cat(keys).to(device), torch.cat(values).to(device)

    def scores(self, patches: Tensor, k: int, temperature: float) -> Tensor:
        """Return the mean class fractions of the nearest stored patches.

        The weight of a neighbour is softmax(s/T), where s is the cosine similarity.

        Args:
            patches: patch tokens of square images, (B, T, D).
            k: number of neighbours.
            temperature: temperature T of the weights.

        Returns:
            (B, C, √T, √T).
        """
        found = []
        for queries in functional.normalize(patches.flatten(0, 1), dim=1).split(QUERIES_AT_ONCE):
            near = (queries @ self.keys.T).topk(min(k, len(self.keys)), dim=1)
            weights = (near.values / temperature).softmax(dim=1)
            found.append(torch.einsum("qk,qkc->qc", weights, self.values[near.indices]))
        return as_map(torch.cat(found).unflatten(0, patches.shape[:2]))
