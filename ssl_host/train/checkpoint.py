"""Write checkpoints atomically with a checksum, and read them without running any code."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from ssl_host.errors import CheckpointError
from ssl_host.toolkit.atomic_io import atomic_write, suggest_remedy

FORMAT = 2
"""Version of the file format; checkpoints with a different version are rejected."""
_NAME = re.compile(r"^step-(\d{9})\.ckpt$")


def write_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write a checkpoint with its checksum atomically, and delete old checkpoints.

    Args:
        folder: the folder of the checkpoints.
        step: the number of optimizer steps done.
        state: the content of the checkpoint.
        keep: the number of checkpoints to keep, including this one.

    Returns:
        The path of the checkpoint, ``step-N.ckpt``; the checksum is in ``step-N.sha256``.

    Raises:
        CheckpointError: if the checkpoint cannot be written; earlier ones are not changed.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    payload = buffer.getbuffer()
    path = _checkpoint_path(folder, step)
    digest = hashlib.sha256(payload).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(path.with_suffix(".sha256"), f"{digest}  {path.name}\n".encode())
        atomic_write(path, payload)
    except OSError as error:
        if not path.exists():
            path.with_suffix(".sha256").unlink(missing_ok=True)
        raise _write_error(path, error) from None
    for partial in folder.glob("*.partial"):
        partial.unlink(missing_ok=True)  # left by a process that was killed while writing
    _remove_old_checkpoints(folder, path, keep)
    return path


def _checkpoint_path(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint of an optimizer step."""
    return folder / f"step-{step:09d}.ckpt"


def _write_error(path: Path, error: OSError) -> CheckpointError:
    """Return the error for a failed write: the cause, how to fix it, and where the run resumes."""
    existing = list_checkpoints(path.parent)
    last = f"; the last good one is {existing[-1].name}" if existing else ""
    restart = "resumes from that checkpoint" if existing else "starts again"
    return CheckpointError(
        f"the checkpoint {path} could not be written: {error.strerror}{last}. "
        f"{suggest_remedy(error)}; the run then {restart}."
    )


def _remove_old_checkpoints(folder: Path, written: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints; set checkpoints of later steps aside.

    Checkpoints of steps after the one in ``written`` get the suffix ``.damaged``.
    """
    # A checkpoint of a later step must be damaged, or the run would have resumed from it. It is
    # renamed, so that it does not count as a checkpoint to keep but can still be examined.
    existing = list_checkpoints(folder)
    newer = [path for path in existing if path.name > written.name]
    for path in newer:
        path.replace(path.with_suffix(".damaged"))
    for path in existing[: len(existing) - len(newer)][:-keep]:
        path.unlink(missing_ok=True)
        path.with_suffix(".sha256").unlink(missing_ok=True)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the paths of the checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.match(path.name))


def load_latest_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the content of the newest undamaged checkpoint, and warnings about damaged ones.

    The content is None if there is no undamaged checkpoint.
    """
    errors: list[CheckpointError] = []
    state = None
    for path in reversed(list_checkpoints(folder)):
        try:
            state = read_checkpoint(path)
            break
        except CheckpointError as error:
            errors.append(error)
    warnings = [f"{error}; trying the previous checkpoint" for error in errors]
    if errors and state is None:
        warnings[-1] = f"{errors[-1]}; no earlier checkpoint is left, so the run starts again"
    return state, warnings


def find_checkpoint(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint that a finished run wrote after its last step.

    Raises:
        CheckpointError: if it is missing; the message says what to do.
    """
    path = _checkpoint_path(folder, step)
    if not path.exists():
        raise CheckpointError(f"{path} is missing, {_without_checkpoint(folder)}")
    return path


def read_last_checkpoint(folder: Path, step: int) -> dict[str, Any]:
    """Return the content of the checkpoint that a finished run wrote after its last step.

    Raises:
        CheckpointError: if it is missing or damaged; the message says what to do.
    """
    path = find_checkpoint(folder, step)
    try:
        return read_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path.parent}: {error}, {_without_checkpoint(folder)}") from None


def _without_checkpoint(folder: Path) -> str:
    """Return the end of a message about a run that cannot be continued from its checkpoint."""
    run = folder.parent
    return (
        "so the run cannot be continued. Restore the file, start a new run from the trained "
        f"backbone with [run] init_from = {run}, or train for longer from the start under another "
        "[run] name"
    )


def describe_last_checkpoint(folder: Path) -> str:
    """Return a sentence that names the newest checkpoint in a folder, without its full stop."""
    existing = list_checkpoints(folder)
    return f"The last checkpoint is {existing[-1].name}" if existing else "There is no checkpoint"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Verify the checksum of a checkpoint and return its content, without running code in it.

    Raises:
        CheckpointError: if the file is truncated or damaged, or has a different format.
    """
    try:
        expected = path.with_suffix(".sha256").read_text(encoding="ascii").split()[0]
        payload = path.read_bytes()
    except (OSError, IndexError, UnicodeDecodeError):
        raise CheckpointError(f"{path.name} is damaged: its checksum file cannot be read") from None
    if hashlib.sha256(payload).hexdigest() != expected:
        raise CheckpointError(f"{path.name} is damaged: its checksum does not match")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception:  # torch does not load objects that would run code
        state = None
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path.name} is not a checkpoint: it was not written by torch.save, or contains "
            "objects other than tensors and plain values; none of its code was run"
        )
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path.name} has format {state.get('format')}, but this version of ssl-host reads "
            f"only format {FORMAT}"
        )
    return state
