"""Tests of reading and resizing image files of all formats and in any condition."""

import io
import os
import struct
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from ssl_host import EncodedImages, FileImages, UnreadableImage
from ssl_host.toolkit import image_files
from ssl_host.toolkit.image_files import read_header, read_image
from ssl_host.toolkit.resizing import resize_to_square


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


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_pixels_become_white(mode, channels, tmp_path):
    picture = Image.new("RGBA", (12, 8), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 4, 8))  # a black shape
    picture.paste((0, 0, 0, 128), (4, 0, 8, 8))
    picture.convert(mode).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", channels)
    assert image[:, 3, 1].tolist() == [0] * channels
    assert image[:, 3, 6].tolist() == [127] * channels
    assert image[:, 3, 10].tolist() == [255] * channels


def test_sixteen_bit_image_is_scaled_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 96).reshape(8, 12).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png", 1)[0].numpy().astype(float)
    assert np.abs(image - values / 257).max() <= 1


def test_sixteen_bit_scale_does_not_depend_on_the_image(tmp_path):
    for top in (255, 256):
        Image.fromarray(np.full((8, 12), top, np.uint16)).save(tmp_path / f"{top}.png")
        assert read_image(tmp_path / f"{top}.png", 1).unique().tolist() == [1]


def save_values(path, values, dtype):
    Image.fromarray(np.array(values, dtype)).save(path)
    return path


def test_float_image_from_zero_to_one_is_scaled(tmp_path):
    values = np.linspace(0, 1, 96).reshape(8, 12)
    image = read_image(save_values(tmp_path / "x.tif", values, np.float32), 1)[0].numpy()
    assert np.abs(image - np.linspace(0, 255, 96).reshape(8, 12)).max() <= 1
    dark = read_image(save_values(tmp_path / "y.tif", values / 2, np.float32), 1)
    assert int(dark.max()) == 128


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        (
            [[0.0, 200.0]],
            np.float32,
            "0 to 200, but for files of this type 0 is black and 1 is white;",
        ),
        ([[-0.5, 1.0]], np.float32, "-0.5 to 1"),
        ([[np.nan, 2.0]], np.float32, "2 to 2"),
        (
            [[-1000, 2000]],
            np.int32,
            "-1000 to 2000, but for files of this type 0 is black and 65535 is white",
        ),
        ([[0, 2_000_000]], np.int32, "0 to 2e+06"),
    ],
)
def test_values_outside_the_range_of_the_type_are_refused(values, dtype, text, tmp_path):
    path = save_values(tmp_path / "x.tif", values, dtype)
    with pytest.raises(UnreadableImage) as caught:
        read_image(path, 1)
    assert text in str(caught.value)
    assert "set [data] value_range" in str(caught.value)
    assert read_image(path, 1, (-1000, 2_000_000)).shape == (1, 1, 2)


def netpbm(kind, values, maxval):
    """Return a PGM or PPM file with binary (P5, P6) or text (P2, P3) numbers."""
    height, width = values.shape[:2]
    header = f"{kind}\n# a comment\n{width} {height}\n{maxval}\n".encode()
    if kind in ("P2", "P3"):
        return header + " ".join(map(str, values.flatten())).encode()
    return header + values.astype(">u2" if maxval > 255 else np.uint8).tobytes()


@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize(("maxval", "high"), [(15, 15), (255, 200), (4095, 4095), (65535, 4095)])
def test_value_range_of_netpbm_files_is_of_the_stored_values(kind, maxval, high):
    shape = (8, 12, 3) if kind in ("P3", "P6") else (8, 12)
    values = np.random.default_rng(0).integers(0, high + 1, shape)
    image = read_image(netpbm(kind, values, maxval), 1 if len(shape) == 2 else 3, (0, high))
    pixels = image.permute(1, 2, 0).numpy().reshape(shape)
    assert np.abs(pixels - values / high * 255).max() <= 1


def test_value_range_of_few_bits_is_of_the_stored_values(tmp_path):
    rows = bytes([0, 0x0F, 0, 0x3C])  # two rows of two pixels of 4 bits: 0, 15 and 3, 12
    header = struct.pack(">IIBBBBB", 2, 2, 4, 0, 0, 0, 0)
    assert read_image(png(header, rows), 1, (0, 12)).flatten().tolist() == [0, 255, 64, 255]
    Image.new("1", (2, 2), 1).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", 1, (0, 2)).unique().tolist() == [128]


def tiff16(values):
    """Return an uncompressed TIFF with three channels of 16 bits, which Pillow cannot write."""
    height, width, _ = values.shape
    data, count = values.astype("<u2").tobytes(), 9
    extra = 8 + 2 + 12 * count + 4
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, extra), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 2), (273, 4, 1, extra + 6), (277, 3, 1, 3), (278, 4, 1, height)]
    entries += [(279, 4, 1, len(data))]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    content = b"II*\0" + struct.pack("<IH", 8, count) + directory + bytes(4)
    return content + struct.pack("<HHH", 16, 16, 16) + data


def test_value_range_of_sixteen_bit_colours_in_tiff_is_refused():
    content = tiff16(np.full((4, 4, 3), 4095))
    assert read_image(content).unique().tolist() == [15]
    with pytest.raises(UnreadableImage, match=r"16-bit colours in TIFF.* convert .* to PNG"):
        read_image(content, 3, (0, 4095))


@pytest.mark.parametrize("value_range", [None, (0, 65535)])
def test_exif_orientation_of_deep_colours_is_applied(value_range):
    values = np.zeros((8, 12, 3), np.uint16)
    values[0] = 65535
    exif = Image.Exif()
    exif[0x0112] = 6
    content = png16(values, [(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))])
    image = read_image(content, 3, value_range)
    assert image.shape == (3, 12, 8)
    assert image[0, :, 7].unique().tolist() == [255]


def png(header, rows, chunks=()):
    """Return a PNG file with a header, rows of pixels, and further chunks."""
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def png16(values, chunks=()):
    """Return a PNG with 16 bits per channel, which Pillow cannot write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png(struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0), rows, chunks)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_value_range_scales_twelve_bits_of_any_png(depth):
    values = np.random.default_rng(0).integers(0, 4096, (8, 12, depth), dtype=np.uint16)
    values[0, 0], values[0, 1] = 0, 4095
    image = read_image(png16(values), 1 if depth < 3 else 3, (0, 4095)).permute(1, 2, 0).numpy()
    colours = values[..., : image.shape[2]]
    assert np.abs(image - colours / 4095 * 255).max() <= 0.5 + 1e-3
    assert (image.min(), image.max()) == (0, 255)


def test_value_range_of_negative_and_clipped_values(tmp_path):
    values = np.array([[-2000, -1000, 0, 1000, 9000]] * 2, np.int32)
    Image.fromarray(values).save(tmp_path / "ct.tif")
    image = read_image(tmp_path / "ct.tif", 1, (-1000, 1000))
    assert image[0, 0].tolist() == [0, 0, 128, 255, 255]


def test_value_range_applies_to_eight_bits(tmp_path):
    Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", 1, (0, 3)).flatten().tolist() == [0, 85, 170, 255]
    Image.fromarray(np.full((2, 2, 3), 1, np.uint8)).save(tmp_path / "y.png")
    assert read_image(tmp_path / "y.png", 3, (0, 2)).unique().tolist() == [128]


def test_value_range_is_the_same_for_all_float_images(tmp_path):
    for top in (0.5, 2.0):
        Image.fromarray(np.full((2, 2), top, np.float32)).save(tmp_path / f"{top}.tif")
        image = read_image(tmp_path / f"{top}.tif", 1, (0, 2))
        assert image.unique().tolist() == [round(255 * top / 2)]


def test_float_images_may_exceed_their_range_by_rounding(tmp_path):
    for low, high in ((-1e-7, 1.0), (0.0, 1.0005)):
        pixels = np.array([[low, high]], np.float32)
        Image.fromarray(pixels).save(tmp_path / "x.tif")
        assert read_image(tmp_path / "x.tif", 1).flatten().tolist() == [0, 255]


def test_squash_and_pad_keep_the_whole_image():
    image = torch.zeros(1, 40, 160, dtype=torch.uint8)
    image[:, :, :40] = 200
    assert int(resize_to_square(image, 16).max()) == 0
    squashed = resize_to_square(image, 16, "squash")
    assert squashed.shape == (1, 16, 16)
    assert squashed[0, :, :3].float().mean() > 190
    assert squashed[0, :, 6:].max() < 20
    padded = resize_to_square(image, 16, "pad")
    assert padded.shape == (1, 16, 16)
    assert padded[0, 6:10, :3].float().mean() > 190
    assert int(padded[0, :6].max()) == int(padded[0, 10:].max()) == 0
    assert torch.equal(resize_to_square(image.transpose(1, 2), 16, "pad"), padded.transpose(1, 2))


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20_000, 1)])
def test_any_shape_becomes_square(fit, size):
    image = torch.full((3, *size), 7, dtype=torch.uint8)
    assert resize_to_square(image, 16, fit).shape == (3, 16, 16)


@pytest.mark.parametrize("shape", [(36, 60), (60, 36), (48, 48)])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_nearest_takes_the_pixel_at_the_centre_and_fills_bars(shape, fit):
    """A shrinking factor of 3 has one source pixel at the centre of each block."""
    mask = (torch.arange(shape[0])[:, None] * 7 + torch.arange(shape[1]) * 3) % 250
    mask = mask[None].to(torch.uint8)
    if fit == "squash":
        mask = mask[:, : min(shape), : min(shape)]
    side = (max if fit == "pad" else min)(mask.shape[1:])
    found = resize_to_square(mask, side // 3, fit, interpolation="nearest", fill=255)
    top, left = ((side - n) // 2 for n in mask.shape[1:])
    square = functional.pad(mask, (left, left, top, top), value=255)
    assert torch.equal(found, square[:, 1::3, 1::3])


def test_very_long_image_is_resized_in_bounded_memory():
    strip = torch.arange(20_000).remainder(256).to(torch.uint8).expand(3, 1, -1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        assert resize_to_square(strip, 64).shape == (3, 64, 64)
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
    assert torch.equal(resize_to_square(image, 32), whole[0, :, top : top + 32, left : left + 32])


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
        (lambda p: None, "there is no such file"),
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


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif"])
def test_header_has_the_size_of_the_decoded_image(tmp_path, suffix):
    photo().save(tmp_path / f"x.{suffix}")
    header = FileImages([tmp_path / f"x.{suffix}"]).header(0)
    assert (header.height, header.width, header.orientation) == (8, 12, 1)


@pytest.mark.parametrize("orientation", [*range(10)])
def test_header_has_the_size_of_a_rotated_image(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("jpg", "png"):
        photo().save(tmp_path / f"x.{suffix}", exif=exif)
        header = read_header((tmp_path / f"x.{suffix}").read_bytes())
        assert (header.height, header.width) == read_image(tmp_path / f"x.{suffix}").shape[1:]
        assert header.orientation == (orientation if 1 <= orientation <= 8 else 1)


def test_header_of_an_unreadable_image_is_an_error_of_this_image(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"")
    for name, reason in (("x.jpg", "empty"), ("none.jpg", "no such file")):
        with pytest.raises(UnreadableImage, match=reason):
            FileImages([tmp_path / name]).header(0)


def test_value_range_of_encoded_images_is_used():
    class Encoded(EncodedImages):
        channels = 1

        def __len__(self):
            return 1

        def encoded(self, i):
            return netpbm("P5", np.full((2, 2), 2048), 65535)

    images = Encoded()
    assert (images.header(0).height, images.header(0).width) == (2, 2)
    assert images.read(0).unique().tolist() == [8]
    images.value_range = (0, 4096)
    assert images.read(0).unique().tolist() == [128]


def test_reading_in_two_threads_keeps_the_warning_filters(monkeypatch):
    both_inside, first_is_done = threading.Barrier(2), threading.Event()

    def decode(source, *_):
        both_inside.wait(10)
        if source == b"second":
            first_is_done.wait(10)
        return torch.zeros(3, 1, 1)

    def read_first():
        read_image(b"first")
        first_is_done.set()

    monkeypatch.setattr(image_files, "_decode", decode)
    filters = list(warnings.filters)
    threads = [
        threading.Thread(target=read_first),
        threading.Thread(target=read_image, args=(b"second",)),
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == filters
