"""Size of a run and its estimated training time, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from ssl_host.pipeline.step_timing import TIMED_STEPS


@dataclass(frozen=True)
class Alternative:
    """Time per training step after changing one ``[trainer]`` setting.

    Attributes:
        setting: name of the setting.
        value: value of the setting for which the time was measured.
        seconds_per_step: median time of a few optimizer steps, without decoding images.
    """

    setting: str
    value: Any
    seconds_per_step: float


@dataclass(frozen=True)
class Estimate:
    """Size of a run and its estimated training time.

    Attributes:
        name: the name of the run.
        method: the name of the method; ``backbone`` and ``data`` are also names of components.
        train_images: the number of training images.
        test_images: the number of held-out images; None if there are none.
        parameters: the number of trainable parameters.
        backbone_parameters: the number of parameters of the backbone.
        feature_dim: the width of the features.
        views: the shape of each view of one micro-batch.
        steps_per_epoch: the number of optimizer steps in an epoch.
        total_steps: the number of optimizer steps to train; those of a run that is continued are
            not counted.
        first_loss: the loss of the first step.
        seconds_per_step: the median time of a few optimizer steps, without decoding images.
        images_per_s: the number of images per second at that speed.
        decode_ms: the time to decode one image in one thread, in milliseconds; 0 if no images
            have to be decoded.
        decoding: a description of which images are decoded, and when.
        packing_minutes: the estimated time to decode and pack images before the first step.
        loaded_seconds_per_step: the estimated time of a step if images are decoded in every epoch.
        training_minutes: the estimated time of packing and of all training steps with decoding,
            without evaluation.
        starts_from: a sentence about the weights that ``[run] init_from`` names, or about the run
            that is continued; or None.
        notes: remarks about the configuration, the images and how they are split.
        warnings: remarks about settings and images that are probably not as intended.
        alternatives: the time per step after changing one ``[trainer]`` setting, for several
            settings. These times are only printed; ``auto`` does not use them.
    """

    name: str
    method: str
    backbone: str
    data: str
    train_images: int
    test_images: int | None
    parameters: int
    backbone_parameters: int
    feature_dim: int
    views: list[list[int]]
    steps_per_epoch: int
    total_steps: int
    first_loss: float
    seconds_per_step: float
    images_per_s: float
    decode_ms: float
    decoding: str
    packing_minutes: float
    loaded_seconds_per_step: float
    training_minutes: float
    starts_from: str | None
    notes: list[str]
    warnings: list[str]
    alternatives: list[Alternative]

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as a dictionary of JSON types."""
        return asdict(self)

    def table(self) -> Table:
        """Return the estimate as a table for the terminal."""
        table = Table("dry run", "", box=None, pad_edge=False)
        rows = {
            "run": self.name,
            "components": f"{self.method}, {self.backbone}, {self.data}",
            "images": f"{self.train_images:,} for training, {self.test_images or 0:,} for testing",
            "views": ", ".join("x".join(map(str, shape)) for shape in self.views),
            "parameters": f"{self.parameters:,}, in the backbone {self.backbone_parameters:,}",
            "features": f"{self.feature_dim} per image",
            "steps": f"{self.total_steps:,}, {self.steps_per_epoch:,} per epoch",
            **({} if self.starts_from is None else {"weights": self.starts_from}),
            "first loss": f"{self.first_loss:.4f}",
            "time per step": f"{1000 * self.seconds_per_step:.0f} ms, "
            f"{self.images_per_s:.0f} images/s (median of {TIMED_STEPS}, without decoding)",
            "decoding": self.decoding,
            "training time": _format_minutes(self.training_minutes) + self._time_parts(),
        }
        for alternative in self.alternatives:
            seconds = alternative.seconds_per_step
            rows[f"{alternative.setting} = {alternative.value}"] = (
                f"{1000 * seconds:.0f} ms per step, "
                f"{self.seconds_per_step / seconds:.2f} times as fast"
            )
        remarks = {"note": self.notes, "warning": self.warnings}
        texts = [(name, text) for name, texts in remarks.items() for text in texts]
        for name, value in [*rows.items(), *texts]:
            table.add_row(name, value)
        return table

    def _time_parts(self) -> str:
        """Return the parts of the training time as text, for the end of a sentence."""
        shares = []
        if self.packing_minutes:
            shares.append(f"{_format_minutes(self.packing_minutes)} of it for packing images")
        if self.loaded_seconds_per_step > 1.05 * self.seconds_per_step:
            shares.append(
                f"{1000 * self.loaded_seconds_per_step:.0f} ms per step, because decoding is slower"
            )
        return ", ".join(["", *shares, "plus evaluation"])


def _format_minutes(minutes: float) -> str:
    """Return a duration as text in seconds, minutes or hours."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
