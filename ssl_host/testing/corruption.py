"""Check that data sources raise DataError or UnreadableImage for corrupted files."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ssl_host import DataError, DataSource, UnreadableImage


def check_corrupted_copies(
    file: Path, make_source: Callable[[Path], DataSource], copies: int = 150
) -> None:
    """Check that a data source reads corrupted copies of a file or raises DataError.

    In each copy, one to eight random bytes are replaced. The message of a DataError must contain
    the path of the copy. Reading an image may also raise UnreadableImage.

    Args:
        file: a valid file with a few images; the copies are written next to it.
        make_source: function that returns a data source for a given file.
        copies: number of corrupted copies to try.

    Raises:
        AssertionError: when the message of a DataError does not contain the path.
        Exception: when the source raises anything other than DataError or UnreadableImage.
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
            assert str(path) in str(error), f"the message does not contain {path}: {error}"
            continue
        assert images is not None
        for i in range(len(images)):
            with suppress(UnreadableImage):
                images.read(i)
