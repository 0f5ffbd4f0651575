"""Define the host's sections, the order of all sections and the default components."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.contracts.kinds import KINDS
from ssl_host.contracts.settings import Settings


def check_folder_name(name: str) -> str:
    """Return a name unchanged if it is a valid folder name.

    Raises:
        ValueError: if the name is empty, ``.`` or ``..``, or contains a slash, a backslash or a NUL
            character.
    """
    if name in ("", ".", "..") or any(character in name for character in "/\\\0"):
        raise ValueError("should be a folder name without slashes, and not empty, '.' or '..'")
    return name


class RunSettings(Settings):
    """``[run]``: name, length, batch size and starting point of a run."""

    name: str = Field(
        "",
        max_length=200,
        description="name of the run and its folder; default: name of the INI file without suffix",
    )
    dir: Path = Field(Path("runs"), description="folder in which run folders are created")
    seed: int = Field(0, ge=0, lt=2**31, description="seed for all random numbers")
    epochs: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="number of passes over the training images; 0: evaluate the weights in "
        "init_from without training",
    )
    batch_size: int = Field(
        256,
        ge=2,
        le=1_000_000,
        description="number of images per optimizer step, over all devices and micro-batches",
    )
    extends: str | None = Field(
        None,
        description="name of the preset that this configuration extends, such as simclr/cifar10",
    )
    init_from: Path | None = Field(
        None,
        description="backbone weights to start from: a run folder, an export folder, "
        "a .safetensors file or a checkpoint",
    )
    init_key: str | None = Field(
        None,
        min_length=1,
        description="name of the dictionary of weights to load from the file in init_from, such as "
        "teacher; default: found automatically",
    )
    init_prefix: str | None = Field(
        None,
        min_length=1,
        description="prefix of the weight names in init_from, such as module.encoder_q.; "
        "default: found automatically",
    )
    continue_from: Path | None = Field(
        None,
        description="folder of a finished run from whose last checkpoint this run continues; "
        "epochs counts the epochs of both",
    )

    stop_early: str | None = Field(
        None,
        min_length=1,
        description="metric of [evaluate], such as knn.top1; training ends if it does not improve",
    )
    patience: int = Field(
        5,
        ge=1,
        le=1_000_000,
        description="number of evaluations in a row without a new best value of stop_early after "
        "which training ends",
    )

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str) -> str:
        return check_folder_name(name)

    @model_validator(mode="after")
    def _key_and_prefix_need_a_file(self) -> RunSettings:
        if self.init_from is None and (self.init_key or self.init_prefix):
            name = "init_key" if self.init_key else "init_prefix"
            raise ValueError(f"{name} selects weights in init_from, which is not set")
        return self

    @model_validator(mode="after")
    def _has_one_starting_point(self) -> RunSettings:
        if self.init_from is not None and self.continue_from is not None:
            raise ValueError(
                "continue_from and init_from cannot be set together: a checkpoint has all weights; "
                "set one of them"
            )
        return self

    @property
    def folder(self) -> Path:
        """Path of the run folder."""
        return self.dir / self.name


class LoaderSettings(Settings):
    """``[loader]``: how images are stored and loaded."""

    num_workers: int | Literal["auto"] = Field(
        "auto",
        description="number of worker processes that decode images; not used for packed images; "
        "auto: chosen from the number of CPU cores",
    )
    store: Literal["auto", "packed", "files"] = Field(
        "auto",
        description="packed: decode all images once into a uint8 array; files: decode images in "
        "every epoch; auto: packed if the array is smaller than store_limit_mb",
    )
    store_limit_mb: int = Field(
        4096,
        ge=1,
        le=10_000_000,
        description="maximum size in MB of the packed array for store = auto",
    )
    store_size: int | None = Field(
        None,
        ge=2,
        le=8192,
        description="height and width of packed images in pixels; default: image_size, or 8/7 of "
        "it for photos",
    )
    cache_dir: Path | None = Field(
        None, description="folder for packed images; default: the user's cache folder"
    )
    holdout: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="fraction of the images held out for testing if the data has no test split",
    )

    @field_validator("num_workers")
    @classmethod
    def _workers_in_bounds(cls, value: Any) -> Any:
        if isinstance(value, int) and not 0 <= value <= 1024:
            raise ValueError("should be auto or a number from 0 to 1024")
        return value


class CheckpointSettings(Settings):
    """``[checkpoint]``: when checkpoints are written and how many are kept."""

    every_epochs: int = Field(
        1, ge=1, le=1_000_000, description="number of epochs between checkpoints"
    )
    every_minutes: float = Field(
        10.0, gt=0, le=1e6, description="number of minutes between checkpoints within an epoch"
    )
    keep: int = Field(
        2, ge=1, le=10_000, description="number of checkpoints to keep; older ones are deleted"
    )
    best: str | None = Field(
        None,
        min_length=1,
        description="metric of [evaluate], such as knn.top1, whose best backbone is kept in the "
        "folder best",
    )


class EvaluateSettings(Settings):
    """``[evaluate]``: evaluation during training, on a part of the training images.

    Pretraining uses all training images, and the test images are not used. The labels of the part
    that is held out are hidden from the evaluators' classifiers.
    """

    every_epochs: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="number of epochs between evaluations, which also follow the last epoch; "
        "default: no evaluation during training",
    )
    evaluators: tuple[str, ...] = Field(
        ("knn", "rankme"),
        min_length=1,
        description="NAMEs of the sections [evaluator.NAME] that run during training, separated by "
        "commas",
    )
    holdout: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="fraction of the training images, of each class, on which they measure",
    )
    max_images: int = Field(
        20_000,
        ge=2,
        le=100_000_000,
        description="number of training images that are used for it; of more, evenly spaced ones",
    )

    @field_validator("evaluators", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        # Names need no quotes, unlike the items of other lists.
        if not isinstance(value, str):
            return value
        names = value.strip().removeprefix("[").removesuffix("]").split(",")
        return tuple(name.strip() for name in names)


class ProbeSettings(Settings):
    """``[probe]``: linear classifier trained on detached features during pretraining."""

    enabled: bool = Field(
        True, description="train a linear classifier during pretraining if the images have labels"
    )
    lr: float = Field(0.01, gt=0, le=100, description="learning rate of the probe's Adam optimizer")
    weight_decay: float = Field(
        0.0, ge=0, le=10, description="weight decay of the probe's Adam optimizer"
    )


HOST_SECTIONS: dict[str, type[Settings]] = {
    "run": RunSettings,
    "loader": LoaderSettings,
    "trainer": TrainerSettings,
    "checkpoint": CheckpointSettings,
    "evaluate": EvaluateSettings,
    "probe": ProbeSettings,
}

SINGLE_KINDS = tuple(kind.name for kind in KINDS.values() if kind.sections == "one")
"""Component kinds that have exactly one section, ``[kind]``."""

INSTANCE_KINDS = tuple(kind.name for kind in KINDS.values() if kind.sections == "many")
"""Component kinds that have any number of sections, ``[kind.instance]``."""

SECTION_ORDER = (*HOST_SECTIONS, *KINDS)
"""Order of sections in ``config.ini`` and ``config show``: host sections, then kinds."""

DEFAULT_COMPONENTS: dict[str, dict[str, Any]] = {
    "data": {"name": "mnist5k"},
    "augmentation": {"name": "symmetric_weak"},
    "optimizer": {"name": "sgd"},
    "backbone": {"name": "small_conv"},
    "scheduler": {"name": "warmup_cosine"},
    "logger.csv": {"name": "csv"},
}
"""Components used in sections where neither the user nor a recipe names one."""

DEFAULT_HEAD = "mlp"
"""Name of the component used for a head if no layer names a different one."""

DEFAULT_BASELINES = ("random_init", "pixels", "statistics")
"""Names of the baselines used if a configuration has no ``[baseline.*]`` section."""

DEFAULT_EVALUATORS = ("few_label", "knn", "linear", "rankme", "alignment_uniformity")
"""Names of the evaluators used if a configuration has no ``[evaluator.*]`` section."""
