"""Folder of one run: results, stored configuration and images."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ssl_host.config.run_config import RunConfig
from ssl_host.errors import RunFolderError, UserError
from ssl_host.run_folder.locked_folder import LockedFolder
from ssl_host.run_folder.stored_config import (
    EVALUATION_KINDS,
    ConfigValues,
    compare_configs,
    config_values,
    read_config_values,
)

_RESULT_KEYS = {"name", "method", "backbone", "data", "seed", "epochs", "metrics"}
"""Keys that every ``results.json`` of a run has."""

_INPUT_FILES = {".lock", "config.ini", "config.json", "images.json"}
"""Files that a run folder contains before the training starts."""


class RunFolder(LockedFolder):
    """Folder of one run; used as a context manager, it is locked against other processes.

    A folder that the context has created is removed if a UserError ends it before the training.

    Args:
        path: the path of the folder, such as ``runs/NAME``.
        section: the INI section that sets ``name`` and ``dir`` of the folder, for error messages.

    Attributes:
        checkpoints: the folder that contains the checkpoints.
    """

    def __init__(self, path: Path, section: str = "run") -> None:
        super().__init__(path, section)
        self.config_file = path / "config.ini"
        self.results_file = path / "results.json"
        self.checkpoints = path / "checkpoints"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_new and isinstance(error, UserError):
            self._remove_if_unused()
        super().__exit__(kind, error, trace)

    def _remove_if_unused(self) -> None:
        """Remove the folder of a run that was refused before it wrote anything but its inputs."""
        if {path.name for path in self.path.iterdir()} <= _INPUT_FILES:
            shutil.rmtree(self.path, ignore_errors=True)

    def results(self) -> dict[str, Any] | None:
        """Return the content of ``results.json``, or None if the run is not finished."""
        results = _read_object(self.results_file)
        return results if results is not None and results.keys() >= _RESULT_KEYS else None

    def finished(self) -> dict[str, Any]:
        """Return the content of ``results.json``; raise an error if the run is not finished.

        Raises:
            RunFolderError: if the folder does not contain a finished run.
        """
        self.find_config_file()
        results = self.results()
        if results is None:
            raise RunFolderError(
                f"{self.path} does not contain a finished run; finish the run with `ssl-host run`"
            )
        return results

    def find_config_file(self) -> Path:
        """Return the path of the run's ``config.ini``.

        Raises:
            RunFolderError: if this folder does not exist or is not a run folder.
        """
        if self.path.is_file():
            parent = self.path.parent
            target = f"folder {parent}" if (parent / "config.ini").exists() else "run's folder"
            raise RunFolderError(f"{self.path} is a file; give the {target}")
        if not self.path.exists():
            raise RunFolderError(f"{self.path}: no such folder")
        if not self.config_file.exists():
            raise RunFolderError(f"{self.path} is not a run folder: it has no config.ini")
        return self.config_file

    def config_values(self) -> ConfigValues:
        """Return all stored settings as ``{section: {key: value}}``, with JSON types.

        Raises:
            RunFolderError: if ``config.json`` is missing or damaged.
        """
        return read_config_values(self.path / "config.json")

    def claim(self, config: RunConfig) -> RunConfig:
        """Check that a configuration matches the folder's run; store it unless the run is finished.

        Returns:
            The configuration, in which ``auto`` is replaced by the values that were chosen when
            the run was started.

        Raises:
            RunFolderError: if the folder contains a run with a different configuration.
        """
        config = self.restore_auto(config)
        if self.results() is None:
            # Evaluator settings may have changed, so the stored configuration is written again.
            self.write_text("config.ini", config.to_ini())
            self.write_json("config.json", config_values(config))
        return config

    def restore_auto(self, config: RunConfig) -> RunConfig:
        """Check that a configuration matches the run, and fill in the stored ``auto`` values.

        Raises:
            RunFolderError: if the folder contains a run with a different configuration; the
                message lists the changed settings.
        """
        changes, chosen = self._compare(config)
        if changes:
            listing = "\n".join(f"  {change}" for change in changes)
            advice = ""
            if not compare_configs(self.config_values(), config, free_kinds=EVALUATION_KINDS)[0]:
                advice = (
                    f"use `ssl-host evaluate {shlex.quote(str(self.path))} -o "
                    "evaluator.NAME.KEY=VALUE` to measure it with other evaluators, or "
                )
            raise RunFolderError(
                f"{self.path} contains a run with a different configuration:\n{listing}\n"
                f"{advice}give this run a different name with -o run.name=..., or use --fresh to "
                "start again (the folder of the old run is renamed)"
            )
        for (section, key), value in chosen.items():
            config = config.with_value(section, key, value, "run folder")
        return config

    def diff(self, config: RunConfig) -> list[str]:
        """Return a line of text for each setting that differs from the run in the folder.

        Settings that cannot change the results and values chosen for ``auto`` are ignored.

        Raises:
            RunFolderError: if the stored configuration cannot be read.
        """
        return self._compare(config)[0]

    def _compare(self, config: RunConfig) -> tuple[list[str], dict[tuple[str, str], Any]]:
        """Return a line for each changed setting, and the stored values of ``auto`` settings."""
        # Any setting may change if there are no results or checkpoints that could be lost.
        if not self.has_progress():
            return [], {}
        # Evaluators may change as long as nothing is evaluated.
        free_kinds = EVALUATION_KINDS if self.results() is None else ()
        return compare_configs(self.config_values(), config, free_kinds=free_kinds)

    def claim_images(self, fingerprint: Mapping[str, Any]) -> str | None:
        """Store the fingerprint of the images; if the run has started, check that it is unchanged.

        Args:
            fingerprint: the number of images in each split, and digests of their names and
                contents.

        Returns:
            A warning if only the contents have changed, or else None.

        Raises:
            RunFolderError: as :meth:`check_images`.
        """
        if self._stored_images() is not None and self.has_progress():
            return self.check_images(fingerprint)
        self.write_json("images.json", fingerprint)
        return None

    def check_images(self, fingerprint: Mapping[str, Any]) -> str | None:
        """Compare the images with those of the run; return a warning if only contents differ.

        Raises:
            RunFolderError: if the run was started with different images, because the test split
                would then contain images that the run was trained on.
        """
        stored = self._stored_images()
        if stored is None or not _differs(stored, fingerprint):
            return None
        if _differs(stored, fingerprint, ignored="content"):
            raise RunFolderError(
                f"{self.path} was started with different images: {self.image_change(fingerprint)}. "
                "Resuming would test on images that the run was trained on. Restore the images, or "
                "use --fresh to start again (the folder of the old run is renamed)."
            )
        return (
            "the image files have changed since the run was started, although their names "
            "are the same: the run was also trained on the earlier images"
        )

    def image_change(self, fingerprint: Mapping[str, Any]) -> str | None:
        """Return text on how the images differ from those of the run; None if equal or unknown."""
        stored = self._stored_images()
        if stored is None or not _differs(stored, fingerprint):
            return None
        then, now = (
            f"{images.get('train')} training and {images.get('held_out')} test images"
            for images in (stored, fingerprint)
        )
        if then != now:
            return f"{then}; now there are {now}"
        is_renamed = stored.get("names") != fingerprint.get("names")
        different = "different names" if is_renamed else "the same names, but different content"
        return f"{then}; now there are {now} with {different}"

    def _stored_images(self) -> dict[str, Any] | None:
        """Return the stored fingerprint of the images, or None if there is none."""
        return _read_object(self.path / "images.json")

    def has_progress(self) -> bool:
        """Return True if the folder has results or a checkpoint, and a configuration."""
        has_output = self.results_file.exists() or any(self.checkpoints.glob("*"))
        return has_output and self.config_file.exists()


def _differs(stored: Mapping[str, Any], fingerprint: Mapping[str, Any], ignored: str = "") -> bool:
    """Return True if two fingerprints differ in a key that both have; older ones have fewer."""
    return any(
        stored[key] != fingerprint[key] for key in stored.keys() & fingerprint.keys() - {ignored}
    )


def move_aside(path: Path) -> Path | None:
    """Rename a run folder to ``NAME.old-N`` and return the new path; None if it does not exist.

    Raises:
        RunFolderError: if another process is using the folder, because that process would lose
            its files.
    """
    if not path.exists():
        return None
    number = 1
    while (new_path := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    with RunFolder(path):
        path.rename(new_path)
    return new_path


def _read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or None if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
