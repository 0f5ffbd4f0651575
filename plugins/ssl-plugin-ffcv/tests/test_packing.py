"""Sources packed, and what is read back."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ssl_plugin_ffcv import packing
from ssl_plugin_ffcv.packing import Wanted
from torch.nn import functional

import ssl_host
from ssl_host import DataError, RunError, UserError

pytest.importorskip("ffcv", reason="ffcv is not installed: its system packages are in the README")

SHARED = Path("/dev/shm")
SYNTHETIC = {"num_images": 40, "num_test": 12, "image_size": 24, "num_classes": 3}


def pack(out, data="synthetic", size=None, quality=90, force=False, **settings):
    settings = {key: str(value) for key, value in settings.items()}
    return packing.pack(out, Wanted(data, settings, size, quality, 2, force))


def opened(out, split="train", **settings):
    return ssl_host.build("data", "ffcv", path=out, **settings).open(split)


def every(images):
    return images.read_many(torch.arange(len(images)))


def fitted(image, size):
    """Written again here, in other words than the plugin's."""
    height, width = image.shape[1:]
    scale = size / min(height, width)
    shape = [max(size, round(height * scale)), max(size, round(width * scale))]
    image = functional.interpolate(image[None], shape, mode="bicubic", antialias=True)[0]
    top, left = ((have - size) // 2 for have in shape)
    return image[:, top : top + size, left : left + size]


def readable(images):
    """Of a folder's set: number and name of what can be read."""
    return [(i, images.name(i)) for i in range(len(images)) if "torn" not in images.name(i)]


@pytest.mark.parametrize("quality", [None, 90])
def test_a_folder_comes_back_in_its_order(photos, tmp_path, quality):
    about = pack(tmp_path / "out.beton", "imagefolder", 32, quality, root=photos)
    source = ssl_host.build("data", "imagefolder", root=photos).open("train")
    found = opened(tmp_path / "out.beton")
    kept = readable(source)
    assert [found.name(i) for i in range(len(found))] == [name for _, name in kept]
    assert found.classes == ("rose", "tulip")
    assert torch.equal(found.labels, source.labels[[i for i, _ in kept]])
    assert found.labels.dtype == torch.int64
    assert found.side == about.side == 32
    images = every(found)
    for row, (i, _) in enumerate(kept):
        expected = fitted(source.read(i), 32)
        assert torch.equal(found.read(row), images[row])
        if quality is None:
            assert torch.equal(images[row], expected)
        else:
            assert (images[row].float() - expected.float()).abs().mean() < 4
    assert (images[0].float() - images[1].float()).abs().mean() > 20  # it could have failed


def test_what_cannot_be_read_is_left_out_and_listed(photos, tmp_path):
    pack(tmp_path / "out.beton", "imagefolder", 32, root=photos)
    part = json.loads((tmp_path / "out.json").read_text())["splits"]["train"]
    ((place, label, name, reason),) = part["skipped"]
    assert (name, reason[:17]) == ("rose/torn.png", "cannot be decoded")
    whole = ssl_host.build("data", "imagefolder", root=photos).open("train")
    assert whole.name(place) == name
    assert whole.labels[place] == label
    assert len(part["names"]) == 24


def test_the_same_images_are_held_out_as_of_the_source_and_those_left_out_are_listed(
    photos, tmp_path
):
    """Seen to fail: one image that could not be read moved the cut, and most of what the source
    holds out was trained on; no run said that anything was left out."""
    pack(tmp_path / "out.beton", "imagefolder", 32, root=photos)
    found = {}
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
        identity = json.loads((tmp_path / name / "images.json").read_text())
        found[name] = identity, [skipped["image"] for skipped in results["skipped"]]
    assert found["ffcv"] == found["imagefolder"]
    assert found["ffcv"][1] == ["rose/torn.png"]


def test_another_reader_of_ffcv_files_reads_them(photos, tmp_path):
    """The count in the file's header is of what was written, torn images left out."""
    from ffcv.reader import Reader

    pack(tmp_path / "out.beton", "imagefolder", 32, root=photos)
    reader = Reader(str(tmp_path / "out.beton"))
    assert (reader.num_samples, reader.field_names) == (24, ["image", "label"])
    assert len(reader.alloc_table) == 24


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_come_back_bit_equal_with_their_test_split(tmp_path, channels):
    settings = {**SYNTHETIC, "num_channels": channels}
    about = pack(tmp_path / "out.beton", quality=None, **settings)
    source = ssl_host.build("data", "synthetic", **settings)
    packed = ssl_host.build("data", "ffcv", path=tmp_path / "out.beton")
    assert (packed.channels, packed.image_size) == (channels, 24)
    assert (packed.mean, packed.std) == (source.mean, source.std)
    assert set(about.splits) == {"train", "test"}
    for split, count in (("train", 40), ("test", 12)):
        images, expected = packed.open(split), source.open(split)
        assert len(images) == count
        assert torch.equal(every(images), expected.images)
        assert torch.equal(images.labels, expected.labels)
        assert images.classes == expected.classes == ("0", "1", "2")
    assert packed.open("probe").file == packed.open("train").file


def test_gray_jpegs_have_one_channel(tmp_path):
    pack(tmp_path / "out.beton", **{**SYNTHETIC, "num_channels": 1, "noise": 0})
    found = every(opened(tmp_path / "out.beton"))
    expected = ssl_host.build("data", "synthetic", **{**SYNTHETIC, "num_channels": 1, "noise": 0})
    assert found.shape == (40, 1, 24, 24)
    assert (found.float() - expected.open("train").images.float()).abs().mean() < 4


def test_without_labels(tmp_path):
    pack(tmp_path / "out.beton", **SYNTHETIC, labelled=False)
    found = opened(tmp_path / "out.beton")
    assert (found.labels, found.classes) == (None, ())
    assert not (tmp_path / "out.test.beton").exists()


def test_a_probe_split_of_its_own(tmp_path, monkeypatch):
    """As STL-10 has: labelled images beside unlabelled ones to train on."""
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


def test_held_out_folders(photos, tmp_path):
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "train").symlink_to(photos)
    (tmp_path / "split" / "val").symlink_to(photos)
    about = pack(tmp_path / "out.beton", "imagefolder", root=tmp_path / "split", image_size=28)
    assert (about.side, about.image_size) == (32, 28)
    assert len(opened(tmp_path / "out.beton", "test")) == 24


@pytest.mark.parametrize(
    ("size", "settings", "sides"),
    [
        (None, {}, (110, 96)),
        (None, {"image_size": 224}, (256, 224)),
        (256, {}, (256, 224)),
        (64, {"image_size": 48}, (64, 48)),
    ],
)
def test_the_view_and_its_margin(photos, tmp_path, size, settings, sides):
    about = pack(tmp_path / "out.beton", "imagefolder", size, root=photos, **settings)
    source = ssl_host.build("data", "ffcv", path=tmp_path / "out.beton")
    assert (about.side, source.image_size) == sides
    other = ssl_host.build("data", "ffcv", path=tmp_path / "out.beton", image_size=300)
    assert other.image_size == 300


def test_many_pages_and_any_order(tmp_path):
    """Raw images of 200 pixels: seventeen a page."""
    settings = {**SYNTHETIC, "image_size": 200, "num_images": 90}
    pack(tmp_path / "out.beton", quality=None, **settings)
    found = opened(tmp_path / "out.beton", num_threads=3)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    expected = ssl_host.build("data", "synthetic", **settings).open("train").images
    assert torch.equal(found.read_many(order), expected[order])
    assert found.read_many(order[:0]).shape == (0, 3, 200, 200)


def test_packing_is_repeatable(photos, tmp_path):
    for name in ("one", "other"):
        pack(tmp_path / f"{name}.beton", "imagefolder", 32, root=photos)
    assert (tmp_path / "one.beton").read_bytes() == (tmp_path / "other.beton").read_bytes()


@pytest.mark.parametrize("at", [1, 25])
def test_an_interrupted_packing_leaves_nothing(tmp_path, at):
    def tell(_split, done, _total):
        if done == at:
            raise KeyboardInterrupt

    shared = set(SHARED.iterdir())
    wanted = Wanted("synthetic", {"num_images": "40"}, workers=2)
    with pytest.raises(KeyboardInterrupt):
        packing.pack(tmp_path / "out.beton", wanted, tell)
    assert list(tmp_path.iterdir()) == []
    assert set(SHARED.iterdir()) <= shared


def test_what_was_there_stays_when_packing_anew_fails(photos, tmp_path):
    pack(tmp_path / "out.beton", **SYNTHETIC)
    with pytest.raises(DataError):
        pack(tmp_path / "out.beton", "imagefolder", force=True, root=tmp_path / "nowhere")
    assert len(opened(tmp_path / "out.beton")) == 40
    pack(tmp_path / "out.beton", "imagefolder", 32, force=True, root=photos)
    assert len(opened(tmp_path / "out.beton")) == 24
    assert not (tmp_path / "out.test.beton").exists()  # of the set that was there before


def test_sigterm_leaves_nothing(tmp_path):
    words = ["data", "pack", "out.beton", "--data", "synthetic"]
    words += ["-o", "num_images=20000", "-o", "image_size=64", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_host", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob(".out.*.partial/out.beton")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in told
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused(photos, tmp_path):
    out = tmp_path / "out.beton"
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.png").write_bytes(b"no image")
    for path, error, message, settings in (
        (tmp_path / "out.bin", UserError, r"ends in \.beton: out\.bin\.beton", {}),
        (out, UserError, "unknown", {"data": "imagefoldr"}),
        (out, DataError, "nowhere: no such folder", {"data": "imagefolder", "root": "nowhere"}),
        (out, DataError, "no images", {"data": "imagefolder", "root": tmp_path / "empty"}),
        (out, DataError, "none of 1 images", {"data": "imagefolder", "root": tmp_path / "torn"}),
        (out, UserError, "num_imagse", {"num_imagse": 3}),
        (out, DataError, "4 channels, and a packed file holds", {"num_channels": 4}),
        (photos / "rose/03.png/out.beton", UserError, "cannot be written there", {}),
    ):
        with pytest.raises(error, match=message):
            pack(path, **settings)
        assert not list(tmp_path.glob("*out*"))
    pack(out, **SYNTHETIC)
    with pytest.raises(UserError, match=r"out\.beton: is there already; give another name, or"):
        pack(out, **SYNTHETIC)
    out.unlink()
    with pytest.raises(UserError, match=r"out\.test\.beton: is there already"):
        pack(out, **SYNTHETIC)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match=r"folder\.json: is a folder"):
        pack(tmp_path / "folder.beton", force=True, **SYNTHETIC)


def test_a_source_that_fails_is_named(tmp_path, monkeypatch):
    source = ssl_host.build("data", "synthetic")

    def broken(*_):
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr(type(source), "open", broken)
    with pytest.raises(
        RunError, match="data synthetic failed while opening its train images: Zero"
    ):
        pack(tmp_path / "out.beton")
    monkeypatch.undo()
    monkeypatch.setattr(ssl_host.ArrayImages, "read", broken)
    with pytest.raises(RunError, match="packing the train images failed: ZeroDivisionError: of"):
        pack(tmp_path / "out.beton")
    for image, described in (
        (torch.zeros(1, 9, 9).byte(), r"torch.uint8 of shape \(1, 9, 9\)"),
        (torch.zeros(3, 9, 9), r"torch.float32 of shape \(3, 9, 9\)"),
    ):
        monkeypatch.setattr(ssl_host.ArrayImages, "read", lambda *_, image=image: image)
        with pytest.raises(DataError, match=f"image 0 is {described}, and its source says uint8"):
            pack(tmp_path / "out.beton")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_or_a_memory_that_is_full_is_told(tmp_path, monkeypatch):
    from ssl_plugin_ffcv import writing

    nothing = type("Usage", (), {"free": 0})
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: nothing)
    with pytest.raises(RunError, match="has 0 MB left, and the tables of the packed file take"):
        pack(tmp_path / "out.beton", **SYNTHETIC)
    monkeypatch.undo()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "write_beton", full)
    with pytest.raises(RunError, match=r"out\.beton: could not be written: No space left"):
        pack(tmp_path / "out.beton", **SYNTHETIC)
    assert list(tmp_path.iterdir()) == []
