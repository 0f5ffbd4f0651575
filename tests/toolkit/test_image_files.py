"""Tests of reading and resizing image files of all formats and in any condition."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from ssl_host import FileImages, UnreadableImage
from ssl_host.toolkit import image_files
from ssl_host.toolkit.image_files import read_image, resize_and_crop


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
def test_image_of_any_mode_becomes_uint8(name, mode, channels, tmp_path):
    photo(mode).save(tmp_path / name)
    image = read_image(tmp_path / name, channels)
    assert image.shape == (channels, 8, 12)
    assert image.dtype == torch.uint8
    if channels == 3 and mode in ("RGB", "RGBA") and name.endswith("png"):
        assert image[:, 7, 11].tolist() == [200, 100, 50]


def test_sixteen_bit_image_is_scaled_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 96).reshape(8, 12).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png", 1)[0].numpy().astype(float)
    assert np.abs(image - values / 257).max() <= 1


def test_sixteen_bit_scale_does_not_depend_on_the_image(tmp_path):
    for top in (255, 256):
        Image.fromarray(np.full((8, 12), top, np.uint16)).save(tmp_path / f"{top}.png")
        assert read_image(tmp_path / f"{top}.png", 1).unique().tolist() == [1]


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_image_is_scaled_by_its_range(top, tmp_path):
    values = np.linspace(0, top, 96, dtype=np.float32).reshape(8, 12)
    Image.fromarray(values).save(tmp_path / "x.tif")
    image = read_image(tmp_path / "x.tif", 1)[0].numpy().astype(float)
    assert np.abs(image - np.linspace(0, 255, 96).reshape(8, 12)).max() <= 1


def test_very_long_image_is_resized_in_bounded_memory():
    strip = torch.arange(20_000).remainder(256).to(torch.uint8).expand(3, 1, -1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        assert resize_and_crop(strip, 64).shape == (3, 64, 64)
    peak = max(event.cpu_memory_usage for event in profiler.events())
    assert peak < 2**22


@pytest.mark.parametrize("shape", [(3, 30, 24), (3, 64, 8 * 64), (1, 480, 60)])
def test_ordinary_image_is_resized_as_a_whole(shape):
    image = torch.randint(0, 256, shape, dtype=torch.uint8)
    _, height, width = shape
    scale = 32 / min(height, width)
    high, wide = max(32, round(height * scale)), max(32, round(width * scale))
    whole = functional.interpolate(image[None], size=(high, wide), mode="bicubic", antialias=True)
    top, left = (high - 32) // 2, (wide - 32) // 2
    assert torch.equal(resize_and_crop(image, 32), whole[0, :, top : top + 32, left : left + 32])


def test_name_with_undecodable_bytes_is_escaped(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    assert FileImages([path], root=tmp_path).name(0) == "\\xff.png"


def test_animation_is_read_as_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (6, 6), c) for c in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[:, 0, 0].tolist() == [255, 0, 0]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (3, 12, 8)


def test_image_of_one_pixel_is_read(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "dot.png")
    assert read_image(tmp_path / "dot.png").flatten().tolist() == [1, 2, 3]


def test_image_with_a_wrong_suffix_is_read(tmp_path):
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
        (os.mkfifo, "not a regular file but a pipe"),
        (Path.mkdir, "no permission to list this folder"),
        (bomb, f"30000 x 2 pixels, but the limit is {image_files.LARGEST_SIDE}"),
    ],
)
def test_unreadable_image_error_has_a_reason(make, reason, tmp_path):
    make(tmp_path / "x.jpg")
    with pytest.raises(UnreadableImage) as caught:
        read_image(tmp_path / "x.jpg")
    assert reason in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_image_without_permission_is_unreadable(tmp_path):
    photo().save(tmp_path / "x.png")
    (tmp_path / "x.png").chmod(0)
    with pytest.raises(UnreadableImage, match="no permission"):
        read_image(tmp_path / "x.png")
