"""The images of a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ssl_host import EncodedImages, UnreadableImage
from ssl_plugin_parquet.tables import Table, read_value


class ColumnImages(EncodedImages):
    """Images in a column of several files, in the order of their rows.

    Args:
        tables: the files.
        column: bytes, or ``{bytes, path}`` as Hugging Face's ``datasets`` writes them.
        channels: 3 or 1.
        root: folder that files are named from in messages.
    """

    def __init__(self, tables: Sequence[Table], column: str, channels: int, root: Path) -> None:
        self.tables = [table._replace(schema=None) for table in tables]
        self.column = column
        self.channels = channels
        self.root = root
        groups = [(t, g) for t, table in enumerate(tables) for g in range(len(table.group_rows))]
        self._groups = np.array(groups, np.int64).reshape(-1, 2)
        rows = [rows for table in tables for rows in table.group_rows]
        self._ends = np.cumsum(np.array(rows, np.int64))
        self._first_rows = np.array([sum(table.group_rows) for table in tables]).cumsum()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def path(self, i: int) -> Path:
        return self._place(i)[0].path

    def name(self, i: int) -> str:
        path = self._place(i)[0].path
        within = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        number = int(np.searchsorted(self._first_rows, i, side="right"))
        before = int(self._first_rows[number - 1]) if number else 0
        return f"{within}:{self.column}[{i - before}]"

    def encoded(self, i: int) -> bytes:
        table, group, row = self._place(i)
        try:
            found = read_value(table, self.column, group, row)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnreadableImage(f"the file is damaged: {error}") from None
        content = found.get("bytes") if isinstance(found, dict) else found
        if isinstance(content, bytes):
            return content
        path = found.get("path") if isinstance(found, dict) else None
        raise UnreadableImage(f"only its path is there: {path}" if path else "there are no bytes")

    def _place(self, i: int) -> tuple[Table, int, int]:
        """File, row group, and row within it."""
        at = int(np.searchsorted(self._ends, i, side="right"))
        table, group = self._groups[at].tolist()
        before = int(self._ends[at - 1]) if at else 0
        return self.tables[table], group, i - before
