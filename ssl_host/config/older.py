"""The older project's configurations: recognised, and translated key by key.

Flat keys with ``ssl_method`` among them stand before any section, and values carry their type
(``0.1@float``). The phase is the name of the file's folder, ``pretrain`` or ``linear_eval``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import suggestion
from ssl_host.config.ini import parse_ini
from ssl_host.config.layers import Layer
from ssl_host.config.values import Key, LiteralFault, Origin, Value, read_text
from ssl_host.errors import ConfigError, PluginError, Problem

FLAT = "top of the file"
LINEAR = "linear_eval"
ALIASES = {"barlowtwin": "barlowtwins"}
"""Names that have changed."""

PLAIN: dict[Key, Key] = {
    (FLAT, "seed"): ("run", "seed"),
    (FLAT, "num_workers"): ("loader", "num_workers"),
    ("ssl_args", "momentum"): ("optimizer", "momentum"),
    ("ssl_args", "warmup_epochs"): ("scheduler", "warmup_epochs"),
    ("ssl_args", "proj_hidden_dim"): ("head.projector", "hidden_dim"),
    ("ssl_args", "proj_output_dim"): ("head.projector", "output_dim"),
    ("ssl_args", "pred_hidden_dim"): ("head.predictor", "hidden_dim"),
    ("ssl_args", "queue_size"): ("method", "queue_size"),
    ("ssl_args", "lamb"): ("loss", "lambda_"),
    ("ssl_args", "scale_loss"): ("loss", "scale"),
    ("ckpt_args", "every_n_epochs"): ("checkpoint", "every_epochs"),
}
"""Keys that have only moved."""

GONE: dict[Key, str] = {
    (FLAT, "epoch_start"): "the same command goes on from the last checkpoint by itself",
    (FLAT, "avg_pool_dim"): "the width of the features is the backbone's own",
    (FLAT, "custom_ds_cfg"): "the data source has its own settings",
    ("ckpt_args", "dirpath"): "checkpoints lie in the run's folder",
    ("ckpt_args", "filename"): "checkpoints are named by their step",
    ("ckpt_args", "monitor"): "the newest checkpoints are kept, none is chosen by a score",
}
"""Keys that are accepted and have no effect any more."""

WANDB = ("save_dir", "name", "project", "entity", "offline")


def is_older(text: str) -> bool:
    """Whether a file's text is in the older dialect."""
    before_sections = re.split(r"(?m)^\s*\[", text, maxsplit=1)[0]
    return bool(re.search(r"(?m)^ssl_method\s*=", before_sections))


def older_layer(path: Path, text: str, catalog: Catalog) -> tuple[Layer, list[str]]:
    """A file of the older dialect as a layer of today's, and what there is to say about it.

    Raises:
        ConfigError: with every fault found.
    """
    values, _ = parse_ini(f"[{FLAT}]\n{text}", str(path), "file")
    translation = _Translation(path, catalog)
    typed: dict[Key, Value] = {}
    for key, value in values.items():
        origin = Origin("file", str(path), value.origin.line - 1)
        try:
            typed[key] = Value(_read(value.raw), origin)
        except LiteralFault as error:
            translation.problems.append(Problem(str(origin), f"{key[1]}: {error}"))
    translation.translate(typed)
    if translation.problems:
        raise ConfigError(sorted(translation.problems))
    return Layer("file", translation.values, {}, str(path)), translation.notes


def _read(text: str) -> Any:
    """A typed value; one without a type is text, or a literal where it is one."""
    return read_text(text, Any) if "@" in text else read_text(text, int | float)


@dataclass
class _Translation:
    path: Path
    catalog: Catalog
    values: dict[Key, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def translate(self, older: dict[Key, Value]) -> None:
        self.older = older
        self.linear = self.path.resolve().parent.name == LINEAR
        special: dict[Key, Callable[[Value], None]] = {
            (FLAT, "ssl_method"): self._method,
            (FLAT, "epochs"): self._epochs,
            (FLAT, "compute_cfg"): self._compute,
            (FLAT, "backbone"): self._backbone,
            (FLAT, "dataset"): self._dataset,
            (FLAT, "data_dir"): lambda value: None,  # read with the data set
            (FLAT, "batch_size"): self._batch_size,
            (FLAT, "aug_crop_lst"): self._crops,
            (FLAT, "log_type"): self._log_type,
            (FLAT, "pretrain_ckpt_path"): self._checkpoint,
            ("ssl_args", "lr"): self._lr,
            ("ssl_args", "weight_decay"): self._weight_decay,
            ("ssl_args", "temperature"): self._temperature,
            ("ckpt_args", "save_top_k"): self._keep,
            ("ckpt_args", "only_eval"): self._only_eval,
            ("ckpt_args", "ckpt_path"): lambda value: None,  # read with only_eval
        }
        if self.linear:
            self._put("run", "epochs", 0, older[FLAT, "ssl_method"])
            self._put("evaluator.linear", "name", "linear", older[FLAT, "ssl_method"])
        for key, value in older.items():
            if key in special:
                special[key](value)
            elif key in PLAIN:
                if not (self.linear and key[0] == "ssl_args"):
                    self._put(*PLAIN[key], value.raw, value)
            elif key in GONE:
                self.notes.append(f"{value.origin}: {key[1]} has no effect: {GONE[key]}")
            elif not (key[0] == "wandb_args" and key[1] in WANDB):
                self._unknown(key, value, [*special, *PLAIN, *GONE])

    def _put(self, section: str, key: str, raw: Any, source: Value) -> None:
        self.values[section, key] = Value(raw, source.origin, is_text=isinstance(raw, str))

    def _unknown(self, key: Key, value: Value, known: list[Key]) -> None:
        section, name = key
        names = [k for s, k in known if s == section]
        place = "" if section == FLAT else f"[{section}] "
        text = f"{place}{name}: unknown key of the older dialect{suggestion(name, names)}"
        self.problems.append(Problem(str(value.origin), text))

    def _wrong(self, value: Value, text: str) -> None:
        self.problems.append(Problem(str(value.origin), text))

    def _method(self, value: Value) -> None:
        name = ALIASES.get(str(value.raw), str(value.raw))
        self._put("method", "name", name, value)

    def _epochs(self, value: Value) -> None:
        self._put(
            *(("evaluator.linear", "epochs") if self.linear else ("run", "epochs")),
            value.raw,
            value,
        )

    def _compute(self, value: Value) -> None:
        if not isinstance(value.raw, dict):
            self._wrong(
                value, f"compute_cfg: {value.raw!r} is no dict, such as {{'devices': 1}}@dict"
            )
            return
        for key, found in value.raw.items():
            if key in ("devices", "accelerator"):
                self._put("trainer", key, found, value)
            elif key == "strategy":
                self._put("trainer", key, found if found in ("ddp", "fsdp") else "auto", value)
            elif key not in ("auto_select_gpus", "device"):
                self._wrong(value, f"compute_cfg: unknown entry {key!r}")

    def _backbone(self, value: Value) -> None:
        self._put("backbone", "name", "timm", value)
        self._put("backbone", "model", str(value.raw), value)

    def _dataset(self, value: Value) -> None:
        name = str(value.raw).lower()
        self._put("data", "name", name, value)
        given = self.older.get((FLAT, "data_dir"))
        if name == "imagenet":
            root = Path(str(given.raw)) if given else Path("/data/ImgNet")
            root = root.parent if root.name == "train" else root
        else:
            root = Path(str(given.raw)) if given else Path("/data/tch_ds")
        if not root.is_dir():
            self._wrong(
                given or value, f"data_dir: no folder {root}; put the data there, or name another"
            )
        self._put("data", "root", str(root.absolute()), given or value)

    def _batch_size(self, value: Value) -> None:
        if self.linear:
            self._put("evaluator.linear", "batch_size", value.raw, value)
            return
        compute = self.older.get((FLAT, "compute_cfg"))
        devices = compute.raw.get("devices", 1) if compute and isinstance(compute.raw, dict) else 1
        count = len(devices) if isinstance(devices, list) else devices
        if not isinstance(count, int) or not isinstance(value.raw, int):
            self._wrong(value, "batch_size: a number a device, and devices as a number, are needed")
            return
        self._put("run", "batch_size", value.raw * count, value)
        if count > 1:
            self.notes.append(
                f"{value.origin}: batch_size was for each of {count} devices: "
                f"{value.raw * count} images a step"
            )

    def _crops(self, value: Value) -> None:
        crops = value.raw
        if not (isinstance(crops, list) and crops and all(isinstance(n, int) for n in crops)):
            self._wrong(value, f"aug_crop_lst: {crops!r} is no list of numbers of crops")
        elif len(crops) > 1 and crops != [1, 1]:
            self._put("augmentation", "name", "multicrop", value)
            self._put("augmentation", "num_local", sum(crops[1:]), value)

    def _log_type(self, value: Value) -> None:
        if str(value.raw).lower() != "wandb":
            return
        self._put("logger.wandb", "name", "wandb", value)
        for key in WANDB[2:]:
            given = self.older.get(("wandb_args", key))
            if given is not None:
                self._put("logger.wandb", key, given.raw, given)

    def _checkpoint(self, value: Value) -> None:
        if value.raw not in (None, "", "None"):
            self._put("run", "init_from", str(value.raw), value)

    def _lr(self, value: Value) -> None:
        if self.linear:
            self._put("evaluator.linear", "learning_rates", (value.raw,), value)
        else:
            self._put("optimizer", "lr", value.raw, value)

    def _weight_decay(self, value: Value) -> None:
        section = "evaluator.linear" if self.linear else "optimizer"
        self._put(section, "weight_decay", value.raw, value)

    def _temperature(self, value: Value) -> None:
        """A temperature is the method's where it has one to forward, else the loss's."""
        name = self.values.get(("method", "name"), value).raw
        try:
            fields = self.catalog.load("method", str(name)).Config.model_fields
        except PluginError:
            fields = {}
        self._put("method" if "temperature" in fields else "loss", "temperature", value.raw, value)

    def _keep(self, value: Value) -> None:
        if isinstance(value.raw, int) and value.raw > 0:
            self._put("checkpoint", "keep", value.raw, value)

    def _only_eval(self, value: Value) -> None:
        if not value.raw:
            return
        given = self.older.get(("ckpt_args", "ckpt_path"))
        if given is None or not given.raw:
            self._wrong(value, "only_eval: needs ckpt_path, the checkpoint to test")
            return
        self._put("run", "init_from", str(given.raw), given)
        self._put("run", "epochs", 0, value)
