"""Built-in data sources."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import ssl_host
from ssl_host import DataError
from ssl_host.data.splits import open_splits


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), (1, 2, 3)).save(path)


def test_mnist5k_has_4000_training_and_1000_other_test_images():
    source = ssl_host.build("data", "mnist5k")
    train, test = source.open("train"), source.open("test")
    assert train.images.shape == (4000, 1, 28, 28)
    assert test.images.shape == (1000, 1, 28, 28)
    assert torch.bincount(train.labels).tolist() == [400] * 10
    assert torch.bincount(test.labels).tolist() == [100] * 10
    seen = {bytes(image.numpy()) for image in train.images}
    assert not any(bytes(image.numpy()) in seen for image in test.images)
    pixels = train.images.float() / 255
    assert source.mean[0] == pytest.approx(float(pixels.mean()), abs=0.01)
    assert source.std[0] == pytest.approx(float(pixels.std()), abs=0.01)


def test_digits_have_1797_images_and_correct_statistics():
    source = ssl_host.build("data", "digits")
    train, test = source.open("train"), source.open("test")
    assert len(train) + len(test) == 1797
    assert int(train.images.max()) == 255
    pixels = train.images.float() / 255
    assert source.mean[0] == pytest.approx(float(pixels.mean()), abs=0.01)
    assert source.std[0] == pytest.approx(float(pixels.std()), abs=0.01)


def test_synthetic_images_are_equal_every_time():
    source = ssl_host.build("data", "synthetic", num_images=10, num_channels=1)
    assert torch.equal(source.open("train").images, source.open("train").images)
    assert source.open("train").images.shape == (10, 1, 32, 32)
    assert ssl_host.build("data", "synthetic", labelled=False).open("test") is None


def test_imagefolder_without_subfolders_has_no_labels(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.PNG")
    found = ssl_host.build("data", "imagefolder", root=tmp_path).open("train")
    assert found.labels is None
    assert found.classes == ()
    assert [found.name(i) for i in range(3)] == ["0.PNG", "1.PNG", "2.PNG"]


def test_imagefolder_subfolders_are_classes(tmp_path):
    for name in ("dog", "cat"):
        picture(tmp_path / name / "deep" / "1.png")
    picture(tmp_path / ".hidden" / "1.png")
    (tmp_path / "empty").mkdir()
    found = ssl_host.build("data", "imagefolder", root=tmp_path).open("train")
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    "held_out", ["val", "validation", "test", "valid", "dev", "VAL", "testing", "Test"]
)
def test_imagefolder_test_folder_is_the_test_split(held_out, tmp_path):
    for split in ("train", held_out):
        for name in ("a", "b"):
            picture(tmp_path / split / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    assert source.open("train").classes == ("a", "b")
    assert source.open("test").labels.tolist() == [0, 1]


def test_imagefolder_class_without_test_images_keeps_its_label(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / "train" / name / "1.png")
    for name in ("a", "c"):
        picture(tmp_path / "val" / name / "1.png")
    assert ssl_host.build("data", "imagefolder", root=tmp_path).open("test").labels.tolist() == [
        0,
        2,
    ]


def test_imagefolder_labelled_false_ignores_subfolders(tmp_path):
    picture(tmp_path / "a" / "1.png")
    images = ssl_host.build("data", "imagefolder", root=tmp_path, labelled=False).open("train")
    assert images.labels is None
    assert len(images) == 1


@pytest.mark.parametrize("loops", [{"a": ".."}, {"a": "..", "b": ".."}, {"a": "b", "b": "a"}])
def test_imagefolder_does_not_follow_links_to_parent_folders(loops, tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "x" / name / "1.png")
    for name, target in loops.items():
        (tmp_path / "x" / name / "loop").symlink_to(
            ".." if target == ".." else tmp_path / "x" / target
        )
    found = ssl_host.build("data", "imagefolder", root=tmp_path / "x").open("train")
    names = [found.name(i) for i in range(len(found))]
    files = {"a": "a/1.png", "b": "b/1.png"}
    assert names == sorted(files.values())


def test_imagefolder_follows_links_to_other_folders(tmp_path):
    picture(tmp_path / "elsewhere/1.png")
    picture(tmp_path / "x/a/1.png")
    (tmp_path / "x/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "x/itself").symlink_to(".")
    found = ssl_host.build("data", "imagefolder", root=tmp_path / "x").open("train")
    assert found.classes == ("a", "b")


def test_imagefolder_link_to_a_class_folder_is_the_same_class(tmp_path):
    for name in ("cat", "dog"):
        picture(tmp_path / "x" / name / "1.png")
    (tmp_path / "x/alias").symlink_to("dog")
    (tmp_path / "x/cat/more").symlink_to(tmp_path / "x/dog")
    source = ssl_host.build("data", "imagefolder", root=tmp_path / "x")
    found = source.open("train")
    assert found.classes == ("cat", "dog")
    assert [found.name(i) for i in range(len(found))] == ["cat/1.png", "dog/1.png"]
    (note,) = source.notes
    assert "alias (a link to dog, which is already listed)" in note
    assert "cat/more (a link to dog" in note


def test_imagefolder_two_links_to_one_folder_are_one_class(tmp_path):
    picture(tmp_path / "elsewhere/1.png")
    picture(tmp_path / "x/a/1.png")
    for name in ("b", "c"):
        (tmp_path / "x" / name).symlink_to(tmp_path / "elsewhere")
    assert ssl_host.build("data", "imagefolder", root=tmp_path / "x").open("train").classes == (
        "a",
        "b",
    )


@pytest.mark.parametrize(("link", "target"), [("val", "train"), ("val/cat", "train/cat")])
def test_imagefolder_held_out_link_to_training_images_raises_data_error(link, target, tmp_path):
    for name in ("cat", "dog"):
        picture(tmp_path / "train" / name / "1.png")
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / target)
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    with pytest.raises(DataError, match=r"same folder as .*/train.*held out"):
        source.open("test")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_imagefolder_held_out_link_to_a_training_file_raises_data_error(link, tmp_path):
    for name in ("train/cat/1.png", "train/dog/1.png", "val/dog/1.png", "val/cat/2.png"):
        picture(tmp_path / name)
    link(tmp_path / "train/cat/1.png", tmp_path / "val/cat/1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    with pytest.raises(
        DataError, match=r"val/cat/1\.png: is held out.*same file.*train/cat/1\.png"
    ):
        source.open("test")


def test_imagefolder_duplicates_among_held_out_images_are_not_searched_in_training(
    tmp_path, monkeypatch
):
    for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"):
        picture(tmp_path / name)
    os.link(tmp_path / "val/a/1.png", tmp_path / "val/a/2.png")
    (tmp_path / "val/a/3.png").symlink_to("1.png")
    compared = []
    monkeypatch.setattr(os.path, "samefile", lambda *paths: compared.append(paths))
    assert len(ssl_host.build("data", "imagefolder", root=tmp_path).open("test")) == 2
    assert compared == []


def test_imagefolder_held_out_file_that_training_links_to_raises_data_error(tmp_path):
    for name in ("train/cat/1.png", "val/cat/1.png", "unlabeled/1.png"):
        picture(tmp_path / name)
    for place in ("train/cat/2.png", "unlabeled/2.png"):
        (tmp_path / place).symlink_to(tmp_path / "val/cat/1.png")
        with pytest.raises(DataError, match="same file as the training image"):
            ssl_host.build("data", "imagefolder", root=tmp_path).open("test")
        (tmp_path / place).unlink()
    assert len(ssl_host.build("data", "imagefolder", root=tmp_path).open("test")) == 1


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_imagefolder_file_with_several_links_is_one_image(link, tmp_path):
    for name in ("x/cat/1.png", "x/cat/2.png", "x/dog/1.png", "elsewhere/1.png"):
        picture(tmp_path / name)
    link(tmp_path / "x/cat/1.png", tmp_path / "x/cat/3.png")
    link(tmp_path / "x/cat/2.png", tmp_path / "x/dog/2.png")
    for name in ("3.png", "4.png"):
        (tmp_path / "x/dog" / name).symlink_to(tmp_path / "elsewhere/1.png")
    (tmp_path / "x/dog/5.png").symlink_to("nothing")
    source = ssl_host.build("data", "imagefolder", root=tmp_path / "x")
    found = source.open("train")
    names = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/3.png", "dog/5.png"]
    assert [found.name(i) for i in range(len(found))] == names
    assert found.labels.tolist() == [0, 0, 1, 1, 1]
    (note,) = source.notes
    assert "left out 3 links to images that are already listed, such as cat/3.png" in note


def test_imagefolder_equal_numbers_of_a_network_file_system_are_no_links(tmp_path, monkeypatch):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        picture(tmp_path / name)

    class Entry:
        def __init__(self, entry):
            self.name, self.is_dir, self.is_symlink = entry.name, entry.is_dir, entry.is_symlink

        def inode(self):
            return 0xFFFFFFFF

    class Entries(list):
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    original = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: Entries(map(Entry, original(path))))
    assert len(ssl_host.build("data", "imagefolder", root=tmp_path).open("train")) == 3


def test_imagefolder_link_to_a_part_and_to_the_whole_of_a_folder_lists_images_once(tmp_path):
    for name in ("t/b/1.png", "ext/a/x/1.png", "ext/a/y/1.png"):
        picture(tmp_path / name)
    (tmp_path / "t/a0").symlink_to(tmp_path / "ext/a/x")
    (tmp_path / "t/z").symlink_to(tmp_path / "ext/a")
    source = ssl_host.build("data", "imagefolder", root=tmp_path / "t")
    found = source.open("train")
    names = [found.name(i) for i in range(len(found))]
    assert names == ["a0/1.png", "b/1.png", "z/y/1.png"]
    (note,) = source.notes
    assert "z/x (a link to a0, which is already listed)" in note


def run_folder(path):
    picture(path / "wandb/offline-run-1/files/media/images/1.png")
    for name in ("config.ini", "config.json"):
        (path / name).write_text("")


def test_imagefolder_leaves_out_run_folders_wandb_and_environments(tmp_path):
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.png")
    run_folder(tmp_path / "runs/x")
    run_folder(tmp_path / "cat/y")
    picture(tmp_path / "wandb/run-1/files/1.png")
    picture(tmp_path / "venv/lib/1.png")
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    picture(tmp_path / "elsewhere/1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    source.excluded = [tmp_path / "elsewhere"]
    found = source.open("train")
    assert found.classes == ("cat", "dog")
    assert len(found) == 2
    (note,) = source.notes
    for part in ("cat/y (a run folder)", "elsewhere (runs write", "runs/x", "venv", "wandb"):
        assert part in note


def test_imagefolder_loose_and_unlabeled_images_have_no_label(tmp_path):
    for name in ("train/b/1.png", "train/1.png", "train/a/1.png", "train/unlabeled/1.png"):
        picture(tmp_path / name)
    picture(tmp_path / "unlabelled/deep/1.png")
    for name in ("test/1.png", "test/b/1.png"):
        picture(tmp_path / name)
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    found = source.open("train")
    names = [found.name(i).removeprefix("train/") for i in range(len(found))]
    labels = dict(zip(names, found.labels.tolist(), strict=True))
    assert found.classes == ("a", "b")
    assert labels == {
        "1.png": -1,
        "a/1.png": 0,
        "b/1.png": 1,
        "unlabeled/1.png": -1,
        "unlabelled/deep/1.png": -1,
    }
    assert source.open("test").labels.tolist() == [-1, 1]


def test_imagefolder_flat_held_out_folder_raises_data_error_with_advice(tmp_path):
    for name in ("train/cat/1.png", "train/dog/1.png", "val/1.png"):
        picture(tmp_path / name)
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    with pytest.raises(DataError, match=r"/val: its images are not in class folders.*cat, dog"):
        source.open("test")
    source = ssl_host.build("data", "imagefolder", root=tmp_path, labelled=False)
    assert len(source.open("test")) == 1


def test_imagefolder_other_spellings_of_splits_count_only_together(tmp_path):
    for name in ("Train/a/1.png", "Train/b/1.png", "Test/a/1.png"):
        picture(tmp_path / "x" / name)
    source = ssl_host.build("data", "imagefolder", root=tmp_path / "x")
    assert source.open("train").classes == ("a", "b")
    assert len(source.open("test")) == 1
    for name in ("match/1.png", "training/1.png"):
        picture(tmp_path / "y" / name)
    source = ssl_host.build("data", "imagefolder", root=tmp_path / "y")
    assert source.open("train").classes == ("match", "training")


def test_imagefolder_folders_that_are_not_used_are_noted(tmp_path):
    for name in ("train/a", "train/b", "val/a", "dev/a", "test/b", "extra/a", "unlabeled", "runs"):
        picture(tmp_path / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    source.excluded = [tmp_path / "runs"]
    assert source.open("test").labels.tolist() == [0]
    (note,) = source.notes
    assert "only train and val are used, not dev, extra, test" in note


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Final_Training", "Final_Test"),
        ("train2017", "val2017"),
        ("TrainImages", "ValImages"),
        ("seg_train/seg_train", "seg_test/seg_test"),
    ],
)
def test_imagefolder_splits_with_other_names_are_no_classes(train, held_out, tmp_path):
    for split in (train, held_out):
        for name in ("cats", "dogs"):
            picture(tmp_path / split / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    assert source.open("train").classes == ("cats", "dogs")
    assert source.open("test").labels.tolist() == [0, 1]


def test_imagefolder_classes_with_split_words_remain_classes_with_a_note(tmp_path):
    for name in ("bullet train", "test tube", "bus"):
        picture(tmp_path / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    assert source.open("train").classes == ("bullet train", "bus", "test tube")
    (note,) = source.notes
    assert "bullet train, test tube are used as classes, like bus" in note


def test_imagefolder_class_folders_with_equal_subfolders_raise_data_error(tmp_path):
    for domain in ("art", "photo"):
        for name in ("cat", "dog"):
            picture(tmp_path / domain / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    with pytest.raises(DataError, match=r"art, photo have the same subfolders \(cat, dog\)"):
        source.open("train")
    source = ssl_host.build("data", "imagefolder", root=tmp_path, labelled=True)
    assert source.open("train").classes == ("art", "photo")
    picture(tmp_path / "photo/other/1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    assert source.open("train").classes == ("art", "photo")


def test_imagefolder_class_named_train_is_a_class_with_a_note(tmp_path):
    for name in ("apple", "bus", "car", "train"):
        for i in range(6):
            picture(tmp_path / name / f"{i}.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    found = source.open("train")
    assert (len(found), found.classes) == (24, ("apple", "bus", "car", "train"))
    (note,) = source.notes
    assert "train is used as a class, like apple, bus, car" in note


def test_imagefolder_train_that_may_be_a_class_or_a_split_raises_data_error(tmp_path):
    for name in ("bus", "train"):
        picture(tmp_path / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    with pytest.raises(
        DataError, match=r"train may be a class, like bus.*labelled = true.*root = "
    ):
        source.open("train")
    source = ssl_host.build("data", "imagefolder", root=tmp_path, labelled=True)
    assert source.open("train").classes == ("bus", "train")


def test_imagefolder_train_alone_is_a_split_if_it_contains_classes(tmp_path):
    for name in ("train/a", "train/b", "extra"):
        picture(tmp_path / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    assert source.open("train").classes == ("a", "b")
    (note,) = source.notes
    assert "only train is used, not extra" in note


@pytest.mark.parametrize("name", ["none", "Na", "null"])
def test_imagefolder_folder_with_a_word_for_no_value_is_a_class(name, tmp_path):
    for folder in ("a", "b", name):
        picture(tmp_path / folder / "1.png")
    found = ssl_host.build("data", "imagefolder", root=tmp_path).open("train")
    assert found.classes == tuple(sorted(["a", "b", name]))
    assert found.labels.tolist().count(-1) == 0


@pytest.mark.parametrize("train", ["", "train"])
def test_imagefolder_folders_minus_one_and_one_raise_data_error(train, tmp_path):
    for name in ("-1", "1"):
        picture(tmp_path / train / name / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    with pytest.raises(DataError, match=r"labels are -1 and 1.*write 0 and 1"):
        source.open("train")


@pytest.mark.parametrize("name", ["Unlabeled", "-1", "nan"])
def test_imagefolder_folder_for_missing_labels_is_no_class(name, tmp_path):
    for folder in ("a", "b", name):
        picture(tmp_path / "x" / folder / "1.png")
    found = ssl_host.build("data", "imagefolder", root=tmp_path / "x").open("train")
    assert found.classes == ("a", "b")
    assert sorted(found.labels.tolist()) == [-1, 0, 1]
    for folder in ("train/a", "train/b", "val/a", name):
        picture(tmp_path / "y" / folder / "1.png")
    found = ssl_host.build("data", "imagefolder", root=tmp_path / "y").open("train")
    assert found.labels.tolist() == [0, 1, -1]


def test_imagefolder_held_out_images_without_labels_are_noted(tmp_path):
    for name in ("train/a/1.png", "train/a/2.png", "train/b/1.png", "val/unlabeled/1.png"):
        picture(tmp_path / "x" / name)
    notes = open_splits(ssl_host.build("data", "imagefolder", root=tmp_path / "x"), 0.5).notes
    assert any("x/val: the 1 held-out images have no labels" in note for note in notes)
    assert any("no labelled test split" in note for note in notes)
    for name in ("train/1.png", "val/a/1.png"):
        picture(tmp_path / "y" / name)
    notes = open_splits(ssl_host.build("data", "imagefolder", root=tmp_path / "y"), 0.5).notes
    assert any("y/val: its labels are not used" in note for note in notes)


def test_imagefolder_is_listed_in_one_pass(tmp_path, monkeypatch):
    for split in ("train", "val"):
        for name in ("a", "b", "b/c"):
            picture(tmp_path / split / name / "1.png")
    scanned = []
    original = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(str(path)) or original(path))
    counts = []
    source = ssl_host.build("data", "imagefolder", root=tmp_path)
    open_splits(source, 0.2, counts.append)
    folders = [path for path in scanned if path != str(tmp_path)]
    assert len(folders) == len(set(folders)) == 8
    assert max(counts) == 3


def test_imagefolder_without_permission_reports_the_folder(tmp_path, monkeypatch):
    for name in ("a/1.png", "b/1.png", "closed/1.png"):
        picture(tmp_path / name)
    original = os.scandir

    def scandir(path):  # tests may run as root, who may list everything
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = ssl_host.build("data", "imagefolder", root=tmp_path).open("train")
    assert found.classes == ("a", "b", "closed")
    assert [found.name(i) for i in range(len(found))] == ["a/1.png", "b/1.png", "closed"]
    with pytest.raises(ssl_host.UnreadableImage, match="no permission to list this folder"):
        found.read(2)


def test_imagefolder_class_not_in_unicode_is_escaped(tmp_path):
    for name in (b"a", b"\xff"):
        picture(tmp_path / os.fsdecode(name) / "1.png")
    found = ssl_host.build("data", "imagefolder", root=tmp_path).open("train")
    assert found.classes == ("a", "\\xff")


def test_imagefolder_with_one_channel_reads_gray_images(tmp_path):
    picture(tmp_path / "1.png")
    source = ssl_host.build("data", "imagefolder", root=tmp_path, num_channels=1)
    assert source.open("train").read(0).shape == (1, 7, 9)
    assert (source.channels, len(source.mean)) == (1, 1)


class FakeSTL10:
    """torchvision's STL10 with 4 labelled and 6 unlabelled training images."""

    classes = ("plane", "bird")

    def __init__(self, root, split, download):
        labels = {"train+unlabeled": [0, 1, 0, 1, *[-1] * 6], "train": [0, 1, 0, 1], "test": [1, 0]}
        self.labels = np.array(labels[split], np.uint8 if split == "test" else np.int64)
        self.data = np.zeros((len(self.labels), 3, 96, 96), np.uint8)


def test_stl10_pretrains_on_all_images_and_probes_the_labelled_ones(monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "STL10", FakeSTL10)
    splits = open_splits(ssl_host.build("data", "stl10"), 0.2)
    assert splits.train.labels.tolist() == [0, 1, 0, 1, *[-1] * 6]
    assert splits.probe.labels.tolist() == [0, 1, 0, 1]
    assert splits.test.labels.tolist() == [1, 0]
    assert "6 of 10 training images have no label" in splits.notes[0]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
@pytest.mark.parametrize(("folder", "reason"), [("", "not complete"), ("no", "no such folder")])
def test_missing_files_without_download_raise_data_error_with_advice(
    name, folder, reason, tmp_path
):
    root = tmp_path / folder
    source = ssl_host.build("data", name, root=root, download=False)
    with pytest.raises(DataError, match=f"{reason}.*download = true"):
        source.open("train")
    assert list(tmp_path.iterdir()) == []


def test_failed_download_raises_data_error_with_advice(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fail)
    with pytest.raises(DataError, match=r"no network.*copy its archive to that folder"):
        ssl_host.build("data", "cifar10", root=tmp_path).open("train")
