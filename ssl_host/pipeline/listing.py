"""List the images of a run once, even if several processes train together."""

from __future__ import annotations

import hashlib
import os
import pickle
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from ssl_host.data.splits import Splits
from ssl_host.data.store import underlying_array

LISTING_VARIABLE = "SSL_HOST_LISTING"
"""Environment variable with the path of the listing, for processes that Lightning starts."""

REPORT_EVERY_S = 2.0
"""Time in seconds between two messages about the number of images."""

WAIT_S = 1800.0
"""Time in seconds after which a waiting process lists the images itself."""

_LAUNCH_VARIABLES = (
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
    "MASTER_ADDR",
    "MASTER_PORT",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "SLURM_RESTART_COUNT",
)
"""Environment variables with the same value in all processes of one torchrun or SLURM launch."""

_STARTED = time.time()


class ListingProgress:
    """Callable that prints the number of images listed so far, if listing takes a few seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last_time = time.monotonic()

    def __call__(self, count: int) -> None:
        """Print the number of images, at most every two seconds."""
        now = time.monotonic()
        if now - self.last_time >= REPORT_EVERY_S:
            self.last_time = now
            self.console.print(f"listing images: {count:,} so far", style="dim")


def read_listing(folder: Path) -> Splits | None:
    """Return the splits that the first process listed; None if this process must list them.

    Wait for the first process if torchrun or SLURM started both at the same time.

    Args:
        folder: the run folder.
    """
    path = os.environ.get(LISTING_VARIABLE)
    file = Path(path) if path else _launch_file(folder)
    deadline = time.monotonic() + WAIT_S
    while file is not None and time.monotonic() < deadline:
        try:
            # A file that is older than this process was left behind by a killed process.
            if path or file.stat().st_mtime > _STARTED - 60:
                splits: Splits | None = pickle.loads(file.read_bytes())
                return splits
        except FileNotFoundError:
            if path:
                return None
        time.sleep(0.1)
    return None


@contextmanager
def share_listing(splits: Splits, folder: Path) -> Iterator[None]:
    """Write the splits to a file for the other processes, until the end of the context.

    Images in memory are not written; the other processes open them again.

    Args:
        splits: the splits.
        folder: the run folder.
    """
    file = _launch_file(folder) or folder / f".listing-{secrets.token_hex(8)}"
    partial = file.with_suffix(".partial")
    try:
        partial.write_bytes(_pickle(splits))
        partial.replace(file)
        os.environ[LISTING_VARIABLE] = str(file.resolve())
        yield
    finally:
        os.environ.pop(LISTING_VARIABLE, None)
        for path in (file, partial):
            path.unlink(missing_ok=True)


def _launch_file(folder: Path) -> Path | None:
    """Return the file that processes of torchrun or SLURM share; None without a launcher."""
    values = [os.environ.get(name, "") for name in _LAUNCH_VARIABLES]
    if not any(values):
        return None
    return folder / f".listing-{hashlib.sha256(repr(values).encode()).hexdigest()[:16]}"


def _pickle(splits: Splits) -> bytes:
    """Return the pickled splits, or a pickled None if they are in memory or cannot be pickled."""
    parts = (splits.train, splits.probe, splits.test)
    if not any(images is not None and underlying_array(images) is not None for images in parts):
        try:
            return pickle.dumps(splits)
        except Exception:  # a dataset of a plugin may contain anything
            pass
    return pickle.dumps(None)
