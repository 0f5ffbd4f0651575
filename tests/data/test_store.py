"""Packed stores, images decoded on demand, and held-out splits."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ssl_host
from ssl_host import ArrayImages, DataSource, FileImages, Settings
from ssl_host.config.schema import LoaderSettings
from ssl_host.data.batches import EpochPlan
from ssl_host.data.datasets import open_datasets
from ssl_host.data.decoding import DecodedImages, FilesLoader
from ssl_host.data.image_checks import check_images
from ssl_host.data.splits import Subset, open_splits
from ssl_host.data.store import pack
from ssl_host.errors import DataError, RunError
from ssl_host.toolkit import image_files
from ssl_host.toolkit.atomic_io import report_disk_errors
from ssl_host.toolkit.resizing import image_for_crops, resize_to_square


def folder(path, count=20, size=(30, 24)):
    path.mkdir(parents=True, exist_ok=True)
    files = []
    for i in range(count):
        Image.effect_noise(size, 10 + i).convert("RGB").save(path / f"{i:02}.png")
        files.append(path / f"{i:02}.png")
    return files


def test_pack_decodes_once_and_uses_the_cache_later(tmp_path):
    images = FileImages(folder(tmp_path / "x", 5), torch.arange(5), ("a", "b", "c", "d", "e"))
    progress = []
    store = pack(images, 3, 16, tmp_path / "cache", lambda *counts: progress.append(counts))
    assert progress == [(i, 5) for i in range(1, 6)]
    assert store.images.shape == (5, 3, 16, 16)
    assert torch.equal(store.images[3], resize_to_square(images.read(3), 16))
    again = pack(images, 3, 16, tmp_path / "cache", lambda *counts: progress.append(counts))
    assert len(progress) == 5
    assert torch.equal(again.images, store.images)
    assert torch.equal(again.labels, torch.arange(5))


def test_pack_after_a_file_changed_decodes_again(tmp_path):
    files = folder(tmp_path / "x", 3)
    before = pack(FileImages(files), 3, 16, tmp_path / "cache").images.clone()
    Image.new("RGB", (30, 24), (9, 9, 9)).save(files[1])
    after = pack(FileImages(files), 3, 16, tmp_path / "cache").images
    assert torch.equal(before[0], after[0])
    assert after[1].unique().tolist() == [9]


def test_pack_after_a_permission_was_given_decodes_again(tmp_path, monkeypatch):
    files = folder(tmp_path / "x", 3)
    with monkeypatch.context() as m:
        files[1].chmod(0)
        m.setattr(image_files, "read_image", without_permission(files[1]))
        assert len(pack(FileImages(files), 3, 16, tmp_path / "cache")) == 2
    files[1].chmod(0o644)
    assert len(pack(FileImages(files), 3, 16, tmp_path / "cache")) == 3


def without_permission(path):
    """Return a read_image that may not read one file, because tests may run as root."""
    original = image_files.read_image

    def read(source, *settings):
        if source == path:
            raise ssl_host.UnreadableImage("no permission to read it")
        return original(source, *settings)

    return read


class UnnamedImages(ssl_host.ImageDataset):
    """Images without files, with equal names."""

    def __init__(self, colour):
        self.colour = colour

    def __len__(self):
        return 3

    def read(self, i):
        return torch.full((3, 20, 20), self.colour + i, dtype=torch.uint8)


def test_pack_distinguishes_data_sets_without_names_and_files(tmp_path):
    for colour in (1, 2):
        store = pack(UnnamedImages(colour), 3, 16, tmp_path / "cache")
        assert store.images[2].unique().tolist() == [colour + 2]


def test_pack_skips_unreadable_images_and_their_labels(tmp_path):
    files = folder(tmp_path / "x", 4)
    files[1].write_bytes(b"broken")
    images = FileImages(files, torch.arange(4), tuple("abcd"), root=tmp_path / "x")
    store = pack(images, 3, 16, tmp_path / "cache")
    assert store.labels.tolist() == [0, 2, 3]
    assert store.indices.tolist() == [0, 2, 3]
    assert store.image_name(1) == "02.png"
    assert [name for name, _ in store.unreadable()] == ["01.png"]


def test_pack_without_readable_images_raises_data_error(tmp_path):
    files = folder(tmp_path / "x", 2)
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 2 images.*00\.png \(the file is empty"):
        pack(FileImages(files), 3, 16, tmp_path / "cache")


def test_pack_after_an_interruption_starts_again(tmp_path):
    class StoppedError(Exception):
        pass

    class InterruptedImages(FileImages):
        def read(self, i):
            if i == 2:
                raise StoppedError
            return super().read(i)

    files = folder(tmp_path / "x", 4)
    with pytest.raises(StoppedError):
        pack(InterruptedImages(files), 3, 16, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.partial"))
    assert len(pack(FileImages(files), 3, 16, tmp_path / "cache")) == 4


def test_pack_in_two_threads_decodes_once(tmp_path):
    reads = []

    class SlowImages(FileImages):
        def read(self, i):
            reads.append(i)
            time.sleep(0.05)
            return super().read(i)

    images = SlowImages(folder(tmp_path / "x", 6))
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda _: pack(images, 3, 16, tmp_path / "cache"), range(2)))
    assert sorted(reads) == list(range(6))
    assert torch.equal(stores[0].images, stores[1].images)


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b""), truncate])
def test_pack_with_damaged_cache_decodes_again(suffix, damage, tmp_path):
    images = FileImages(folder(tmp_path / "x", 20))
    before = pack(images, 3, 16, tmp_path / "cache").images.clone()
    damage(next((tmp_path / "cache").glob(f"*{suffix}")))
    assert torch.equal(pack(images, 3, 16, tmp_path / "cache").images, before)


def fail_to_open(path, number, monkeypatch):
    """Make opening a file fail with this error number."""
    opened = Image.open

    def failing_open(file, *args):
        if file == path:
            raise OSError(number, os.strerror(number))
        return opened(file, *args)

    monkeypatch.setattr(Image, "open", failing_open)


def test_pack_after_a_disk_error_decodes_again(tmp_path, monkeypatch):
    files = folder(tmp_path / "x", 3)
    with monkeypatch.context() as m:
        fail_to_open(files[1], errno.EIO, m)
        store = pack(FileImages(files), 3, 16, tmp_path / "cache")
        assert [name for name, _ in store.skipped] == [str(files[1])]
    assert len(pack(FileImages(files), 3, 16, tmp_path / "cache")) == 3


@pytest.mark.parametrize("name", ["ESTALE", "EMFILE"])
def test_pack_with_error_of_all_files_raises_run_error(name, tmp_path, monkeypatch):
    files = folder(tmp_path / "x", 3)
    fail_to_open(files[1], getattr(errno, name), monkeypatch)
    with (
        pytest.raises(RunError, match="run the same command again"),
        report_disk_errors(tmp_path),
    ):
        pack(FileImages(files), 3, 16, tmp_path / "cache")


def views(size=16):
    return ssl_host.build("augmentation", "simclr", image_size=size)


def loader(images, workers, seed=0, form=None):
    plan = EpochPlan(len(images), 4, seed)
    return FilesLoader(images, form or views(), plan, 20, workers, {})


@pytest.mark.parametrize("workers", [0, 1])
def test_files_loader_without_readable_images_raises_data_error(workers, tmp_path):
    files = folder(tmp_path / "x", 4)
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"^\[data\] none of 4 images.*is empty"):
        next(iter(loader(FileImages(files), workers)))


def same(a, b):
    return all(
        torch.equal(x.index, y.index)
        and all(torch.equal(v, w) for v, w in zip(x.images, y.images, strict=True))
        for x, y in zip(a, b, strict=True)
    )


def test_files_loader_with_workers_gives_the_same_batches(tmp_path):
    images = FileImages(folder(tmp_path / "x", 10), torch.arange(10), tuple("abcdefghij"))
    batches, of_workers = list(loader(images, 0)), list(loader(images, 2))
    assert len(batches) == 2
    assert same(batches, of_workers)
    assert all(torch.equal(b.labels, b.index) for b in batches)
    assert [len(b.images) for b in batches] == [2, 2]


def test_files_loader_starts_at_the_given_epoch_and_step(tmp_path):
    images = FileImages(folder(tmp_path / "x", 12))
    whole = loader(images, 0)
    whole.epoch = 3
    tail = loader(images, 2)
    tail.epoch, tail.start = 3, 2
    assert same(list(whole)[2:], list(tail))


def test_files_loader_replaces_and_lists_unreadable_images(tmp_path):
    files = folder(tmp_path / "x", 8)
    files[5].write_bytes(b"broken")
    source = loader(FileImages(files), 0)
    batches = list(source)
    assert sorted(torch.cat([b.index for b in batches]).tolist()) == [0, 1, 2, 3, 4, 6, 6, 7]
    assert list(source.unreadable) == [5]


def batch_views():
    """Return the views of an augmentation of whole batches."""

    class Own(ssl_host.Augmentation):
        def apply_batch(self, images, rng):
            return [images, images]

    own = Own(Settings(), image_size=20)
    return type(views())(own, image_size=20, mean=(0,) * 3, std=(1,) * 3)


def test_files_loader_for_batch_augmentation_gives_whole_images(tmp_path):
    images = FileImages(folder(tmp_path / "x", 8))
    batch = next(iter(loader(images, 0, form=batch_views())))
    assert batch.images.shape == (4, 3, 20, 20)


def test_decoded_images_equal_packed_images(tmp_path):
    files = folder(tmp_path / "x", 6)
    files[2].write_bytes(b"")
    decoded = DecodedImages(FileImages(files), 3, 16)
    packed = pack(FileImages(files), 3, 16, tmp_path / "cache")
    assert torch.equal(decoded[torch.tensor([5, 0])], packed.images[torch.tensor([4, 0])])
    assert torch.equal(decoded[3:5], packed.images[2:4])
    assert decoded[2:3].abs().sum() == 0
    assert decoded.unreadable == {2: "the file is empty"}


class Unsplit(DataSource):
    """Sixty labelled images without a test split."""

    class Config(Settings):
        image_size: int = ssl_host.build("data", "digits").config.__class__.model_fields[
            "image_size"
        ]

    def open(self, split):
        if split == "test":
            return None
        images = torch.arange(60, dtype=torch.uint8).view(60, 1, 1, 1).expand(60, 3, 4, 4)
        return ArrayImages(images.contiguous(), torch.arange(60) % 3, ("a", "b", "c"))


def test_subset_returns_paths_of_its_images(tmp_path):
    files = folder(tmp_path / "x", 3)
    subset = Subset(FileImages(files), torch.tensor([2, 0]))
    assert [subset.path(i) for i in range(2)] == [str(files[2]), str(files[0])]


def test_held_out_images_are_split_by_class_and_equal_in_every_run():
    splits = open_splits(Unsplit(Unsplit.Config()), 0.2)
    trained = {int(splits.train.read(i)[0, 0, 0]) for i in range(len(splits.train))}
    held = {int(splits.test.read(i)[0, 0, 0]) for i in range(len(splits.test))}
    assert len(held) == 12
    assert not trained & held
    assert torch.bincount(splits.test.labels).tolist() == [4, 4, 4]
    torch.manual_seed(5)
    again = open_splits(Unsplit(Unsplit.Config()), 0.2)
    assert {int(again.test.read(i)[0, 0, 0]) for i in range(12)} == held
    assert "12 of 60 images were held out, by class" in splits.notes[0]


def test_probe_images_of_unsplit_source_are_the_training_images():
    splits = open_splits(Unsplit(Unsplit.Config()), 0.2)
    assert splits.train is splits.probe


@pytest.mark.parametrize("mode", ["packed", "files"])
def test_open_datasets_packed_or_decoded_gives_batches_of_a_folder(mode, tmp_path):
    root = tmp_path / "images"
    for name in ("cat", "dog"):
        folder(root / name, 10)
    source = ssl_host.build("data", "imagefolder", root=root, image_size=16)
    settings = LoaderSettings(store=mode, cache_dir=tmp_path / "cache", num_workers=0)
    images = open_datasets(source, views(), settings)
    assert (len(images.train), len(images.test)) == (16, 4)
    assert images.classes == ("cat", "dog")
    batch = next(iter(images.make_loader(EpochPlan(16, 4, seed=0))))
    assert torch.equal(batch.labels, images.train.labels[batch.index])


def wide_folder(root):
    """Images of 40 x 160 pixels that are white at one end: the left one or the right one."""
    for i in range(16):
        image = Image.new("RGB", (160, 40), (0, 0, 0))
        image.paste((255, 255, 255), (0, 0, 40, 40) if i % 2 else (120, 0, 160, 40))
        path = root / "lr"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return root


@pytest.mark.parametrize(("fit", "brightness"), [("crop", 0), ("squash", 64), ("pad", 16)])
@pytest.mark.parametrize("mode", ["packed", "files"])
def test_fit_makes_images_square_and_is_part_of_the_cache_key(mode, fit, brightness, tmp_path):
    root = wide_folder(tmp_path / "x")
    settings = LoaderSettings(store=mode, cache_dir=tmp_path / "cache", num_workers=0)
    for value in ("crop", fit):
        source = ssl_host.build("data", "imagefolder", root=root, image_size=16, fit=value)
        images = open_datasets(source, views(), settings)
    assert images.test.images[0:1].shape == (1, 3, 18, 18)
    for store in (images.train, images.probe, images.test):
        assert float(store.images[0:2].float().mean()) == pytest.approx(brightness, abs=5)
    assert any("4.0 times as long as wide" in n for n in images.notes) == (fit == "crop")


@pytest.mark.parametrize(("fit", "brightness"), [("crop", 25), ("squash", 25), ("pad", 6)])
def test_random_crops_of_files_are_taken_from_the_whole_image(fit, brightness, tmp_path):
    images = FileImages(sorted(wide_folder(tmp_path / "x").rglob("*.png")))
    images.fit = fit
    source = loader(images, 0)
    means = []
    for source.epoch in range(12):
        means += [view.float().mean() for batch in source for view in batch.images]
    assert float(torch.stack(means).mean()) > brightness  # the centred square is black


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_random_crops_of_files_are_those_of_the_fitted_image(fit, tmp_path):
    images = FileImages(sorted(wide_folder(tmp_path / "x").rglob("*.png"))[:4])
    images.fit = fit
    (batch,) = loader(images, 0, seed=5)
    for row, i in enumerate(batch.index.tolist()):
        whole = image_for_crops(images.read(i), fit)[None]
        expected = views().crops(whole, torch.tensor([i]), 0, 5)
        for view, crop in zip(batch.images, expected, strict=True):
            assert torch.equal(view[row], crop[0])


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_augmentation_without_view_specs_gets_fitted_images(fit, tmp_path):
    images = FileImages(sorted(wide_folder(tmp_path / "x").rglob("*.png"))[:4])
    images.fit = fit
    (batch,) = loader(images, 0, form=batch_views())
    for row, i in enumerate(batch.index.tolist()):
        assert torch.equal(batch.images[row], resize_to_square(images.read(i), 20, fit))


def test_few_gray_levels_are_a_warning(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "x" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 4096, (20, 24), dtype=np.uint16)).save(path)
    settings = LoaderSettings(cache_dir=tmp_path / "cache")
    for value_range, texts in ((None, ["gray levels 0 to 16", "value_range"]), ((0, 4095), [])):
        source = ssl_host.build(
            "data", "imagefolder", root=tmp_path / "x", image_size=16, value_range=value_range
        )
        images = open_datasets(source, views(), settings)
        assert len(images.warnings) == bool(texts)
        assert all(text in images.warnings[0] for text in texts)
    assert int(images.train.images.max()) > 240


def level_warnings(folder, save, count=16, **settings):
    """Return the warnings about images that ``save(path, i)`` writes to a folder."""
    folder.mkdir()
    for i in range(count):
        save(folder / f"{i}.png", i)
    source = ssl_host.build("data", "imagefolder", root=folder, image_size=16, **settings)
    return check_images(source.open("train"), source)[0]


def noise(top, dtype=np.uint16):
    return np.random.default_rng(0).integers(0, top, (20, 24)).astype(dtype)


def save_overlaid(path, _):
    values = noise(4096)
    values[:3, :12] = 65535
    Image.fromarray(values).save(path)


def save_mixed(path, i):
    Image.fromarray(noise(4096) if i % 2 else noise(256, np.uint8)).save(path)


@pytest.mark.parametrize(
    ("save", "subject"), [(save_overlaid, "the images use"), (save_mixed, "8 of 16 images use")]
)
def test_few_levels_with_an_overlay_or_in_some_images_are_a_warning(save, subject, tmp_path):
    (warning,) = level_warnings(tmp_path / "x", save)
    assert warning.startswith(f"{subject} only gray levels 0 to 16 of 0 to 255")
    assert "set [data] value_range" in warning


@pytest.mark.parametrize(
    "save",
    [
        lambda path, i: Image.fromarray(noise(2, bool)).save(path),
        lambda path, i: Image.fromarray(noise(256, np.uint8)).save(path),
    ],
    ids=["black and white", "all levels"],
)
def test_ordinary_images_give_no_warning(save, tmp_path):
    assert level_warnings(tmp_path / "x", save) == []


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0, 1, "images are all black"), (225, 250, "images use only gray levels 225 to 249")],
)
def test_dark_and_bright_images_of_eight_bits_get_no_advice_for_more_bits(
    low, high, text, tmp_path
):
    """A black frame, or a white tile of a microscope: value_range would not help."""
    pixels = np.random.default_rng(0).integers(low, high, (16, 16), dtype=np.uint8)
    save = lambda path, i: Image.fromarray(pixels).save(path)  # noqa: E731
    (warning,) = level_warnings(tmp_path / "x", save)
    assert text in warning
    assert "value_range" not in warning


@pytest.mark.parametrize(
    ("top", "text"), [(256, "only gray levels 0 to 16"), (65536, "nearly all pixels are black or")]
)
def test_unsuitable_value_range_is_a_warning(top, text, tmp_path):
    dtype = np.uint8 if top == 256 else np.uint16
    save = lambda path, i: Image.fromarray(noise(top, dtype)).save(path)  # noqa: E731
    value_range = (0, 4095) if top == 256 else (30000, 30500)
    (warning,) = level_warnings(tmp_path / "x", save, value_range=value_range)
    assert text in warning
    assert f"check [data] value_range = {value_range[0]}, {value_range[1]}" in warning


def test_note_if_only_some_images_are_long(tmp_path):
    for i in range(20):
        folder(tmp_path / "x" / f"{i:02}", 1, (96, 24) if i % 5 < 2 else (24, 24))
    source = ssl_host.build("data", "imagefolder", root=tmp_path / "x", image_size=16)
    _, (note,) = check_images(source.open("train"), source)
    assert note.startswith("8 of 20 checked images")
    assert "at least 4.0 times as long as wide" in note


def test_images_in_memory_are_checked_too():
    opened = open_datasets(Unsplit(Unsplit.Config()), views(), LoaderSettings())
    assert "gray levels 0 to 59 of" in opened.warnings[0]
    assert "value_range" not in opened.warnings[0]  # this source has no such setting


def test_value_range_of_held_out_images_is_part_of_the_cache_key(tmp_path):
    for i in range(20):
        path = tmp_path / "x" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 24), 2048, np.uint16)).save(path)
    settings = LoaderSettings(store="packed", cache_dir=tmp_path / "cache")
    for value_range, level in (((0, 4096), 128), ((0, 8192), 64)):
        source = ssl_host.build(
            "data", "imagefolder", root=tmp_path / "x", image_size=16, value_range=value_range
        )
        images = open_datasets(source, views(), settings)
        for store in (images.train, images.test):
            assert store.images[:].unique().tolist() == [level]


class PartlyLabelled(Unsplit):
    """Sixty images of which every second has a label."""

    labels = torch.where(torch.arange(60) % 2 == 0, torch.arange(60) // 2 % 3, -1)

    def open(self, split):
        images = super().open(split)
        if images is not None:
            images.labels = self.labels
        return images


def test_partly_labelled_images_are_all_trained_on_and_the_labelled_ones_probed():
    splits = open_splits(PartlyLabelled(Unsplit.Config()), 0.2)
    assert (len(splits.train), len(splits.probe), len(splits.test)) == (54, 24, 6)
    assert torch.bincount(splits.test.labels).tolist() == [2, 2, 2]
    assert torch.bincount(splits.probe.labels).tolist() == [8, 8, 8]
    assert int((splits.train.labels < 0).sum()) == 30
    assert "30 of 60 training images have no label" in splits.notes[0]
    assert "6 of 30 labelled images were held out" in splits.notes[1]


@pytest.mark.parametrize("mode", ["packed", "files"])
def test_labelled_images_of_a_folder_are_not_packed_twice(mode, tmp_path):
    root = tmp_path / "images"
    files = [*folder(root / "cat", 8), *folder(root / "dog", 8), *folder(root, 6)]
    files[3].write_bytes(b"")
    source = ssl_host.build("data", "imagefolder", root=root, image_size=16)
    settings = LoaderSettings(store=mode, cache_dir=tmp_path / "cache", num_workers=0)
    images = open_datasets(source, views(), settings)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == (2 if mode == "packed" else 0)
    assert bool((images.probe.labels >= 0).all())
    for i in range(len(images.probe)):
        row = images.train.indices.tolist().index(int(images.probe.indices[i]))
        if mode == "packed":
            assert torch.equal(images.probe.images[i : i + 1], images.train.images[row : row + 1])
            assert images.probe.image_name(i) == images.train.image_name(row)
    assert images.fingerprint()["probe"] == len(images.probe) < len(images.train)
    assert len(images.skipped()) == (mode == "packed")


def test_single_class_is_not_held_out_and_has_no_probe(tmp_path):
    folder(tmp_path / "images/cat", 10)
    source = ssl_host.build("data", "imagefolder", root=tmp_path / "images", image_size=16)
    images = open_datasets(source, views(), LoaderSettings(cache_dir=tmp_path / "cache"))
    assert (len(images.train), images.test, images.num_probe_classes) == (10, None, 0)
    assert any("only one class, cat, so no accuracy" in note for note in images.notes)


class BatchDecodedImages(ssl_host.ImageDataset):
    """Images that are decoded in batches; records the requests."""

    image_size = 20

    def __init__(self, count):
        self.images = torch.randint(0, 256, (count, 3, 20, 20), dtype=torch.uint8)
        self.labels = torch.arange(count) % 2
        self.classes = ("a", "b")
        self.requests = []

    def __len__(self):
        return len(self.images)

    def read(self, i):
        raise AssertionError("images must be read in batches")

    def read_many(self, indices):
        self.requests.append(indices.tolist())
        return self.images[indices]


def test_data_set_decoded_in_batches_is_read_once_per_batch():
    dataset = BatchDecodedImages(20)

    class Source(ssl_host.DataSource):
        image_size = 16

        def open(self, split):
            return dataset if split == "train" else None

    opened = open_datasets(Source(Settings()), views(), LoaderSettings())
    raw = next(iter(opened.make_loader(EpochPlan(len(opened.train), 4, seed=0))))
    assert raw.images.shape == (4, 3, 20, 20)
    assert len(dataset.requests) == 1
    assert torch.equal(raw.images, dataset.images[torch.tensor(dataset.requests[0])])
    assert opened.test is not None
    assert torch.equal(
        opened.test.images[:2], dataset.images[opened.test.images.images.indices[:2]]
    )
