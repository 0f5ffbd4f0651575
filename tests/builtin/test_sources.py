"""Built-in data sources."""

import errno
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

import ssl_host
from ssl_host import DataError


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


@pytest.mark.parametrize("held_out", ["val", "validation", "test"])
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
    linked = [f"{name}/loop/1.png" for name, target in loops.items() if target != ".."]
    assert names == sorted([*files.values(), *linked])


def test_imagefolder_follows_links_to_other_folders(tmp_path):
    picture(tmp_path / "elsewhere/1.png")
    picture(tmp_path / "x/a/1.png")
    (tmp_path / "x/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "x/itself").symlink_to(".")
    found = ssl_host.build("data", "imagefolder", root=tmp_path / "x").open("train")
    assert found.classes == ("a", "b")


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


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
def test_missing_download_raises_data_error_with_advice(name, tmp_path):
    source = ssl_host.build("data", name, root=tmp_path, download=False)
    with pytest.raises(DataError, match="copy its archive there"):
        source.open("train")
