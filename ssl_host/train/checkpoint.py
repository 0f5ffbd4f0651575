"""Checkpoints: everything that is state, written beside and renamed, with a checksum."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from ssl_host.errors import CheckpointError
from ssl_host.toolkit.atomic_io import atomic_write, remedy

FORMAT = 1
_NAME = re.compile(r"^step-(\d{9})\.ckpt$")


def write_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write ``step-N.ckpt`` and its ``.sha256`` so that a crash leaves either all or nothing.

    Args:
        keep: how many of the newest stay.

    Raises:
        CheckpointError: when it cannot be written; those before it are untouched.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    payload = buffer.getbuffer()
    path = folder / f"step-{step:09d}.ckpt"
    digest = hashlib.sha256(payload).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(path.with_suffix(".sha256"), f"{digest}  {path.name}\n".encode())
        atomic_write(path, payload)
    except OSError as error:
        if not path.exists():
            path.with_suffix(".sha256").unlink(missing_ok=True)
        last = checkpoints(folder)
        kept = f"; the last good one is {last[-1].name}" if last else ""
        onwards = "the run goes on from there" if last else "the run begins anew"
        raise CheckpointError(
            f"the checkpoint {path} could not be written: {error.strerror}{kept}. "
            f"{remedy(error)}: {onwards}"
        ) from None
    for left in folder.glob("*.partial"):
        left.unlink(missing_ok=True)  # of a process that was killed while it wrote
    # What is newer than the step a run stands at could not be read, or it would have gone on from
    # there. It is kept, under a name that displaces no sound one.
    there = checkpoints(folder)
    newer = [old for old in there if old.name > path.name]
    for old in newer:
        old.replace(old.with_suffix(".damaged"))
    for old in there[: len(there) - len(newer)][:-keep]:
        old.unlink(missing_ok=True)
        old.with_suffix(".sha256").unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The folder's checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.match(path.name))


def read_newest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest sound checkpoint, and a sentence for each damaged one that was passed over."""
    faults: list[CheckpointError] = []
    for path in reversed(checkpoints(folder)):
        try:
            found = read_checkpoint(path)
        except CheckpointError as error:
            faults.append(error)
            continue
        return found, [f"{fault}; the one before it is taken" for fault in faults]
    told = [f"{fault}; the one before it is taken" for fault in faults[:-1]]
    return None, told + [f"{fault}; the run begins anew" for fault in faults[-1:]]


def last_written(folder: Path) -> str:
    """Where a run would go on, for a message."""
    kept = checkpoints(folder)
    return f"{kept[-1].name} is the last checkpoint" if kept else "No checkpoint was written"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state, after its checksum has been found right. No code in it is run.

    Raises:
        CheckpointError: when it is torn, damaged or not one of ours.
    """
    try:
        stated = path.with_suffix(".sha256").read_text(encoding="ascii").split()[0]
        payload = path.read_bytes()
    except (OSError, IndexError, UnicodeDecodeError):
        raise CheckpointError(f"{path.name} has no readable checksum beside it") from None
    if hashlib.sha256(payload).hexdigest() != stated:
        raise CheckpointError(f"{path.name} is damaged: its checksum does not agree")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception:  # what torch refuses, such as objects that would run code
        state = None
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path.name} is no checkpoint of tensors and numbers; nothing in it was run"
        )
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path.name} is of format {state.get('format')}, and this version reads {FORMAT}"
        )
    return state
