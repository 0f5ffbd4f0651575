"""Test that data sources handle corrupted files."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ssl_host import DataError, DataSource, UnreadableImage


def check_corrupted_copies(
    file: Path, make_source: Callable[[Path], DataSource], copies: int = 150
) -> None:
    """Read copies of a file with one to eight random bytes replaced.

    Args:
        file: a valid file of a few images; copies are written next to it.
        make_source: builds the source of a file.
        copies: number of copies.

    Raises:
        AssertionError: when a copy raises a DataError that does not name it.
        Exception: any exception of the source other than DataError and UnreadableImage.
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
