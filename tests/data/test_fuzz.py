"""Image files with random damage: read, or left out with a reason; never fatal."""

import io
import os
import random

import numpy as np
import pytest
from PIL import Image

from ssl_host import FileImages, UnreadableImage
from ssl_host.data.store import pack

COUNT = int(os.environ.get("SSL_HOST_FUZZ", "200"))
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


def encoded(form):
    """A picture of 24 by 17 pixels as a file's bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (17, 24, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def damaged(payload, chance):
    """Bytes changed, cut off, doubled or put in; the beginning more often than the rest."""
    torn = bytearray(payload)
    for _ in range(chance.randint(1, 12)):
        reach = len(torn) if chance.random() < 0.5 else min(len(torn), 64)
        at = chance.randrange(max(1, reach))
        kind = chance.randrange(4)
        if kind == 0 and torn:
            torn[at % len(torn)] = chance.randrange(256)
        elif kind == 1:
            del torn[at:]
        elif kind == 2:
            torn[at:at] = torn[at : at + 30]
        else:
            torn[at:at] = bytes(chance.randrange(256) for _ in range(8))
    return bytes(torn)


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_is_read_or_left_out_with_a_reason(form, tmp_path):
    """Seen to fail with Pillow's own errors let through."""
    chance, payload = random.Random(form), encoded(form)
    paths = []
    for i in range(COUNT // len(FORMATS) + 1):
        paths.append(tmp_path / f"{i}.{form.lower()}")
        paths[-1].write_bytes(damaged(payload, chance))
    good = tmp_path / "good.png"
    good.write_bytes(encoded("PNG"))
    images = FileImages([*paths, good])
    for i in range(len(images)):
        try:
            image = images.read(i)
        except UnreadableImage as error:
            assert str(error)
        else:
            assert image.ndim == 3
            assert image.shape[0] == 3
    store = pack(images, 3, 16, tmp_path / "cache")
    assert len(store) + len(store.skipped) == len(images)
    assert all(reason for _, reason in store.skipped)
