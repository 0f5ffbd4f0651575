"""Write features and descriptions of their images as Parquet, NumPy or safetensors files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssl_host import UserError
from ssl_plugin_embed.images import Row

_COLUMNS = ("path", "split", "label", "class")


@dataclass(frozen=True)
class Table:
    """Features of the readable images, which are read in chunks, and their descriptions.

    Attributes:
        shape: (N, D), or (N, T, D) for patch tokens.
        dtype: number type of the features.
        chunks: function that returns an iterator of consecutive features, (n, D) or (n, T, D).
        rows: function that returns an iterator of the N descriptions.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: Callable[[], Iterator[NDArray[np.generic]]]
    rows: Callable[[], Iterator[Row]]


def _write_npy(table: Table, file: Path) -> None:
    """Write an array that ``numpy.load(file, mmap_mode="r")`` maps into memory."""
    descr = np.lib.format.dtype_to_descr(table.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": table.shape}
    with file.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        _write_chunks(table, out)
        _sync(out)


def _write_safetensors(table: Table, file: Path) -> None:
    """Write the tensors ``features`` and ``labels`` in chunks, which safetensors cannot do."""
    split = 8 * table.shape[0]
    end = split + table.dtype.itemsize * int(np.prod(table.shape))
    number_type = {"float32": "F32", "float16": "F16"}[table.dtype.name]
    tensors = {
        # Labels first: their offset is a multiple of their size, as readers expect.
        "labels": {"dtype": "I64", "shape": table.shape[:1], "data_offsets": [0, split]},
        "features": {"dtype": number_type, "shape": table.shape, "data_offsets": [split, end]},
    }
    header = json.dumps(tensors).encode()
    header += b" " * (-len(header) % 8)
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        rows = table.rows()
        while labels := [row.label for row in islice(rows, 2**16)]:
            out.write(np.array(labels, "<i8").tobytes())
        _write_chunks(table, out)
        _sync(out)


def _write_parquet(table: Table, file: Path) -> None:
    """Write the columns path, split, label, class and features, a list of D numbers."""
    dim = table.shape[1]
    features = pa.list_(pa.from_numpy_dtype(table.dtype), dim)
    types = [pa.string(), pa.string(), pa.int64(), pa.string(), features]
    schema = pa.schema(list(zip((*_COLUMNS, "features"), types, strict=True)))
    rows = table.rows()
    with pq.ParquetWriter(file, schema, use_dictionary=["split", "class"]) as writer:
        for chunk in table.chunks():
            columns = list(zip(*islice(rows, len(chunk)), strict=True))
            arrays = [pa.array(c, t) for c, t in zip(columns, types, strict=False)]
            values = pa.FixedSizeListArray.from_arrays(pa.array(chunk.reshape(-1)), dim)
            writer.write_table(pa.Table.from_arrays([*arrays, values], schema=schema))
    with file.open("ab") as written:
        _sync(written)


def _write_chunks(table: Table, out: IO[bytes]) -> None:
    """Write the numbers of all features."""
    for chunk in table.chunks():
        out.write(chunk.tobytes())


def _sync(out: IO[bytes]) -> None:
    """Write a file to the disk, so that it is complete when it gets its name."""
    out.flush()
    os.fsync(out.fileno())


_WRITERS: dict[str, Callable[[Table, Path], None]] = {
    ".parquet": _write_parquet,
    ".npy": _write_npy,
    ".safetensors": _write_safetensors,
}


def check_format(out: Path, tokens: bool) -> None:
    """Check that features, or tokens, can be written to a file of this name.

    Raises:
        UserError: when the suffix is unknown, the format has no tokens, or the folder is missing.
    """
    if out.suffix not in _WRITERS:
        raise UserError(f"--to {out}: use a name that ends in {', '.join(_WRITERS)}")
    if tokens and out.suffix == ".parquet":
        raise UserError(f"--to {out}: patch tokens need .npy or .safetensors, not a table")
    if out.is_dir() or not out.parent.is_dir():
        problem = "is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise UserError(f"--to {out}: {problem}; use the name of a file in an existing folder")


def check_not_an_input(out: Path, paths: Sequence[Path]) -> None:
    """Check that a file is not one of the inputs, and does not become one.

    Raises:
        UserError: when it is or would be read as an input by the next call.
    """
    target, inputs = out.resolve(), [path.resolve() for path in paths]
    if target in inputs:
        raise UserError(f"--to {out}: is one of the inputs; write to another file")
    if out.suffix == ".parquet" and not set(inputs).isdisjoint(target.parents):
        raise UserError(
            f"--to {out}: is in a folder of the inputs, which would be read as a dataset of "
            "Parquet files from then on; write to another folder"
        )


def sidecar_file(out: Path) -> Path | None:
    """Return the CSV file that describes the rows of an output; None for a Parquet file."""
    return None if out.suffix == ".parquet" else out.with_name(f"{out.name}.csv")


def description_file(out: Path) -> Path:
    """Return the path of the JSON file that says how an output was made."""
    return out.with_name(f"{out.name}.json")


def write_features(out: Path, table: Table, scratch: Path) -> None:
    """Write the features and their descriptions; files with their names are always complete.

    Args:
        out: the file to write; its suffix chooses the format.
        table: the features.
        scratch: folder on the same disk for unfinished files.
    """
    sidecar = sidecar_file(out)
    if sidecar is not None:
        unfinished = scratch / sidecar.name
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(table.rows())
        unfinished.replace(sidecar)
    unfinished = scratch / out.name
    _WRITERS[out.suffix](table, unfinished)
    unfinished.replace(out)
