"""One file of the older dialect, translated key by key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import did_you_mean
from ssl_host.config.older_keys import ALIASES, FLAT, GONE, MOVED, WANDB, takes
from ssl_host.config.values import ConfigValue, Key
from ssl_host.errors import Problem

LINEAR = "linear_eval"


class Translation:
    """Today's values of an older file.

    Attributes:
        values: what the file says, in today's sections and keys.
        notes: what its reader should know.
        problems: what is wrong with it.
    """

    def __init__(self, path: Path, older: dict[Key, ConfigValue], catalog: Catalog) -> None:
        self.path = path
        self.older = older
        self.catalog = catalog
        self.linear = path.resolve().parent.name == LINEAR
        self.values: dict[Key, ConfigValue] = {}
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def translate(self) -> None:
        """Fill :attr:`values`, :attr:`notes` and :attr:`problems`."""
        special: dict[Key, Callable[[ConfigValue], None]] = {
            (FLAT, "ssl_method"): self._method,
            (FLAT, "seed"): self._seed,
            (FLAT, "epochs"): self._epochs,
            (FLAT, "compute_cfg"): self._compute,
            (FLAT, "backbone"): self._backbone,
            (FLAT, "dataset"): self._dataset,
            (FLAT, "data_dir"): _read_with_another_key,
            (FLAT, "batch_size"): self._batch_size,
            (FLAT, "aug_crop_lst"): self._crops,
            (FLAT, "log_type"): self._log_type,
            (FLAT, "pretrain_ckpt_path"): self._checkpoint,
            ("ssl_args", "lr"): self._lr,
            ("ssl_args", "weight_decay"): self._weight_decay,
            ("ssl_args", "temperature"): self._temperature,
            ("ssl_args", "scale_loss"): self._scale_loss,
            ("ckpt_args", "save_top_k"): self._keep,
            ("ckpt_args", "only_eval"): self._only_eval,
            ("ckpt_args", "ckpt_path"): self._resume,
            **dict.fromkeys((("wandb_args", key) for key in WANDB), _read_with_another_key),
        }
        method = self.older.get((FLAT, "ssl_method"))
        if method is None:  # its value was no literal, which has been told
            return
        if self.linear:
            # A pretraining file of the same name has a folder of its own.
            self._put("run", "name", f"{self.path.stem}-{LINEAR}", method)
            self._put("run", "epochs", 0, method)
            self._put("evaluator.linear", "name", "linear", method)
        known = [*special, *MOVED, *GONE]
        for key, value in self.older.items():
            if key in special:
                special[key](value)
            elif key in MOVED:
                self._moved(key, value)
            elif key in GONE:
                self.notes.append(f"{value.origin}: {key[1]} has no effect: {GONE[key]}")
            elif key[0] != "ssl_args" or self._method_is_known():
                self._unknown(key, value, known)
        if (FLAT, "dataset") not in self.older:
            self._wrong(method, "dataset is missing; name one, such as dataset = cifar10@str")

    def _moved(self, key: Key, value: ConfigValue) -> None:
        section, setting = MOVED[key]
        if key[0] == "ssl_args" and not self._used(key[1], value, section, setting):
            return
        self._put(section, setting, value.raw, value)

    def _used(self, older: str, value: ConfigValue, section: str, setting: str) -> bool:
        """Whether an argument of the older project's methods means something here; else a note."""
        where = ""
        if self.linear:
            where = "in a linear evaluation"
        elif not self._takes(section, setting):
            where = f"for {self._method_name()}"
        if where:
            self.notes.append(f"{value.origin}: {older} has no effect {where}")
        return not where

    def _takes(self, section: str, setting: str) -> bool:
        return takes(self.catalog, self._method_name(), section, setting)

    def _put(self, section: str, key: str, raw: Any, source: ConfigValue) -> None:
        self.values[section, key] = ConfigValue(raw, source.origin, is_text=isinstance(raw, str))

    def _unknown(self, key: Key, value: ConfigValue, known: list[Key]) -> None:
        section, name = key
        names = [k for s, k in known if s == section]
        place = "" if section == FLAT else f"[{section}] "
        self._wrong(
            value, f"{place}{name}: unknown key of the older dialect{did_you_mean(name, names)}"
        )

    def _wrong(self, value: ConfigValue, text: str) -> None:
        self.problems.append(Problem(str(value.origin), text))

    def _method_name(self) -> str:
        name = str(self.older[FLAT, "ssl_method"].raw)
        return ALIASES.get(name, name)

    def _method_is_known(self) -> bool:
        """Else the missing plugin is what is told, not that its settings are unknown."""
        return self._method_name() in self.catalog.names("method")

    def _method(self, value: ConfigValue) -> None:
        self._put("method", "name", self._method_name(), value)

    def _seed(self, value: ConfigValue) -> None:
        seed = value.raw
        if isinstance(seed, int) and not 0 <= seed < 2**31:
            self.notes.append(f"{value.origin}: seed = {seed} stood for none; 0 is taken")
            seed = 0
        self._put("run", "seed", seed, value)

    def _epochs(self, value: ConfigValue) -> None:
        section = "evaluator.linear" if self.linear else "run"
        self._put(section, "epochs", value.raw, value)

    def _compute(self, value: ConfigValue) -> None:
        if not isinstance(value.raw, dict):
            self._wrong(
                value, f"compute_cfg: {value.raw!r} is no dict, such as {{'devices': 1}}@dict"
            )
            return
        for key, found in value.raw.items():
            if key == "accelerator":
                self._put("trainer", key, found, value)
            elif key == "strategy":
                self._put("trainer", key, "ddp" if found == "ddp" else "auto", value)
            elif key not in ("devices", "device", "auto_select_gpus"):
                self._wrong(value, f"compute_cfg: unknown entry {key!r}")
        if "devices" in value.raw or "device" in value.raw:
            self._put("trainer", "devices", self._devices(), value)

    def _devices(self) -> Any:
        """As ``[trainer] devices`` has them; ``device`` is an older spelling."""
        compute = self.older.get((FLAT, "compute_cfg"))
        given = compute.raw if compute is not None and isinstance(compute.raw, dict) else {}
        return given.get("devices", given.get("device", 1))

    def _backbone(self, value: ConfigValue) -> None:
        self._put("backbone", "name", "timm", value)
        self._put("backbone", "model", str(value.raw), value)

    def _dataset(self, value: ConfigValue) -> None:
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

    def _batch_size(self, value: ConfigValue) -> None:
        devices = self._devices()
        count = len(devices) if isinstance(devices, list) else devices
        if not isinstance(count, int) or not isinstance(value.raw, int):
            self._wrong(value, "batch_size: a number a device, and devices as a number, are needed")
            return
        section = "evaluator.linear" if self.linear else "run"
        self._put(section, "batch_size", value.raw * count, value)
        if count > 1:
            self.notes.append(
                f"{value.origin}: batch_size was for each of {count} devices: "
                f"{value.raw * count} images a step"
            )

    def _crops(self, value: ConfigValue) -> None:
        """Its elements are views of each kind: two full-size ones, then small crops."""
        crops = value.raw
        if not (
            isinstance(crops, list) and crops and all(isinstance(n, int) and n > 0 for n in crops)
        ):
            self._wrong(value, f"aug_crop_lst: {crops!r} is no list of numbers of crops")
        elif crops[0] == 2 and len(crops) > 1:
            self._put("augmentation", "name", "multicrop", value)
            self._put("augmentation", "num_local", sum(crops[1:]), value)
        elif crops not in ([2], [1, 1]):
            self._wrong(
                value,
                f"aug_crop_lst: {crops} is not two full-size views, [2] or [1, 1], nor those and "
                "small crops, such as [2, 6]",
            )

    def _log_type(self, value: ConfigValue) -> None:
        kind = str(value.raw).lower()
        if kind not in ("wandb", "csv", "", "none"):
            hint = did_you_mean(kind, ("wandb", "csv"))
            self._wrong(value, f"log_type: {value.raw!r} is neither wandb nor csv{hint}")
        if kind != "wandb":
            return
        self._put("logger.wandb", "name", "wandb", value)
        for key, name in WANDB.items():
            given = self.older.get(("wandb_args", key))
            if given is not None and given.raw not in ("", None):
                self._put("logger.wandb", name, given.raw, given)

    def _checkpoint(self, value: ConfigValue) -> None:
        if value.raw not in (None, "", "None"):
            self._put("run", "init_from", self._file(value), value)

    def _file(self, value: ConfigValue) -> str:
        """The older project took a path from the working folder; today's is the INI file's."""
        path = Path(str(value.raw)).expanduser()
        here = path if path.exists() else self.path.parent / path
        return str(here.absolute())

    def _lr(self, value: ConfigValue) -> None:
        if self.linear:
            self._put("evaluator.linear", "learning_rates", (value.raw,), value)
        else:
            self._put("optimizer", "lr", value.raw, value)

    def _weight_decay(self, value: ConfigValue) -> None:
        section = "evaluator.linear" if self.linear else "optimizer"
        self._put(section, "weight_decay", value.raw, value)

    def _temperature(self, value: ConfigValue) -> None:
        """A temperature is the method's where it has one to forward, else the loss's."""
        section = "method" if self._takes("method", "temperature") else "loss"
        if self._used("temperature", value, section, "temperature"):
            self._put(section, "temperature", value.raw, value)

    def _scale_loss(self, value: ConfigValue) -> None:
        """The older project scaled the loss, and let biases learn at the rate of weights."""
        if self._used("scale_loss", value, "loss", "scale"):
            self._put("loss", "scale", value.raw, value)
            if self._takes("method", "bias_lr_scale"):
                self._put("method", "bias_lr_scale", 1.0, value)

    def _keep(self, value: ConfigValue) -> None:
        if not isinstance(value.raw, int):
            self._wrong(value, f"save_top_k: {value.raw!r} is no number of checkpoints")
        elif value.raw > 0:
            self._put("checkpoint", "keep", value.raw, value)
        else:
            self.notes.append(
                f"{value.origin}: save_top_k = {value.raw} has no effect: the newest "
                "checkpoints are kept, for the same command to go on from"
            )

    def _only_eval(self, value: ConfigValue) -> None:
        if not value.raw:
            return
        given = self.older.get(("ckpt_args", "ckpt_path"))
        if given is None or given.raw in ("", None, "None"):
            self._wrong(value, "only_eval: needs ckpt_path, the checkpoint to test")
            return
        file = self._file(given)
        self._put("run", "init_from", file, given)
        self._put("run", "epochs", 0, value)
        if self.linear:
            self._put("evaluator.linear", "weights", file, given)

    def _resume(self, value: ConfigValue) -> None:
        asked = self.older.get(("ckpt_args", "only_eval"))
        if value.raw not in (None, "", "None") and not (asked is not None and asked.raw):
            self.notes.append(
                f"{value.origin}: ckpt_path has no effect without only_eval: the same command "
                "goes on from the last checkpoint by itself"
            )


def _read_with_another_key(value: ConfigValue) -> None:
    """A key that has no meaning alone."""
