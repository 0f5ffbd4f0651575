"""Files with random damage: a source of files reads them or says what is wrong with which."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ssl_host import DataError, DataSource, UnreadableImage


def check_damaged_copies(
    whole: Path, make_source: Callable[[Path], DataSource], copies: int = 150
) -> None:
    """Read copies of a file in which one to eight bytes are others, beside the file.

    Args:
        whole: a sound file of a few images.
        make_source: builds the source of a file.

    Raises:
        AssertionError: when a copy is refused by a message that does not name it.
        Exception: whatever else than a DataError or UnreadableImage the source raises.
    """
    content = whole.read_bytes()
    for seed in range(copies):
        chance = random.Random(seed)
        torn = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            torn[chance.randrange(len(torn))] = chance.randrange(256)
        path = whole.with_name(f"{seed}{whole.suffix}")
        path.write_bytes(torn)
        try:
            images = make_source(path).open("train")
        except DataError as error:
            assert str(path) in str(error), f"the message does not name {path}: {error}"
            continue
        assert images is not None
        for i in range(len(images)):
            with suppress(UnreadableImage):
                images.read(i)
