"""Features computed so far, stored next to the output until all of them are there."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ssl_host import RunError, UserError, atomic_write_text
from ssl_plugin_embed.formats import description_file

SAVE_SECONDS = 5.0
"""Time in seconds between two saves, after which a killed process continues."""
CHUNK_BYTES = 2**26
"""Largest size in bytes of the chunks in which stored features are read."""
CHUNK_ROWS = 2**13
"""Largest number of rows in a chunk: their descriptions take more memory than short features."""
STATE = "state.json"
"""Name of the file without which a folder has nothing that the next process could use."""
_FEATURES = "features.bin"
_WHAT = {"model": "the network", "images": "the list of images", "settings": "the settings"}

Identity = Mapping[str, str]
"""What the features depend on: hashes of the model, the images and the settings."""


class Progress(NamedTuple):
    """Number of images done, and the index and reason of each that could not be read."""

    done: int = 0
    unreadable: tuple[tuple[int, str], ...] = ()


def partial_path(out: Path) -> Path:
    """Return the folder of the partial features of an output."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def open_partial_folder(out: Path, fresh: bool) -> Iterator[Path]:
    """Yield the folder of partial features, which only this process uses.

    Args:
        out: the output.
        fresh: True to remove partial features, and the description that makes the output complete.

    Raises:
        UserError: when another process writes the same output, or the folder cannot be written.
    """
    folder = partial_path(out)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"another process is writing {out}; wait until it is done") from None
    except OSError as error:
        raise UserError(
            f"--to {out}: cannot be written: {error.strerror}; use another folder"
        ) from None
    state = folder / STATE
    try:
        if fresh:
            state.unlink(missing_ok=True)
            description_file(out).unlink(missing_ok=True)
        yield folder
    finally:
        if not state.exists():  # nothing that the next process could use
            remove_partial(folder)
        lock.release()


class PartialFeatures:
    """Rows of features in a file that grows, with a state file that says how many are complete.

    A process may be killed at any time: rows after the last saved state are dropped, and computed
    again.

    Args:
        folder: folder of both files; it exists.
        identity: what the features depend on; it must not change between two processes.
        dtype: number type of the features.

    Attributes:
        progress: the images done so far.
        row_shape: shape of one row, (D,) or (T, D); None before the first row.

    Raises:
        UserError: when the stored features belong to another network, or to other images.
        RunError: when the stored features are damaged.
    """

    def __init__(self, folder: Path, identity: Identity, dtype: str) -> None:
        self.folder = folder
        self.identity = dict(identity)
        self.dtype = np.dtype(dtype)
        self.progress = Progress()
        self.row_shape: tuple[int, ...] | None = None
        if (folder / STATE).exists():
            self._read_state()
        self.file = (folder / _FEATURES).open("ab")
        expected = self.num_rows * self.row_bytes
        if self.file.seek(0, os.SEEK_END) < expected:
            raise RunError(f"{self.file.name} is shorter than it was; start again with --fresh")
        self.file.truncate(expected)
        self._last_save = time.monotonic()

    @property
    def num_rows(self) -> int:
        """Number of complete rows: the readable images done so far."""
        return self.progress.done - len(self.progress.unreadable)

    @property
    def row_bytes(self) -> int:
        """Size of one row in bytes; 0 before the first row."""
        return 0 if self.row_shape is None else self.dtype.itemsize * int(np.prod(self.row_shape))

    def append(
        self, rows: NDArray[np.float32], done: int, unreadable: list[tuple[int, str]]
    ) -> None:
        """Add the features of the next images.

        Args:
            rows: (B, D) or (B, T, D), those of the readable images.
            done: number of images done, including these.
            unreadable: index and reason of each of these images that could not be read.

        Raises:
            RunError: when a feature is not finite in the number type of the file.
        """
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(rows, self.dtype)
        if not np.isfinite(stored).all():
            advice = "; use --dtype float32" if np.isfinite(rows).all() else ""
            raise RunError(
                f"features of image {done - len(rows)} to {done} are not finite in "
                f"{self.dtype.name}{advice}"
            )
        self.row_shape = stored.shape[1:]
        self.file.write(stored.tobytes())
        # One assignment, so that a signal cannot separate the two values.
        self.progress = Progress(done, (*self.progress.unreadable, *unreadable))
        if time.monotonic() - self._last_save >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write everything to disk, so that the next process continues here."""
        self.file.flush()
        os.fsync(self.file.fileno())
        state = {"identity": self.identity, "shape": self.row_shape, **self.progress._asdict()}
        atomic_write_text(self.folder / STATE, json.dumps(state))
        self._last_save = time.monotonic()

    def chunks(self) -> Iterator[NDArray[np.generic]]:
        """Yield all rows in chunks of a bounded size; :meth:`save` comes first."""
        assert self.row_shape is not None
        count = max(1, min(CHUNK_ROWS, CHUNK_BYTES // self.row_bytes))
        with (self.folder / _FEATURES).open("rb") as file:
            for start in range(0, self.num_rows, count):
                rows = min(count, self.num_rows - start)
                values = np.frombuffer(file.read(rows * self.row_bytes), self.dtype)
                yield values.reshape(rows, *self.row_shape)

    def close(self) -> None:
        """Close the file; nothing is saved."""
        self.file.close()

    def _read_state(self) -> None:
        """Read the state file.

        Raises:
            UserError: when the features belong to another network, or to other images.
            RunError: when the file cannot be read.
        """
        path = self.folder / STATE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            identity = dict(state["identity"])
            unreadable = tuple((int(i), str(reason)) for i, reason in state["unreadable"])
            self.progress = Progress(int(state["done"]), unreadable)
            self.row_shape = None if state["shape"] is None else tuple(map(int, state["shape"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path} is damaged ({error}); start again with --fresh") from None
        changed = changed_parts(identity, self.identity)
        if changed:
            raise UserError(
                f"{self.folder}: {self.progress.done} images are already done, but {changed} "
                "changed since then; repeat the command with what was used before, or start again "
                "with --fresh"
            )


def changed_parts(old: Identity, new: Identity) -> str:
    """Return what differs between two identities as text, such as ``the network``, or nothing."""
    return " and ".join(text for key, text in _WHAT.items() if old.get(key) != new.get(key))


def remove_partial(folder: Path) -> None:
    """Remove a folder of partial features; a process that is killed here removes the rest later."""
    (folder / STATE).unlink(missing_ok=True)  # first: without it, the rest is known to be useless
    shutil.rmtree(folder, ignore_errors=True)
