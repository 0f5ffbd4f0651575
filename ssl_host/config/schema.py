"""The sections that are the host's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ssl_host.contracts.kinds import KINDS
from ssl_host.contracts.settings import Settings


def folder_name(name: str) -> str:
    """A name that stays in the folder it is put into.

    Raises:
        ValueError: when it does not.
    """
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
        raise ValueError("is the name of a folder: not empty, no slashes, not '..'")
    return name


class RunSettings(Settings):
    """``[run]``: what is run and for how long."""

    name: str = Field(
        "", max_length=200, description="name of the run and of its folder; default: the file's"
    )
    dir: Path = Field(Path("runs"), description="folder that holds the run folders")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of everything random")
    epochs: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="passes over the training images; 0 only evaluates what init_from gives",
    )
    batch_size: int = Field(
        256, ge=2, le=1_000_000, description="images a step, over all devices and accumulation"
    )
    extends: str | None = Field(None, description="preset that this file starts from")
    init_from: Path | None = Field(
        None, description="backbone to start from: a run or export, .safetensors or checkpoint"
    )

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str) -> str:
        return folder_name(name)


class LoaderSettings(Settings):
    """``[loader]``: how images are kept and fed."""

    num_workers: int | Literal["auto"] = Field(
        "auto", description="decoding processes for images that do not fit the store, from 0"
    )
    store: Literal["auto", "packed", "files"] = Field(
        "auto",
        description="packed: decoded once into one uint8 array; files: decoded in every epoch; "
        "auto packs what takes less than store_limit_mb",
    )
    store_limit_mb: int = Field(
        4096, ge=1, le=10_000_000, description="largest packed store in MB that auto makes"
    )
    store_size: int | None = Field(
        None,
        ge=2,
        le=8192,
        description="side in pixels of packed images; default: image_size, times 8/7 for photos",
    )
    cache_dir: Path | None = Field(
        None, description="folder for packed stores; default: the user's cache folder"
    )
    holdout: float = Field(
        0.2, gt=0, lt=1, description="part held out for testing where the data has no test split"
    )

    @field_validator("num_workers")
    @classmethod
    def _workers_in_bounds(cls, value: Any) -> Any:
        if isinstance(value, int) and not 0 <= value <= 1024:
            raise ValueError("should be auto or from 0 to 1024")
        return value


class TrainerSettings(Settings):
    """``[trainer]``: where and how the steps are computed."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = Field(
        "auto", description="kind of device"
    )
    devices: int | list[int] | Literal["auto"] = Field(
        1, description="number of devices a node, or their numbers, or auto for all"
    )
    num_nodes: int = Field(1, ge=1, le=100_000, description="machines that train together")
    strategy: Literal["auto", "ddp"] = Field(
        "auto", description="how devices share the work: each has the whole network, by both names"
    )
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "64-true"] = Field(
        "auto", description="number format; auto takes what the device has in hardware"
    )
    channels_last: bool | Literal["auto"] = Field(
        "auto", description="memory layout of images, channels last"
    )
    compile: Literal["auto", "on", "off"] = Field("auto", description="torch.compile the method")
    num_threads: int | Literal["auto"] = Field(
        "auto", description="CPU threads of torch; auto: OMP_NUM_THREADS, or one a core"
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=100_000,
        description="parts that a step's batch is computed in, one by one; losses that compare "
        "images see those of a part",
    )
    gradient_clip: float | None = Field(
        None, gt=0, description="largest norm of the whole gradient; default: not clipped"
    )
    log_every: int = Field(10, ge=1, le=1_000_000, description="steps between rows of metrics.csv")

    @field_validator("devices", "num_threads")
    @classmethod
    def _in_bounds(cls, value: Any) -> Any:
        # Threads are made at once: tens of thousands take the memory of what is read next.
        if isinstance(value, int) and not 1 <= value <= 1024:
            raise ValueError("should be auto or from 1 to 1024")
        return value


class CheckpointSettings(Settings):
    """``[checkpoint]``: when the state of a run is written."""

    every_epochs: int = Field(1, ge=1, le=1_000_000, description="epochs between checkpoints")
    every_minutes: float = Field(
        10.0, gt=0, le=1e6, description="minutes between checkpoints within an epoch"
    )
    keep: int = Field(2, ge=1, le=10_000, description="how many checkpoints stay on the disk")


class ProbeSettings(Settings):
    """``[probe]``: the online linear classifier on detached features."""

    enabled: bool = Field(True, description="train it along, where there are labels")
    lr: float = Field(0.01, gt=0, le=100, description="learning rate of its Adam")
    weight_decay: float = Field(0.0, ge=0, le=10, description="its weight decay")


HOST_SECTIONS: dict[str, type[Settings]] = {
    "run": RunSettings,
    "loader": LoaderSettings,
    "trainer": TrainerSettings,
    "checkpoint": CheckpointSettings,
    "probe": ProbeSettings,
}

SINGLE_KINDS = tuple(kind.name for kind in KINDS.values() if kind.sections == "one")
"""Kinds with one section, ``[kind]``."""

INSTANCE_KINDS = tuple(kind.name for kind in KINDS.values() if kind.sections == "many")
"""Kinds with any number of sections, ``[kind.instance]``."""

DEFAULT_COMPONENTS: dict[str, dict[str, Any]] = {
    "data": {"name": "mnist5k"},
    "augmentation": {"name": "symmetric_weak"},
    "optimizer": {"name": "sgd"},
    "backbone": {"name": "small_conv"},
    "scheduler": {"name": "warmup_cosine"},
    "logger.csv": {"name": "csv"},
}
"""What the host composes where no layer says otherwise."""

DEFAULT_HEAD = "mlp"
"""What a method's head is where no layer names its kind."""

DEFAULT_EVALUATORS = ("few_label", "knn", "linear", "rankme", "alignment_uniformity")
"""What is measured where no layer names an evaluator."""
