"""Pass the training images to a method at the start of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ssl_host.augment.executor import evaluation_view
from ssl_host.contracts.batch import Batch
from ssl_host.contracts.rng import BatchRNG
from ssl_host.data.batches import RawBatch
from ssl_host.data.prefetch import prefetch
from ssl_host.data.store import PixelArray
from ssl_host.train.step import overrides_epoch_start, start_epoch
from ssl_host.train.training_step import TrainingStep


class EpochStartImages:
    """Training images that ``on_epoch_start`` receives; see :class:`ssl_host.EpochImages`."""

    def __init__(self, step: TrainingStep, pixels: PixelArray, device: torch.device) -> None:
        self.step = step
        self.pixels = pixels
        self.device = device

    def batches(self, augmented: bool = False) -> Iterator[Batch]:
        """Yield all training images once; each process yields its share of every batch.

        Args:
            augmented: True for the views of a training step; False for one view of each image
                without augmentation.
        """
        for raw in prefetch(self._raw_batches()):
            raw = raw.to(self.device)
            yield self.step.make_batch(raw) if augmented else self._without_augmentation(raw)

    def _raw_batches(self) -> Iterator[RawBatch]:
        """Yield this process's share of each batch of stored images."""
        plan, epoch = self.step.plan, self.step.state.epoch
        for index in torch.arange(len(self.pixels)).split(plan.batch_size // plan.micro_batches):
            share = index.tensor_split(plan.world_size)[plan.rank]
            yield RawBatch(self.pixels[share], share, None, epoch)

    def _without_augmentation(self, raw: RawBatch) -> Batch:
        """Return a batch with the unaugmented views that evaluators use."""
        views, run = self.step.experiment.views, self.step.experiment.config.run
        assert isinstance(raw.images, torch.Tensor)
        view = evaluation_view(raw.images, views.image_size, views.mean, views.std)
        rng = BatchRNG(run.seed, raw.epoch, raw.index, self.step.state.step)
        return Batch(self.step.convert([view]), raw.index, None, 1, rng)


def start_run_epoch(step: TrainingStep, pixels: PixelArray, device: torch.device) -> None:
    """Call the method's ``on_epoch_start``, if it has one, with all training images.

    Args:
        step: the training step, which provides the state and the plan.
        pixels: the training images, (N, C, H, W), uint8.
        device: the device of the networks.

    Raises:
        PluginError: if the method fails; the message contains the line that failed.
    """
    if overrides_epoch_start(step.method):
        images = EpochStartImages(step, pixels, device)
        start_epoch(step.method, images, step.state.progress, step.epoch_seed(), device)
