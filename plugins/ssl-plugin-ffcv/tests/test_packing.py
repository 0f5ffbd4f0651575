"""Tests of packing data sources and reading the packed images."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from ssl_plugin_ffcv import packing
from ssl_plugin_ffcv.packing import PackOptions
from torch.nn import functional

import ssl_host
from ssl_host import DataError, RunError, UserError

pytest.importorskip("ffcv", reason="ffcv is not installed: its system packages are in the README")

SHARED = Path("/dev/shm")
SYNTHETIC = {"num_images": 40, "num_test": 12, "image_size": 24, "num_classes": 3}


def pack(out, data="synthetic", size=None, quality=90, force=False, **settings):
    settings = {key: str(value) for key, value in settings.items()}
    return packing.pack(out, PackOptions(data, settings, size, quality, 2, force))


def open_packed(out, split="train", **settings):
    return ssl_host.build("data", "ffcv", path=out, **settings).open(split)


def read_all(images):
    return images.read_many(torch.arange(len(images)))


def resize_to_square(image, size):
    """Resize the short side and crop the centre, independently of the plugin's code."""
    height, width = image.shape[1:]
    scale = size / min(height, width)
    shape = [max(size, round(height * scale)), max(size, round(width * scale))]
    image = functional.interpolate(image[None], shape, mode="bicubic", antialias=True)[0]
    top, left = ((length - size) // 2 for length in shape)
    return image[:, top : top + size, left : left + size]


def readable(images):
    """Return index and name of the images of a folder that can be read."""
    return [(i, images.name(i)) for i in range(len(images)) if "torn" not in images.name(i)]


@pytest.mark.parametrize("quality", [None, 90])
def test_packed_folder_has_same_images_in_same_order(photos, tmp_path, quality):
    info = pack(tmp_path / "out.beton", "imagefolder", 32, quality, root=photos)
    source = ssl_host.build("data", "imagefolder", root=photos).open("train")
    packed = open_packed(tmp_path / "out.beton")
    expected_images = readable(source)
    assert [packed.name(i) for i in range(len(packed))] == [name for _, name in expected_images]
    assert packed.classes == ("rose", "tulip")
    assert torch.equal(packed.labels, source.labels[[i for i, _ in expected_images]])
    assert packed.labels.dtype == torch.int64
    assert packed.image_size == info.side == 32
    images = read_all(packed)
    for row, (i, _) in enumerate(expected_images):
        expected = resize_to_square(source.read(i), 32)
        assert torch.equal(packed.read(row), images[row])
        if quality is None:
            assert torch.equal(images[row], expected)
        else:
            assert (images[row].float() - expected.float()).abs().mean() < 4
    assert (
        images[0].float() - images[1].float()
    ).abs().mean() > 20  # different images differ clearly


def test_unreadable_images_are_skipped_and_listed(photos, tmp_path):
    pack(tmp_path / "out.beton", "imagefolder", 32, root=photos)
    split = json.loads((tmp_path / "out.json").read_text())["splits"]["train"]
    (skipped,) = split["skipped"]
    assert skipped["name"] == "rose/torn.png"
    assert skipped["reason"].startswith("cannot be decoded")
    source = ssl_host.build("data", "imagefolder", root=photos).open("train")
    assert source.name(skipped["index"]) == skipped["name"]
    assert source.labels[skipped["index"]] == skipped["label"]
    assert len(split["names"]) == 24


def test_packed_images_have_same_split_and_skipped_images_as_source(photos, tmp_path):
    """An unreadable image must not move the split: test images would become training images."""
    pack(tmp_path / "out.beton", "imagefolder", 32, root=photos)
    runs = {}
    for name, settings in (
        ("imagefolder", {"root": str(photos)}),
        ("ffcv", {"path": str(tmp_path / "out.beton")}),
    ):
        results = ssl_host.run(
            {
                "run": {"name": name, "dir": str(tmp_path), "epochs": 0},
                "data": {"name": name, "image_size": 16, **settings},
                "loader": {"cache_dir": str(tmp_path / "cache")},
                "method": {"name": "simclr"},
                "backbone": {"name": "small_conv", "width": 8, "num_stages": 3},
                "evaluator.rankme": {"name": "rankme"},
            }
        )
        image_list = json.loads((tmp_path / name / "images.json").read_text())
        image_list.pop("content")  # the packed images have another size
        runs[name] = image_list, [skipped["image"] for skipped in results["skipped"]]
    assert runs["ffcv"] == runs["imagefolder"]
    assert runs["ffcv"][1] == ["rose/torn.png"]


def test_ffcvs_reader_reads_packed_file(photos, tmp_path):
    """The header counts the written images, without the skipped ones."""
    from ffcv.reader import Reader

    pack(tmp_path / "out.beton", "imagefolder", 32, root=photos)
    reader = Reader(str(tmp_path / "out.beton"))
    assert (reader.num_samples, reader.field_names) == (24, ["image", "label"])
    assert len(reader.alloc_table) == 24


@pytest.mark.parametrize("channels", [1, 3])
def test_raw_arrays_and_test_split_are_bit_equal(tmp_path, channels):
    settings = {**SYNTHETIC, "num_channels": channels}
    info = pack(tmp_path / "out.beton", quality=None, **settings)
    source = ssl_host.build("data", "synthetic", **settings)
    packed = ssl_host.build("data", "ffcv", path=tmp_path / "out.beton")
    assert (packed.channels, packed.image_size) == (channels, 24)
    assert (packed.mean, packed.std) == (source.mean, source.std)
    assert set(info.splits) == {"train", "test"}
    for split, count in (("train", 40), ("test", 12)):
        images, expected = packed.open(split), source.open(split)
        assert len(images) == count
        assert torch.equal(read_all(images), expected.images)
        assert torch.equal(images.labels, expected.labels)
        assert images.classes == expected.classes == ("0", "1", "2")
    assert packed.open("probe").file == packed.open("train").file


def test_gray_jpegs_have_one_channel(tmp_path):
    pack(tmp_path / "out.beton", **{**SYNTHETIC, "num_channels": 1, "noise": 0})
    images = read_all(open_packed(tmp_path / "out.beton"))
    expected = ssl_host.build("data", "synthetic", **{**SYNTHETIC, "num_channels": 1, "noise": 0})
    assert images.shape == (40, 1, 24, 24)
    assert (images.float() - expected.open("train").images.float()).abs().mean() < 4


def test_packed_file_without_labels_has_no_classes(tmp_path):
    pack(tmp_path / "out.beton", **SYNTHETIC, labelled=False)
    packed = open_packed(tmp_path / "out.beton")
    assert (packed.labels, packed.classes) == (None, ())
    assert not (tmp_path / "out.test.beton").exists()


def test_separate_probe_split_is_packed(tmp_path, monkeypatch):
    """STL-10 has such a split: labelled images next to unlabelled training images."""
    source = ssl_host.build("data", "synthetic", **SYNTHETIC)
    images = source.open("train").images
    splits = {
        "train": ssl_host.ArrayImages(images),
        "probe": ssl_host.ArrayImages(images[:9], torch.arange(9) % 3, ("a", "b", "c")),
    }
    monkeypatch.setattr(type(source), "open", lambda _, split: splits.get(split))
    pack(tmp_path / "out.beton", quality=None)
    packed = ssl_host.build("data", "ffcv", path=tmp_path / "out.beton")
    assert packed.open("train").labels is None
    assert packed.open("test") is None
    probe = packed.open("probe")
    assert (len(probe), probe.classes, probe.labels.tolist()) == (
        9,
        ("a", "b", "c"),
        [0, 1, 2, 0, 1, 2, 0, 1, 2],
    )


def test_val_folder_is_packed_as_test_split(photos, tmp_path):
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "train").symlink_to(photos)
    shutil.copytree(photos, tmp_path / "split" / "val")
    info = pack(tmp_path / "out.beton", "imagefolder", root=tmp_path / "split", image_size=28)
    assert (info.side, info.image_size) == (32, 28)
    assert len(open_packed(tmp_path / "out.beton", "test")) == 24


def test_images_are_packed_with_fit_and_partial_labels(tmp_path):
    for name in ("a/0.png", "a/1.png", "b/2.png", "3.png"):
        image = Image.new("RGB", (80, 20), (0, 0, 0))
        image.paste((255, 255, 255), (0, 0, 20, 20))
        path = tmp_path / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    settings = {"root": tmp_path / "x", "fit": "squash", "image_size": 28}
    pack(tmp_path / "out.beton", "imagefolder", None, None, **settings)
    packed = open_packed(tmp_path / "out.beton")
    labels = {packed.name(i): int(packed.labels[i]) for i in range(4)}
    assert labels == {"a/0.png": 0, "a/1.png": 0, "b/2.png": 1, "3.png": -1}
    assert float(packed.read(0).float().mean()) == pytest.approx(64, abs=4)


@pytest.mark.parametrize(
    ("size", "settings", "sizes"),
    [
        (None, {}, (110, 96)),
        (None, {"image_size": 224}, (256, 224)),
        (256, {}, (256, 224)),
        (64, {"image_size": 48}, (64, 48)),
    ],
)
def test_packed_size_has_margin_around_view(photos, tmp_path, size, settings, sizes):
    info = pack(tmp_path / "out.beton", "imagefolder", size, root=photos, **settings)
    source = ssl_host.build("data", "ffcv", path=tmp_path / "out.beton")
    assert (info.side, source.image_size) == sizes
    other = ssl_host.build("data", "ffcv", path=tmp_path / "out.beton", image_size=300)
    assert other.image_size == 300


def test_many_pages_are_read_in_any_order(tmp_path):
    """A page contains 17 raw images of 200 pixels."""
    settings = {**SYNTHETIC, "image_size": 200, "num_images": 90}
    pack(tmp_path / "out.beton", quality=None, **settings)
    packed = open_packed(tmp_path / "out.beton", num_threads=3)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    expected = ssl_host.build("data", "synthetic", **settings).open("train").images
    assert torch.equal(packed.read_many(order), expected[order])
    assert packed.read_many(order[:0]).shape == (0, 3, 200, 200)


def test_packing_twice_writes_equal_files(photos, tmp_path):
    for name in ("one", "other"):
        pack(tmp_path / f"{name}.beton", "imagefolder", 32, root=photos)
    assert (tmp_path / "one.beton").read_bytes() == (tmp_path / "other.beton").read_bytes()


@pytest.mark.parametrize("num_images", [1, 25])
def test_interrupted_packing_leaves_no_files(tmp_path, num_images):
    def report(_split, done, _total):
        if done == num_images:
            raise KeyboardInterrupt

    shared = set(SHARED.iterdir())
    options = PackOptions("synthetic", {"num_images": "40"}, workers=2)
    with pytest.raises(KeyboardInterrupt):
        packing.pack(tmp_path / "out.beton", options, report)
    assert list(tmp_path.iterdir()) == []
    assert set(SHARED.iterdir()) <= shared


def test_failed_packing_keeps_existing_files(photos, tmp_path):
    pack(tmp_path / "out.beton", **SYNTHETIC)
    with pytest.raises(DataError):
        pack(tmp_path / "out.beton", "imagefolder", force=True, root=tmp_path / "nowhere")
    assert len(open_packed(tmp_path / "out.beton")) == 40
    pack(tmp_path / "out.beton", "imagefolder", 32, force=True, root=photos)
    assert len(open_packed(tmp_path / "out.beton")) == 24
    assert not (tmp_path / "out.test.beton").exists()  # it belonged to the previous files


def test_sigterm_leaves_no_files(tmp_path):
    arguments = ["data", "pack", "out.beton", "--data", "synthetic"]
    arguments += ["-o", "num_images=20000", "-o", "image_size=64", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_host", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob(".out.*.partial/out.beton")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert list(tmp_path.iterdir()) == []


def test_invalid_options_raise_errors(photos, tmp_path):
    out = tmp_path / "out.beton"
    (tmp_path / "empty").mkdir()
    (tmp_path / "truncated").mkdir()
    (tmp_path / "truncated" / "a.png").write_bytes(b"no image")
    for path, error, message, settings in (
        (tmp_path / "out.bin", UserError, r"must end in \.beton; use out\.bin\.beton", {}),
        (out, UserError, "unknown", {"data": "imagefoldr"}),
        (out, DataError, "nowhere: no such folder", {"data": "imagefolder", "root": "nowhere"}),
        (out, DataError, "no images", {"data": "imagefolder", "root": tmp_path / "empty"}),
        (
            out,
            DataError,
            "none of 1 images",
            {"data": "imagefolder", "root": tmp_path / "truncated"},
        ),
        (out, UserError, "num_imagse", {"num_imagse": 3}),
        (out, DataError, "4 channels, but packed files support", {"num_channels": 4}),
        (photos / "rose/03.png/out.beton", UserError, "cannot be written", {}),
    ):
        with pytest.raises(error, match=message):
            pack(path, **settings)
        assert not list(tmp_path.glob("*out*"))
    pack(out, **SYNTHETIC)
    with pytest.raises(
        UserError, match=r"out\.beton: already exists; use a different name, or --force"
    ):
        pack(out, **SYNTHETIC)
    out.unlink()
    with pytest.raises(UserError, match=r"out\.test\.beton: already exists"):
        pack(out, **SYNTHETIC)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match=r"folder\.json: is a folder"):
        pack(tmp_path / "folder.beton", force=True, **SYNTHETIC)


def test_failing_source_raises_run_error_with_its_name(tmp_path, monkeypatch):
    source = ssl_host.build("data", "synthetic")

    def fail(*_):
        raise ZeroDivisionError("a message")

    monkeypatch.setattr(type(source), "open", fail)
    with pytest.raises(
        RunError, match="data synthetic failed while opening its train images: Zero"
    ):
        pack(tmp_path / "out.beton")
    monkeypatch.undo()
    monkeypatch.setattr(ssl_host.ArrayImages, "read", fail)
    with pytest.raises(
        RunError, match="packing the train images failed: ZeroDivisionError: a message"
    ):
        pack(tmp_path / "out.beton")
    for image, described in (
        (torch.zeros(1, 9, 9).byte(), r"torch.uint8 of shape \(1, 9, 9\)"),
        (torch.zeros(3, 9, 9), r"torch.float32 of shape \(3, 9, 9\)"),
    ):
        monkeypatch.setattr(ssl_host.ArrayImages, "read", lambda *_, image=image: image)
        with pytest.raises(
            DataError, match=f"image 0 is {described}, but its source declares uint8"
        ):
            pack(tmp_path / "out.beton")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_or_shared_memory_raises_run_error(tmp_path, monkeypatch):
    from ssl_plugin_ffcv import writing

    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RunError, match="has 0 MB left, but the tables of the packed file take"):
        pack(tmp_path / "out.beton", **SYNTHETIC)
    monkeypatch.undo()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "write_beton", full)
    with pytest.raises(RunError, match=r"out\.beton: cannot be written: No space left"):
        pack(tmp_path / "out.beton", **SYNTHETIC)
    assert list(tmp_path.iterdir()) == []
