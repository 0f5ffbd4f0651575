"""Image files of every kind and state."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_host import UnreadableImage
from ssl_host.toolkit import image_files
from ssl_host.toolkit.image_files import read_image


def photo(mode="RGB", size=(12, 8)):
    image = Image.new("RGB", size, (200, 100, 50))
    image.paste((10, 20, 30), (0, 0, 4, 4))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("cmyk.jpg", "CMYK"),
        ("gray.jpg", "L"),
        ("palette.png", "P"),
        ("alpha.png", "RGBA"),
        ("gray alpha.png", "LA"),
        ("bits.png", "1"),
        ("ünï çødé 猫.png", "RGB"),
        ("tiff.tif", "CMYK"),
        ("web.webp", "RGB"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_bytes(name, mode, channels, tmp_path):
    photo(mode).save(tmp_path / name)
    found = read_image(tmp_path / name, channels)
    assert found.shape == (channels, 8, 12)
    assert found.dtype == torch.uint8
    if channels == 3 and mode in ("RGB", "RGBA") and name.endswith("png"):
        assert found[:, 7, 11].tolist() == [200, 100, 50]


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 96).reshape(8, 12).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    found = read_image(tmp_path / "deep.png", 1)[0].numpy().astype(float)
    assert np.abs(found - values / 257).max() <= 1


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (6, 6), c) for c in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[:, 0, 0].tolist() == [255, 0, 0]


def test_exif_turns_the_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (3, 12, 8)


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "dot.png")
    assert read_image(tmp_path / "dot.png").flatten().tolist() == [1, 2, 3]


def test_a_wrong_ending_does_not_matter(tmp_path):
    buffer = io.BytesIO()
    photo().save(buffer, format="PNG")
    (tmp_path / "really_png.jpg").write_bytes(buffer.getvalue())
    assert read_image(tmp_path / "really_png.jpg").shape == (3, 8, 12)


def truncated(path):
    buffer = io.BytesIO()
    photo(size=(200, 200)).save(buffer, format="JPEG")
    path.write_bytes(buffer.getvalue()[:400])


def bomb(path):
    Image.new("1", (30_000, 2)).save(path, format="PNG")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p.write_bytes(b""), "the file is empty"),
        (lambda p: None, "the file is gone"),
        (lambda p: p.write_bytes(b"hello"), "cannot be decoded: cannot identify image file it"),
        (truncated, "cannot be decoded: "),
        (bomb, f"is 30000 x 2 pixels, and {image_files.LARGEST_SIDE} a side is the limit"),
    ],
)
def test_what_cannot_be_read_says_why(make, reason, tmp_path):
    make(tmp_path / "x.jpg")
    with pytest.raises(UnreadableImage) as caught:
        read_image(tmp_path / "x.jpg")
    assert reason in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_missing_permission(tmp_path):
    photo().save(tmp_path / "x.png")
    (tmp_path / "x.png").chmod(0)
    with pytest.raises(UnreadableImage, match="no permission"):
        read_image(tmp_path / "x.png")
