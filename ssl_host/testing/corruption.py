"""Check that data sources handle corrupted files."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ssl_host import DataError, DataSource, UnreadableImage


def check_corrupted_copies(
    file: Path, make_source: Callable[[Path], DataSource], copies: int = 150
) -> None:
    """Check that corrupted copies of a file are read or refused with a DataError.

    In each copy one to eight random bytes are replaced. A DataError must name the copy, and single
    images may raise UnreadableImage.

    Args:
        file: a valid file of a few images; copies are written next to it.
        make_source: returns a data source that reads the given file.
        copies: number of corrupted copies.

    Raises:
        AssertionError: when the message of a DataError does not name the copy.
        Exception: when the source raises anything but DataError and UnreadableImage.
    """
    content = file.read_bytes()
    for seed in range(copies):
        rng = random.Random(seed)
        corrupted = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            corrupted[rng.randrange(len(corrupted))] = rng.randrange(256)
        path = file.with_name(f"{seed}{file.suffix}")
        path.write_bytes(corrupted)
        try:
            images = make_source(path).open("train")
        except DataError as error:
            assert str(path) in str(error), f"the message does not name {path}: {error}"
            continue
        assert images is not None
        for i in range(len(images)):
            with suppress(UnreadableImage):
                images.read(i)
