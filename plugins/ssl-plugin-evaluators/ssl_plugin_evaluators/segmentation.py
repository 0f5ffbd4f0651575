"""Evaluator ``segmentation``: classes of pixels from frozen patch tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from ssl_host import (
    Evaluation,
    Evaluator,
    FeatureBank,
    Figure,
    ImageDataset,
    Settings,
    UserError,
    evenly_spaced_indices,
    pluralize,
)
from ssl_plugin_evaluators.masks import NUM_EXAMPLES, check_masks, count_classes, read_masks
from ssl_plugin_evaluators.network import (
    FrozenNetwork,
    NetworkOutputs,
    freeze_network,
    missing_tokens,
)
from ssl_plugin_evaluators.patch_classifiers import (
    LinearPatches,
    NearestPatches,
    train_linear,
    upsample,
)

PatchClassifier = Callable[[Tensor], Tensor]
"""Function that maps patch tokens (B, T, D) to scores (B, C, √T, √T)."""
BYTES_AT_ONCE = 128 * 2**20
"""Size of the scores of pixels that are computed at a time; those of one image may be larger."""


@dataclass(frozen=True)
class SegmentationSplit:
    """Patch tokens and masks of training or held-out images.

    Attributes:
        tokens: patch tokens, (N, T, D), float32.
        masks: class indices, (N, S, S), uint8.
    """

    tokens: NetworkOutputs
    masks: Tensor


class Segmentation(Evaluator):
    """Mean IoU of classifiers of frozen patch tokens: arXiv:2304.07193, arXiv:2306.01667.

    ``linear`` is batch norm and a linear layer, trained with AdamW and a cosine schedule on the
    cross-entropy of pixels (DINOv2). ``knn`` is the mean class fractions of the nearest training
    patches. Both give scores of patches, which are bilinearly upsampled. The positions of a
    convolutional network's last feature map count as patches. Predictions cover the centred square
    of each image, at the resolution of the stored images, without augmentation or sliding windows:
    compare figures with each other. The loss of ``linear`` is computed on masks of at most 4 × 4
    pixels per patch, the figures on all pixels. Classes that are neither in a mask nor predicted do
    not count. A backbone without a square map of patches is skipped, with a note.
    """

    needs_labels = False
    uses_annotations = True
    needs_encoder = True

    figures = {
        "linear.miou": Figure(
            "mean IoU of the classes, by a linear classifier of patches",
            unit="%",
            baseline=True,
            headline=True,
        ),
        "knn.miou": Figure(
            "mean IoU of the classes, by the nearest patches of training images",
            unit="%",
            baseline=True,
            headline=True,
        ),
        "linear.accuracy": Figure("pixels with the right class, by the linear one", unit="%"),
        "knn.accuracy": Figure("pixels with the right class, by the nearest patches", unit="%"),
    }

    class Config(Settings):
        masks: Path = Field(
            description="folder of the masks: PNG files of class indices, with the relative names "
            "of the images"
        )
        test_masks: Path | None = Field(
            None, description="folder of the masks of held-out images; default: masks"
        )
        num_classes: int | None = Field(
            None,
            ge=2,
            le=256,
            description="number of classes; default: the largest index in the masks plus one",
        )
        ignore_index: int = Field(
            255, ge=0, le=255, description="class index of pixels that do not count"
        )
        max_images: int = Field(
            2000,
            ge=1,
            le=1_000_000,
            description="largest number of training images, and of held-out images; of more, "
            "evenly spaced ones are used",
        )
        k: int = Field(30, ge=1, le=1000, description="number of nearest patches")
        temperature: float = Field(
            0.02, gt=0, le=100, description="temperature of the weights of the nearest patches"
        )
        max_patches: int = Field(
            50_000,
            ge=1,
            le=10_000_000,
            description="largest number of training patches to compare with; of more, random ones "
            "are used",
        )
        steps: int = Field(
            1000,
            ge=1,
            le=1_000_000,
            description="steps that train the linear classifier, rounded up to whole passes over "
            "the images",
        )
        batch_size: int = Field(16, ge=1, le=100_000, description="number of images per step")
        learning_rate: float = Field(0.01, gt=0, le=100, description="learning rate of AdamW")
        weight_decay: float = Field(1e-4, ge=0, le=10, description="weight decay of AdamW")

    config: Config

    def setup(self) -> None:
        for key in ("masks", "test_masks"):
            folder = getattr(self.config, key)
            if folder is not None and not folder.is_dir():
                raise UserError(f"{key} = {folder}: no such folder")
        self._masks: dict[str, tuple[Any, Tensor]] = {}

    def check(self, train: ImageDataset, test: ImageDataset | None) -> None:
        config = self.config
        folders = config.masks, config.test_masks or config.masks
        check_masks(train, test, *folders, config.max_images, config.ignore_index)

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        network = freeze_network(bank)
        reason = "some images cannot be read"
        if network is not None:
            reason = missing_tokens(network) or unusable_patches(network)
        if network is None or reason:
            return Evaluation({}, notes=(f"segmentation was skipped, because {reason}",))
        assert bank.train_dataset is not None
        assert bank.test_dataset is not None
        config = self.config
        train = self._read(
            network, network.train_images, bank.train_dataset(), config.masks, "training"
        )
        folder = config.masks if bank.test_is_from_train else config.test_masks or config.masks
        test = self._read(network, network.test_images, bank.test_dataset(), folder, "held-out")
        masks = (train.masks, test.masks)
        count, present = count_classes(masks, config.num_classes, config.ignore_index)
        notes = [
            f"segmentation used {len(split.masks)} of {len(images)} {name} images (max_images)"
            for name, split, images in (
                ("training", train, network.train_images),
                ("held-out", test, network.test_images),
            )
            if len(split.masks) < len(images)
        ]
        missing = sorted(set(range(count)) - {config.ignore_index, *present})
        if config.num_classes is None and missing:
            more = ", …" if len(missing) > NUM_EXAMPLES else ""
            notes.append(
                f"segmentation: no mask has the {pluralize(len(missing), 'class', 'classes')} "
                f"{', '.join(map(str, missing[:NUM_EXAMPLES]))}{more}, although there are classes "
                f"up to {count - 1}; number them without gaps, or set num_classes"
            )
        linear = self._train_linear(train, count, network.device, bank.seed)
        knn = self._store_patches(train, count, network.device, bank.seed)
        classifiers = {"linear": linear, "knn": knn}
        metrics = {
            f"{name}.{metric}": value
            for name, classifier in classifiers.items()
            for metric, value in self._score(classifier, test, count, network.device).items()
        }
        return Evaluation(metrics, notes=tuple(notes))

    def _read(
        self, network: FrozenNetwork, images: Any, dataset: ImageDataset, folder: Path, name: str
    ) -> SegmentationSplit:
        """Return the tokens and masks of at most ``max_images`` images."""
        rows = evenly_spaced_indices(len(images), self.config.max_images)
        size = int(images[:1].shape[-1])
        # The masks are the same for the baselines and all epochs of a periodic evaluation.
        key = (folder, size, dataset.fit, tuple(map(dataset.name, rows.tolist())))
        if self._masks.get(name, (None,))[0] != key:
            masks = read_masks(dataset, rows.tolist(), folder, size, self.config.ignore_index)
            self._masks[name] = key, masks
        masks = self._masks[name][1]
        tokens = NetworkOutputs(rows, lambda index: read_patches(network, images[index]))
        return SegmentationSplit(tokens, masks)

    def _train_linear(
        self, split: SegmentationSplit, num_classes: int, device: torch.device, seed: int
    ) -> PatchClassifier:
        """Train the linear classifier; return a function that maps patches to logits."""
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = LinearPatches(split.tokens[torch.arange(1)].shape[2], num_classes).to(device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        train_linear(
            model,
            optimizer,
            split.tokens,
            split.masks,
            ignore_index=config.ignore_index,
            epochs=-(-config.steps // -(-len(split.masks) // config.batch_size)),
            batch_size=config.batch_size,
            seed=seed,
        )
        return model

    def _store_patches(
        self, split: SegmentationSplit, num_classes: int, device: torch.device, seed: int
    ) -> PatchClassifier:
        """Store training patches; return a function that maps patches to class fractions."""
        config = self.config
        nearest = NearestPatches(
            split.tokens,
            split.masks,
            num_classes,
            ignore_index=config.ignore_index,
            max_patches=config.max_patches,
            seed=seed,
            device=device,
        )
        return lambda patches: nearest.scores(patches, config.k, config.temperature)

    @torch.no_grad()
    def _score(
        self,
        classifier: PatchClassifier,
        split: SegmentationSplit,
        num_classes: int,
        device: torch.device,
    ) -> dict[str, float]:
        """Return mean IoU and accuracy of the pixels of all images, from 0 to 1."""
        ignore_index = self.config.ignore_index
        scores = {
            "miou": MulticlassJaccardIndex(
                num_classes, ignore_index=ignore_index, validate_args=False
            ),
            "accuracy": MulticlassAccuracy(
                num_classes, average="micro", ignore_index=ignore_index, validate_args=False
            ),
        }
        at_once = max(1, BYTES_AT_ONCE // (4 * num_classes * split.masks[0].numel()))
        for rows in torch.arange(len(split.masks)).split(at_once):
            masks = split.masks[rows].long()
            logits = upsample(classifier(split.tokens[rows].to(device)), masks.shape[-1])
            predicted = logits.argmax(dim=1).cpu()
            for score in scores.values():
                score.update(predicted, masks)
        return {name: float(score.compute()) for name, score in scores.items()}


def unusable_patches(network: FrozenNetwork) -> str:
    """Return the reason why patches of a network are no map of pixels; empty if they are one."""
    count = read_patches(network, network.train_images[:1]).shape[1]
    if count < 2:
        return (
            f"the network has {pluralize(count, 'patch', 'patches')} per image; use larger images"
        )
    if math.isqrt(count) ** 2 != count:
        return f"the network has {count} patches per image, which do not form a square"
    return ""


@torch.no_grad()
def read_patches(network: FrozenNetwork, images: Tensor) -> Tensor:
    """Return the patch tokens (B, T, D) of uint8 images, float32, on the CPU."""
    tokens = network.encoder.tokens(network.eval_transform(images.to(network.device)))
    patches: Tensor = tokens.patches.float().cpu()
    return patches
