"""Continue a finished run for more epochs, in a run folder of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ssl_host.config.layers import option_layer
from ssl_host.config.run_config import RunConfig
from ssl_host.errors import ConfigError, Problem, RunFolderError, UserError
from ssl_host.run_folder.folder import RunFolder
from ssl_host.run_folder.stored_config import (
    FREE_KINDS_OF_CONTINUED_RUNS,
    FREE_SETTINGS_OF_CONTINUED_RUNS,
    compare_configs,
)
from ssl_host.toolkit.plurals import pluralize
from ssl_host.train.checkpoint import read_last_checkpoint
from ssl_host.train.state import TrainingState

LAYER = "--more-epochs"
"""Name of the configuration layer with the settings of a run that continues another one."""

EXCLUDED_OPTIONS = {
    ("run", "init_from"): "the checkpoint has all weights",
    ("run", "epochs"): "their number is added to the epochs of the finished run",
}
"""Settings that an option may not change together with more epochs, and why."""


@dataclass(frozen=True)
class FinishedRun:
    """Finished run that another run continues.

    Attributes:
        folder: the folder of the finished run.
    """

    folder: RunFolder

    @cached_property
    def results(self) -> dict[str, Any]:
        """Content of ``results.json``.

        Raises:
            RunFolderError: if the folder does not contain a finished run.
        """
        return self.folder.finished()

    @property
    def epochs(self) -> int:
        """Number of epochs of the finished run."""
        return int(self.results["epochs"])

    def prepare(self, config: RunConfig) -> RunConfig:
        """Check that a configuration can continue the run, and return it.

        In the result, ``auto`` is replaced by the values that were chosen for the finished run, if
        this machine has the same type of device.

        Raises:
            RunFolderError: if the run is not finished, has as many epochs or has other settings.
            CheckpointError: if the last checkpoint of the run is missing or damaged.
        """
        epochs, path = config.run.epochs, self.folder.path
        if epochs <= self.epochs:
            raise RunFolderError(
                f"[run] epochs = {epochs}: [run] continue_from = {path} has {self.epochs} epochs, "
                f"and epochs counts them too; set it to more than {self.epochs}"
            )
        self.read_checkpoint()
        stored = self.folder.config_values()
        changes, chosen = compare_configs(
            stored, config, FREE_SETTINGS_OF_CONTINUED_RUNS, FREE_KINDS_OF_CONTINUED_RUNS
        )
        if changes:
            listing = "\n".join(f"  {change}" for change in changes)
            raise RunFolderError(
                f"[run] continue_from = {path}: the checkpoint of this run does not fit the "
                f"configuration:\n{listing}\n"
                "use the settings of the finished run, or start a new run from its backbone with "
                f"[run] init_from = {path}"
            )
        if stored["trainer"]["accelerator"] == config.trainer.accelerator:
            for (section, key), value in chosen.items():
                config = config.with_value(section, key, value, f"run {path}")
        return config

    def changes(self, config: RunConfig) -> list[str]:
        """Return a line for each setting of the training that is not that of the finished run."""
        free = {key for key in FREE_SETTINGS_OF_CONTINUED_RUNS if key[0] != "optimizer"}
        other_kinds = ("trainer", "evaluator", "baseline", "logger")
        return compare_configs(self.folder.config_values(), config, free, other_kinds)[0]

    def read_checkpoint(self) -> dict[str, Any]:
        """Return the content of the last checkpoint.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        return read_last_checkpoint(self.folder.checkpoints, int(self.results["steps"]))


def finished_run(config: RunConfig) -> FinishedRun | None:
    """Return the run that a configuration continues, or None if it starts with a new network."""
    path = config.run.continue_from
    return None if path is None else FinishedRun(RunFolder(path))


def prepare_continuation(config: RunConfig) -> RunConfig:
    """Check that the run in ``[run] continue_from`` can be continued, unless this has been done.

    Returns:
        The configuration with a note on settings that have changed, and with the ``auto`` choices
        of the finished run. It is unchanged if it continues no run.

    Raises:
        RunFolderError: as :meth:`FinishedRun.prepare`.
        CheckpointError: as :meth:`FinishedRun.prepare`.
    """
    run = finished_run(config)
    if run is None:
        return config
    # A run that has a checkpoint does not need the finished run any more.
    has_started = RunFolder(config.run.folder).has_progress()
    try:
        config = config if has_started else run.prepare(config)
        changes = run.changes(config)
    except RunFolderError:
        if not has_started:
            raise
        return config
    if changes:
        note = f"continues {run.folder.path} with other settings: {'; '.join(changes)}"
        config = replace(config, notes=(*config.notes, note))
    return config


def describe_continuation(state: TrainingState, config: RunConfig) -> dict[str, Any] | None:
    """Return the part of ``results.json`` on the run that is continued, or None if there is none.

    It contains the folder of that run and the numbers of its epochs and steps.
    """
    path = config.run.continue_from
    if path is None:
        return None
    return {"run": str(path), "epochs": state.first_epoch, "steps": state.first_step}


def continuation_note(path: Path, state: TrainingState) -> str:
    """Return the note on a run that continues the one in a folder; ``state`` is its own state."""
    return (
        f"{describe_start(path, state.first_epoch, state.epochs)}: epochs and steps count from the "
        "start of that run; wall time and throughput are those of the "
        f"{pluralize(state.epochs - state.first_epoch, 'added epoch')}"
    )


def describe_start(path: Path, first_epoch: int, epochs: int) -> str:
    """Return text on where a run of ``epochs`` epochs continues the run in a folder."""
    return f"continues the run in {path} after {first_epoch} of {epochs} epochs"


def resolve_more_epochs(
    resolve: Callable[[Sequence[str]], RunConfig], options: Sequence[str], more_epochs: int | None
) -> RunConfig:
    """Return the configuration of a run, or the one that continues it for more epochs.

    Args:
        resolve: a function that takes options and returns the configuration of the finished run.
        options: options of the form ``section.key=value``; ``run.name`` is the name of the
            new run, which is otherwise ``NAME-Nepochs`` with the total number of epochs.
        more_epochs: the number of epochs to add, at least 1; None for the run itself.

    Raises:
        UserError: if ``more_epochs`` is less than 1.
        ConfigError: if an option sets ``run.init_from`` or ``run.epochs``, or is invalid.
        RunFolderError: if the run is not finished.
    """
    if more_epochs is None:
        return resolve(options)
    if more_epochs < 1:
        raise UserError(f"more_epochs = {more_epochs}: should be at least 1")
    by_key = {option: set(option_layer([option]).values) for option in options}
    for option, keys in by_key.items():
        for (section, key), reason in EXCLUDED_OPTIONS.items():
            if (section, key) in keys:
                text = f"{key} cannot be combined with more epochs: {reason}"
                raise ConfigError([Problem(f"-o {option}", text)])
    old = resolve([option for option, keys in by_key.items() if ("run", "name") not in keys])
    path = old.run.folder.absolute()
    run = FinishedRun(RunFolder(path))
    try:
        epochs = run.epochs + more_epochs
    except RunFolderError as error:
        raise RunFolderError(f"only a finished run can have more epochs: {error}") from None
    if any(("run", "name") in keys for keys in by_key.values()):
        name = resolve(options).run.name
    else:
        name = f"{re.sub(r'-[0-9]+epochs$', '', old.run.name)}-{epochs}epochs"
    values = {"init_key": None, "init_prefix": None, "init_from": None, "continue_from": path}
    config = old
    for key, value in {**values, "epochs": epochs, "name": name}.items():
        if getattr(config.run, key) != value:
            config = config.with_value("run", key, value, LAYER)
    return config
