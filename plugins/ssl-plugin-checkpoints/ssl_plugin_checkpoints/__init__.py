"""Read starting weights from checkpoints of solo-learn, lightly and similar projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ssl_host import hookimpl

if TYPE_CHECKING:
    from ssl_host import StoredWeights

ssl_host_api = 1


@hookimpl
def read_weights(path: Path) -> StoredWeights | None:
    """Return the tensors of another project's checkpoint, with schemes to rename them.

    Return None if the file cannot be read or follows no known scheme.
    """
    from ssl_plugin_checkpoints.layouts import read_checkpoint  # noqa: PLC0415 - imports torch

    return read_checkpoint(path)
