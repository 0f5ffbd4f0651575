"""Randomly damaged files are read, or refused with a reason that names the file."""

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
    """Return an image file of 24 by 17 pixels as bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (17, 24, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def damaged(payload, generator):
    """Return bytes with random changes, more of them at the beginning."""
    content = bytearray(payload)
    for _ in range(generator.randint(1, 12)):
        limit = len(content) if generator.random() < 0.5 else min(len(content), 64)
        at = generator.randrange(max(1, limit))
        kind = generator.randrange(4)
        if kind == 0 and content:
            content[at % len(content)] = generator.randrange(256)
        elif kind == 1:
            del content[at:]
        elif kind == 2:
            content[at:at] = content[at : at + 30]
        else:
            content[at:at] = bytes(generator.randrange(256) for _ in range(8))
    return bytes(content)


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_image_is_read_or_skipped_with_a_reason(form, tmp_path):
    generator, payload = random.Random(form), encoded(form)
    paths = []
    for i in range(COUNT // len(FORMATS) + 1):
        paths.append(tmp_path / f"{i}.{form.lower()}")
        paths[-1].write_bytes(damaged(payload, generator))
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
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(content), 1.5  # with an extended header
                archive.addfile(info, io.BytesIO(content))


def table(path):
    path.write_text("path,label,split\n" + "".join(f"{i}.png,{i % 2},train\n" for i in range(9)))


@pytest.mark.parametrize(
    ("source", "setting", "make"), [("webdataset", "root", shard), ("csv", "file", table)]
)
def test_damaged_container_is_read_or_named_in_data_error(source, setting, make, tmp_path):
    original = tmp_path / "original"
    make(original)
    num_errors = 0
    for seed in range(COUNT):
        path = tmp_path / str(seed)
        path.write_bytes(damaged(original.read_bytes(), random.Random(seed)))
        try:
            images = ssl_host.build("data", source, **{setting: path}).open("train")
        except DataError as error:
            assert str(path) in str(error)
            num_errors += 1
            continue
        for i in range(len(images)):
            with contextlib.suppress(UnreadableImage):
                images.read(i)
    assert num_errors > COUNT / 3
