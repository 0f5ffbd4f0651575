"""Files with random damage: images read, or left out with a reason; containers read, or told."""

import contextlib
import io
import os
import random
import tarfile

import numpy as np
import pytest
from PIL import Image

import ssl_host
from ssl_host import DataError, FileImages, UnreadableImage
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


def shard(path):
    with tarfile.open(path, "w") as archive:
        for i in range(4):
            for name, content in ((f"{i}.png", encoded("PNG")), (f"{i}.json", b'{"label": 1}')):
                about = tarfile.TarInfo(name)
                about.size, about.mtime = len(content), 1.5  # with an extended header
                archive.addfile(about, io.BytesIO(content))


def table(path):
    path.write_text("path,label,split\n" + "".join(f"{i}.png,{i % 2},train\n" for i in range(9)))


@pytest.mark.parametrize(
    ("source", "setting", "make"), [("webdataset", "root", shard), ("csv", "file", table)]
)
def test_a_damaged_container_is_read_or_told_by_name(source, setting, make, tmp_path):
    """Seen to fail with bytes that are no UTF-8 let through."""
    whole = tmp_path / "whole"
    make(whole)
    told = 0
    for seed in range(COUNT):
        path = tmp_path / str(seed)
        path.write_bytes(damaged(whole.read_bytes(), random.Random(seed)))
        try:
            images = ssl_host.build("data", source, **{setting: path}).open("train")
        except DataError as error:
            assert str(path) in str(error)
            told += 1
            continue
        for i in range(len(images)):
            with contextlib.suppress(UnreadableImage):
                images.read(i)
    assert told > COUNT / 3
