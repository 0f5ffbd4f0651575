"""A run's folder: whose it is, and who is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from ssl_host.config.auto_settings import auto_keys
from ssl_host.config.ini import parse_ini
from ssl_host.config.run_config import RunConfig
from ssl_host.config.values import Key
from ssl_host.errors import ConfigError, RunFolderError
from ssl_host.toolkit.atomic_io import atomic_write_text

FILES = {
    "config.ini": "the resolved configuration: running it gives the same run",
    "images.json": "how many images are trained on and held out, and a digest of their names",
    "environment.json": "versions, plugins with their origin, the command, the hardware",
    "metrics.csv": "one row a logged step: loss, learning rate, online top-1, feature spread",
    "checkpoints/": "step-N.ckpt with its checksum step-N.sha256, the newest ones",
    "backbone.safetensors": "the trained encoder's weights, by the names of timm or torchvision",
    "backbone.json": "what those weights are of: model, size, channels, mean, deviation, plugin",
    "linear.safetensors": "weight and bias of the linear evaluator, where it ran",
    "results.json": "all figures with their baselines, notes, skipped images; written last",
    "non_finite.ckpt": "weights and batch of a step that failed by its numbers, if one did",
    "report.json": "pictures of the report: views, neighbours, the map of the features",
    "report.html": "the page: everything above for the eye, in one file",
    ".lock": "held by the process that uses the folder",
}
"""What a finished run leaves."""

_RESULTS = {"name", "method", "backbone", "data", "seed", "epochs", "metrics"}
"""Without these ``results.json`` is no run's."""

PLACE_ONLY = {
    ("run", "dir"),
    ("run", "name"),
    ("loader", "num_workers"),
    ("loader", "cache_dir"),
    ("checkpoint", "every_minutes"),
    ("checkpoint", "every_epochs"),
    ("checkpoint", "keep"),
}
"""Settings that say where, by how many and what is kept, and change nothing about the outcome."""


class RunFolder:
    """The folder of one run; a context in which no other process may use it.

    Args:
        path: ``runs/NAME``.
        section: the one whose ``name`` and ``dir`` say where it is, for messages.
    """

    def __init__(self, path: Path, section: str = "run") -> None:
        self.path = path
        self.section = section
        self.config_file = path / "config.ini"
        self.results_file = path / "results.json"
        self.checkpoints = path / "checkpoints"
        self._lock = FileLock(path / ".lock")

    def __enter__(self) -> RunFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # The kernel drops the lock of a process that dies: none is ever left in the way.
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderError(
                f"{self.path} is in use by another process; wait for it, stop it, or give this "
                f"{self.section} another name with -o {self.section}.name=..."
            ) from None
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be written: {error.strerror}; choose another "
                f"folder with -o {self.section}.dir=..."
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def results(self) -> dict[str, Any] | None:
        """What ``results.json`` holds, or None while the run is not finished."""
        try:
            found: dict[str, Any] = json.loads(self.results_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and found.keys() >= _RESULTS else None

    def finished(self) -> dict[str, Any]:
        """What ``results.json`` holds.

        Raises:
            RunFolderError: when the folder holds no finished run.
        """
        self.stored_config()
        results = self.results()
        if results is None:
            raise RunFolderError(f"{self.path} holds no finished run; `ssl-host run` finishes it")
        return results

    def stored_config(self) -> Path:
        """The ``config.ini`` of the run that the folder holds.

        Raises:
            RunFolderError: when it is no run's folder.
        """
        if self.path.is_file():
            beside = self.path.parent
            whose = f"folder {beside}" if (beside / "config.ini").exists() else "run's folder"
            raise RunFolderError(f"{self.path} is a file; give the {whose}")
        if not self.path.exists():
            raise RunFolderError(f"{self.path}: no such folder")
        if not self.config_file.exists():
            raise RunFolderError(f"{self.path} is no run folder: it has no config.ini")
        return self.config_file

    def claim(self, config: RunConfig) -> RunConfig:
        """Make the folder this configuration's, or check that it is.

        Raises:
            RunFolderError: as :meth:`settled`.
        """
        config = self.settled(config)
        if self.results() is None:
            # What is free to change, such as the evaluators, is what will have been measured by.
            self.write_text("config.ini", config.to_ini())
        return config

    def settled(self, config: RunConfig) -> RunConfig:
        """This configuration with what an earlier process of the run settled for an ``auto``.

        Raises:
            RunFolderError: when the folder holds a run of another configuration; it lists the
                changed keys.
        """
        # A run that has come to nothing yet has nothing to lose: its faults may be mended.
        if not self._has_begun():
            return config
        changed = self.diff(config)
        if changed:
            listing = "\n".join(f"  {change}" for change in changed)
            raise RunFolderError(
                f"{self.path} holds a run with another configuration:\n{listing}\n"
                "give this run another name with -o run.name=..., or use --fresh to begin anew "
                "(the old run is moved aside)"
            )
        for (section, key), old, _ in self._differences(config):
            value = type(config.entries[section, key].value)(old) if old.isdigit() else old
            value = {"True": True, "False": False}.get(old, value)
            config = config.with_value(section, key, value, "run folder")
        return config

    def diff(self, config: RunConfig) -> list[str]:
        """What a configuration sets otherwise than the run that the folder holds, if it holds one.

        What a machine chooses for an ``auto`` is no change.

        Raises:
            RunFolderError: when the configuration of that run cannot be read.
        """
        if not self._has_begun():
            return []
        free = auto_keys(config)
        return [
            f"[{key[0]}] {key[1]}: was {old}, is {new}"
            for key, old, new in self._differences(config)
            if key not in free
        ]

    def _differences(self, config: RunConfig) -> Iterator[tuple[Key, str, str]]:
        """Settings that decide the outcome and differ, with what the folder and what ours say."""
        try:
            text = self.config_file.read_text(encoding="utf-8")
            stored, _ = parse_ini(text, str(self.config_file), "run folder")
        except (ConfigError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{error}\nuse --fresh to begin anew") from None
        fresh, _ = parse_ini(config.to_ini(), "config.ini", "file")
        for key in dict.fromkeys([*stored, *fresh]):
            old, new = (str(t[key].raw) if key in t else "(unset)" for t in (stored, fresh))
            if old != new and not self._is_free(key):
                yield key, old, new

    def _is_free(self, key: Key) -> bool:
        """Whether a setting may change on the way: what measures does not touch the training."""
        measures = key[0].partition(".")[0] == "evaluator"
        return key in PLACE_ONLY or (measures and self.results() is None)

    def claim_images(self, identity: Mapping[str, Any]) -> None:
        """Make these images the run's, or check that they are those it was begun with.

        Args:
            identity: how many are in each part, and a digest of their names.

        Raises:
            RunFolderError: when an unfinished run was begun with others. A held-out part that is
                cut anew would hold images that were trained on.
        """
        before = self._images_before()
        if before is None or not self._has_begun():
            self.write_json("images.json", identity)
        elif before != identity:
            then, now = (
                f"{found.get('train')} to train on and {found.get('held_out')} held out"
                for found in (before, identity)
            )
            raise RunFolderError(
                f"{self.path} was begun with other images: {then}; now there are {now}"
                f"{', of other names' if then == now else ''}. Going on would measure it on images "
                "that it was trained on. Put back what is missing and take away what is new, or "
                "use --fresh to begin anew (the old run is moved aside)"
            )

    def images_changed(self, identity: Mapping[str, Any]) -> bool:
        """Whether these are known to be other images than the run was begun with."""
        return self._images_before() not in (None, identity)

    def _images_before(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / "images.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _has_begun(self) -> bool:
        left = self.results_file.exists() or any(self.checkpoints.glob("*"))
        return left and self.config_file.exists()

    def write_text(self, name: str, text: str) -> Path:
        """Write a file beside and rename it."""
        return atomic_write_text(self.path / name, text)

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write JSON, readable by people too."""
        return self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def move_aside(path: Path) -> Path | None:
    """Rename an existing run folder to ``NAME.old-N``; nothing is deleted.

    Raises:
        RunFolderError: when another process is in it: its files would go elsewhere.
    """
    if not path.exists():
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    with RunFolder(path):
        path.rename(aside)
    return aside
