"""Compute the features of all images, continue after an interruption, and write one file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from ssl_host import (
    Backbone,
    Catalog,
    DataError,
    ImageDataset,
    UserError,
    atomic_write_text,
    iterate_features,
    load_backbone,
    preemptible,
    report_disk_errors,
)
from ssl_plugin_embed.formats import (
    Table,
    check_format,
    check_not_an_input,
    description_file,
    sidecar_file,
    write_features,
)
from ssl_plugin_embed.images import TRAIN, ImageCollection, Part, Row, open_images
from ssl_plugin_embed.networks import backbone_digest
from ssl_plugin_embed.partial import (
    STATE,
    Identity,
    PartialFeatures,
    changed_parts,
    open_partial_folder,
    partial_path,
    remove_partial,
)

DType = Literal["float32", "float16"]
ProgressCallback = Callable[[int, int], None]
"""Function that is called with the number of images done and the total number of images."""
STOPPED = "stopped by a signal: run the same command again to continue"


@dataclass(frozen=True)
class Embedding:
    """Result of :func:`embed`.

    Attributes:
        file: the file with the features.
        rows_file: CSV file that describes the rows; None if they are in ``file``.
        num_images: number of images, including those that could not be read.
        shape: shape of the features, (N, D), or (N, T, D) for patch tokens.
        dtype: number type of the features.
        classes: names of the classes, in the order of the labels.
        unreadable: path and reason of each image that could not be read and has no row.
        notes: remarks of the data sources.
        images_per_s: images per second in this process; None if nothing had to be computed.
    """

    file: Path
    rows_file: Path | None
    num_images: int
    shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    images_per_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return all attributes for JSON, with ``path`` and ``reason`` of unreadable images."""
        unreadable = [{"path": path, "reason": reason} for path, reason in self.unreadable]
        return {**asdict(self), "unreadable": unreadable}


def embed(
    images: str | Path | Sequence[str | Path] | ImageDataset,
    backbone: Backbone | str | Path,
    to: str | Path,
    *,
    tokens: bool = False,
    dtype: DType = "float32",
    batch_size: int = 256,
    device: str | None = None,
    data: str | None = None,
    options: Sequence[str] = (),
    fresh: bool = False,
    catalog: Catalog | None = None,
    progress: ProgressCallback | None = None,
) -> Embedding:
    """Write the features of images to a file, with the path, split, label and class of each.

    Images of all splits are embedded in a fixed order; those that cannot be read have no row. After
    an interruption the same call continues, and the file is the same as without one. If it is
    complete already, nothing is computed.

    Args:
        images: folders, CSV files, shards, image files or patterns that an installed data source
            reads, or a dataset.
        backbone: a backbone, or a path for :func:`ssl_host.load_backbone`; images are prepared as
            in its run.
        to: the file to write: ``.parquet``, or ``.npy`` or ``.safetensors`` with a CSV of the rows.
        tokens: True for patch tokens (N, T, D) instead of features (N, D); not for Parquet.
        dtype: number type of the file; the network computes in float32.
        batch_size: number of images in each forward pass.
        device: torch device; by default the first GPU, or else the CPU.
        data: name of the data source; by default it is found by the path.
        options: settings of the data source, such as ``labelled=false``.
        fresh: True to drop what an earlier call computed or wrote.
        catalog: registry of the installed plugins; built by default.
        progress: function that is called after each batch.

    Raises:
        UserError: when an argument is invalid, or an earlier call with the same file used another
            network, other images or settings.
        DataError: when no image can be read.
        RunError: when the disk is full, or features are not finite.
        Preempted: when a signal stops the computation.
    """
    out = Path(to)
    _check_arguments(out, tokens, dtype, batch_size)
    catalog = catalog or Catalog()
    with preemptible(STOPPED), report_disk_errors(out.parent):
        network = backbone if isinstance(backbone, Backbone) else load_backbone(backbone, catalog)
        if isinstance(images, ImageDataset):
            collection = ImageCollection([Part(images, TRAIN)])
        else:
            given = [images] if isinstance(images, str | Path) else images
            paths = [Path(path) for path in given]
            check_not_an_input(out, paths)
            collection = open_images(paths, network, catalog, data, options)
        if not len(collection):
            raise DataError("there are no images to embed")
        identity = {
            "model": backbone_digest(network),
            "images": collection.digest(),
            "settings": f"tokens = {tokens}, {dtype}, batches of {batch_size}",
        }
        network.to(_device(device))
        work = _Work(out, network, collection, identity, tokens, dtype, batch_size)
        with open_partial_folder(out, fresh) as folder:
            finished = None if fresh else work.finished()
            return finished or work.complete(folder, progress)


@dataclass(frozen=True)
class _Work:
    """Features to write to one file: the network, the images and the settings."""

    out: Path
    backbone: Backbone
    images: ImageCollection
    identity: Identity
    tokens: bool
    dtype: str
    batch_size: int

    def finished(self) -> Embedding | None:
        """Return the result of an earlier call if the file is complete, or None.

        Raises:
            UserError: when the file exists, but was not written by the same call.
        """
        if not self.out.exists() or (partial_path(self.out) / STATE).exists():
            return None
        try:
            about = json.loads(description_file(self.out).read_text(encoding="utf-8"))
            changed = changed_parts(about["identity"], self.identity)
            unreadable = [(each["path"], each["reason"]) for each in about["unreadable"]]
            result = self._result(tuple(about["shape"]), unreadable)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"{self.out} exists, but {description_file(self.out).name}, which `embed` writes "
                "next to it, does not describe it; replace it with --fresh, or write to another "
                "file with --to"
            ) from None
        if changed:
            raise UserError(
                f"{self.out} exists, but {changed} changed since it was written; replace it with "
                "--fresh, or write to another file with --to"
            )
        return result

    def complete(self, folder: Path, progress: ProgressCallback | None) -> Embedding:
        """Compute the features that are missing, write the file, and remove what is partial."""
        with closing(PartialFeatures(folder, self.identity, self.dtype)) as partial:
            missing, start = len(self.images) - partial.progress.done, time.monotonic()
            try:
                self._compute(partial, progress)
            finally:
                if partial.progress.done:
                    partial.save()
            seconds = time.monotonic() - start
            result = self._write(partial, folder)
        about = {"identity": self.identity, **result.as_dict()}
        for name in ("file", "rows_file", "images_per_s"):  # the same after an interruption
            del about[name]
        atomic_write_text(description_file(self.out), json.dumps(about, indent=2) + "\n")
        remove_partial(folder)
        return replace(result, images_per_s=missing / max(seconds, 1e-9) if missing else None)

    def _compute(self, partial: PartialFeatures, progress: ProgressCallback | None) -> None:
        """Compute the features of all images that are not done yet."""
        first = 0
        for part in self.images.parts:
            start = partial.progress.done - first
            if start < len(part.images):
                batches = iterate_features(
                    self.backbone,
                    part.images,
                    batch_size=self.batch_size,
                    start=start,
                    tokens=self.tokens,
                )
                with closing(batches):
                    for batch in batches:
                        done = partial.progress.done + len(batch.indices) + len(batch.unreadable)
                        unreadable = [(first + i, reason) for i, reason in batch.unreadable]
                        partial.append(batch.features.numpy(), done, unreadable)
                        if progress is not None:
                            progress(done, len(self.images))
            first += len(part.images)

    def _write(self, partial: PartialFeatures, folder: Path) -> Embedding:
        """Write the file and return the result.

        Raises:
            DataError: when no image could be read.
        """
        reasons = dict(partial.progress.unreadable)
        rows = enumerate(self.images.rows())
        unreadable = [(row.path, reasons[i]) for i, row in rows if i in reasons]
        if partial.num_rows == 0:
            remove_partial(folder)
            raise DataError(_no_readable_images_message(unreadable))
        assert partial.row_shape is not None
        shape = (partial.num_rows, *partial.row_shape)

        def readable() -> Iterator[Row]:
            return (row for i, row in enumerate(self.images.rows()) if i not in reasons)

        table = Table(shape, np.dtype(self.dtype), partial.chunks, readable)
        write_features(self.out, table, folder)
        return self._result(shape, unreadable)

    def _result(self, shape: tuple[int, ...], unreadable: Sequence[tuple[str, str]]) -> Embedding:
        """Return the result, given the shape of the features and the images without a row."""
        return Embedding(
            self.out,
            sidecar_file(self.out),
            len(self.images),
            shape,
            self.dtype,
            self.images.classes,
            tuple(unreadable),
            tuple(self.images.notes),
        )


def _check_arguments(out: Path, tokens: bool, dtype: str, batch_size: int) -> None:
    """Raise UserError if an argument of :func:`embed` is invalid."""
    check_format(out, tokens)
    if dtype not in get_args(DType):
        raise UserError(f"dtype is {dtype!r}, expected {' or '.join(get_args(DType))}")
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}, expected at least 1")


def _device(name: str | None) -> torch.device:
    """Return a torch device by name, or the best one.

    Raises:
        UserError: when this machine does not have the device.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name} cannot be used ({reason}); use cpu or cuda") from None
    return device


def _no_readable_images_message(unreadable: Sequence[tuple[str, str]]) -> str:
    """Return the error message for images none of which can be read."""
    examples = "; ".join(f"{path} ({reason})" for path, reason in unreadable[:3])
    return f"none of {len(unreadable)} images could be read: {examples}"
