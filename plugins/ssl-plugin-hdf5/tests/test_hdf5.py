"""HDF5 files of arrays and of encoded images: ten images come back; and files that are wrong."""

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import torch

import ssl_host
from ssl_host import DataError, UnreadableImage
from ssl_host.testing import conformance
from ssl_host.testing.corruption import check_corrupted_copies
from ssl_host.testing.images import COLOURS, encoded, is_picture, label_of, picture
from ssl_host.testing.interruption import command_without

LABELS = [label_of(i) for i in range(10)]
NUMBERS = [COLOURS.index(name) for name in LABELS]
PIXELS = np.stack([np.array(picture(i).resize((24, 20))) for i in range(10)])
"""N H W C."""


def build(file, **settings):
    return ssl_host.build("data", "hdf5", file=file, image_size=16, **settings)


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def write_encoded(path, contents, labels=None, name="images"):
    with h5py.File(path, "a") as file:
        rows = file.create_dataset(name, (len(contents),), h5py.vlen_dtype(np.uint8))
        for i, content in enumerate(contents):
            rows[i] = np.frombuffer(content, np.uint8)
        if labels is not None:
            file["labels"] = labels
    return path


def same_as(found, pixels):
    """Whether all images of a set are those of an array N H W C, or N H W."""
    expected = torch.from_numpy(np.ascontiguousarray(pixels))
    expected = expected[:, None] if expected.ndim == 3 else expected.permute(0, 3, 1, 2)
    return all(torch.equal(found.read(i), image) for i, image in enumerate(expected))


@pytest.fixture(autouse=True)
def conforming(tmp_path, monkeypatch):
    groups = {"train__images": PIXELS[:7], "test__images": PIXELS[7:]}
    write(tmp_path / "cells.h5", **groups, train__labels=NUMBERS[:7], test__labels=NUMBERS[7:])
    monkeypatch.chdir(tmp_path)


test_conforms = conformance("data", "hdf5", file="cells.h5")


def test_ten_encoded_images_come_back(tmp_path):
    path = write_encoded(tmp_path / "x.h5", [encoded(i) for i in range(10)], LABELS)
    found = build(path).open("train")
    assert len(found) == 10
    assert all(is_picture(found.read(i), i) for i in range(10))
    assert found.classes == COLOURS
    assert [found.classes[k] for k in found.labels] == LABELS
    assert found.name(7) == "x.h5:images[7]"
    assert build(path).open("test") is None


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_ten_arrays_come_back(axes, tmp_path):
    """Seen to fail with the second layout read as the first."""
    path = write(tmp_path / "x.h5", images=PIXELS.transpose(axes), labels=NUMBERS)
    found = build(path).open("train")
    assert len(found) == 10
    assert same_as(found, PIXELS)
    assert found.labels.tolist() == NUMBERS
    assert found.classes == ("0", "1", "2")


@pytest.mark.parametrize("shape", [(10, 20, 24), (10, 20, 24, 1), (10, 1, 20, 24)])
def test_gray_arrays(shape, tmp_path):
    gray = PIXELS[..., 0]
    path = write(tmp_path / "x.h5", images=gray.reshape(shape))
    assert same_as(build(path, num_channels=1).open("train"), gray)
    assert same_as(build(path).open("train"), np.stack([gray] * 3, axis=3))


def test_colours_to_gray_and_alpha_dropped(tmp_path):
    four = np.concatenate([PIXELS, PIXELS[..., :1]], axis=3)
    path = write(tmp_path / "x.h5", images=four)
    assert same_as(build(path).open("train"), PIXELS)
    gray = np.stack([np.array(picture(i).resize((24, 20)).convert("L")) for i in range(10)])
    assert same_as(
        build(write(tmp_path / "y.h5", images=PIXELS), num_channels=1).open("train"), gray
    )


def test_groups_are_splits(tmp_path):
    source = build(tmp_path / "cells.h5")
    train, test = source.open("train"), source.open("test")
    assert same_as(train, PIXELS[:7])
    assert same_as(test, PIXELS[7:])
    assert test.labels.tolist() == NUMBERS[7:]
    assert test.name(0) == "cells.h5:test/images[0]"


def test_validation_stands_before_test(tmp_path):
    content = {"Train__images": PIXELS[:6], "validation__images": PIXELS[6:9]}
    source = build(write(tmp_path / "x.h5", **content, test__images=PIXELS[9:]))
    assert same_as(source.open("train"), PIXELS[:6])
    assert same_as(source.open("test"), PIXELS[6:9])


def test_labels_are_those_of_the_group(tmp_path):
    content = {"train__images": PIXELS[:7], "test__images": PIXELS[7:], "labels": NUMBERS}
    found = build(write(tmp_path / "x.h5", **content)).open("train")
    assert found.labels is None


def test_datasets_by_their_names(tmp_path):
    content = {"x_train": PIXELS[:7], "y_train": NUMBERS[:7], "x_test": PIXELS[7:]}
    path = write(tmp_path / "x.h5", **content, y_test=np.array(NUMBERS[7:])[:, None])
    names = {"images": "x_train", "labels": "y_train", "test_images": "x_test"}
    source = build(path, **names, test_labels="y_test")
    assert same_as(source.open("train"), PIXELS[:7])
    assert same_as(source.open("test"), PIXELS[7:])
    assert source.open("test").labels.tolist() == NUMBERS[7:]
    assert build(path, images="x_train", labels="y_train").open("test") is None


def test_a_test_file_of_its_own(tmp_path):
    train = write(tmp_path / "a.h5", images=PIXELS[:7], labels=NUMBERS[:7])
    test = write(tmp_path / "b.h5", images=PIXELS[7:], labels=NUMBERS[7:])
    source = build(train, test_file=test)
    assert same_as(source.open("test"), PIXELS[7:])
    assert source.open("test").name(0) == "b.h5:images[0]"


def test_bytes_of_one_length(tmp_path):
    """As numpy's void rows, padded with zeros behind the image."""
    contents = [encoded(i) for i in range(10)]
    longest = max(map(len, contents))
    rows = np.array([content.ljust(longest, b"\0") for content in contents], f"V{longest}")
    found = build(write(tmp_path / "x.h5", images=rows)).open("train")
    assert all(is_picture(found.read(i), i) for i in range(10))
    assert (found.labels, found.classes) == (None, ())


def test_threads_forks_and_copies_read_the_same(tmp_path):
    """Handles are a process's own, and are not copied."""
    contents = [encoded(i) for i in range(10)]
    found = build(write_encoded(tmp_path / "x.h5", contents)).open("train")
    numbers = list(range(10)) * 10
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(found.read, numbers))
    assert all(is_picture(image, i) for image, i in zip(images, numbers, strict=True))
    copy = pickle.loads(pickle.dumps(found))
    assert all(is_picture(copy.read(i), i) for i in range(10))
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os._exit(not all(is_picture(found.read(i), i) for i in numbers))
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ended == [0, 0]


def bad(number):
    return {1: encoded(1)[:70], 2: b"", 3: b"no image"}.get(number, encoded(number))


def test_a_run_counts_and_lists_what_cannot_be_decoded(tmp_path):
    """Through the real command, from worker processes, the path relative to the configuration."""
    labels = [label_of(i) for i in range(20)]
    write_encoded(tmp_path / "x.h5", [bad(i) for i in range(20)], labels)
    (tmp_path / "run.ini").write_text(
        "[run]\nepochs = 1\nbatch_size = 4\n[data]\nname = hdf5\nfile = x.h5\nimage_size = 16\n"
        "[method]\nname = simclr\n[backbone]\nname = small_conv\nwidth = 8\nnum_stages = 3\n"
        "[evaluator.knn]\nk = 1\n[loader]\nstore = files\nnum_workers = 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ssl_host", "run", "run.ini", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["classes"] == list(COLOURS)
    skipped = {item["image"]: item["reason"] for item in results["skipped"]}
    assert sorted(skipped) == [f"x.h5:images[{i}]" for i in (1, 2, 3)]
    assert skipped["x.h5:images[2]"] == "the file is empty"
    assert results["images"]["train"] + results["images"]["test"] == 20


def text(path):
    path.write_text("no HDF5 file")


def torn(path):
    write(path, images=PIXELS)
    path.write_bytes(path.read_bytes()[:-5000])


def of(**datasets):
    return lambda path: write(path, **datasets)


WRONG = {
    "text": (text, {}, "is damaged or no HDF5 file"),
    "torn": (torn, {}, "is damaged or no HDF5 file"),
    "missing": (lambda p: None, {}, "no such file"),
    "nothing": (of(), {}, r"no dataset is called images; set \[data\] images to one of those that"),
    "another": (of(x=PIXELS, y=NUMBERS), {}, r"called images; set \[data\] images to one of x, y"),
    "no_labels": (
        of(images=PIXELS),
        {"labels": "y"},
        r"no dataset is called y; set \[data\] labels to one of images",
    ),
    "floats": (of(images=PIXELS / 255), {}, r"images: is float64 of shape \(10, 20, 24, 3\); imag"),
    "two_channels": (of(images=PIXELS[..., :2]), {}, "with 1, 3 or 4 channels"),
    "text_rows": (of(images=["a", "b"]), {}, "holds text, which ends at the first zero byte"),
    "records": (of(images=np.zeros(3, [("a", "u1"), ("b", "f4")])), {}, "images are uint8 N H W C"),
    "no_rows": (of(images=PIXELS[:0]), {}, "images: has no rows"),
    "few_labels": (
        of(images=PIXELS, labels=NUMBERS[:9]),
        {},
        r"labels: is of shape \(9,\), and there are 10 images",
    ),
    "float_labels": (of(images=PIXELS, labels=np.ones(10)), {}, "labels: is float64; labels are"),
    "some_labels": (
        of(images=PIXELS, labels=[*LABELS[:9], ""]),
        {},
        r"1 of 10 images have no label, the first is x\.h5:images\[9\]",
    ),
    "no_test": (
        of(images=PIXELS, labels=LABELS),
        {"test_images": "t"},
        r"no dataset is called t; set \[data\] test_images to",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_named(name, tmp_path):
    make, settings, message = WRONG[name]
    make(tmp_path / "x.h5")
    source = build(tmp_path / "x.h5", **settings)
    with pytest.raises(DataError, match=message) as caught:
        source.open("test" if name == "no_test" else "train")
    assert "x.h5" in str(caught.value)


def test_a_file_with_random_damage_is_read_or_told(tmp_path):
    """Seen to fail with h5py's KeyError let through."""
    path = write_encoded(tmp_path / "whole.h5", [encoded(i) for i in range(4)], LABELS[:4])
    check_corrupted_copies(path, build)


def test_a_damaged_chunk_is_an_image_that_cannot_be_read(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("images", data=PIXELS, chunks=(1, 20, 24, 3), fletcher32=True)
        at = rows.id.get_chunk_info(4).byte_offset
    content = bytearray(path.read_bytes())
    content[at : at + 50] = bytes(50)
    path.write_bytes(content)
    found = build(path).open("train")
    assert torch.equal(found.read(3), torch.from_numpy(PIXELS[3]).permute(2, 0, 1))
    with pytest.raises(UnreadableImage, match="the file is damaged"):
        found.read(4)


def test_a_file_that_is_written_anew_is_not_the_old_one(tmp_path):
    path = write(tmp_path / "x.h5", images=PIXELS)
    first = build(path).open("train").read(0)
    path.unlink()
    write(path, images=PIXELS[::-1])
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert not torch.equal(build(path).open("train").read(0), first)


def test_without_h5py_one_line_says_what_is_missing(tmp_path):
    """Lists need no h5py."""
    (tmp_path / "x.ini").write_text("[method]\nname = simclr\n[data]\nname = hdf5\nfile = x\n")
    done = command_without("h5py", "config", "check", "x.ini", folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "No module named 'h5py'" in done.stderr
    assert "repair or upgrade ssl-plugin-hdf5" in done.stderr
    done = command_without("h5py", "component", "list", "data", folder=tmp_path)
    assert "images in the datasets of HDF5 files" in done.stdout


def test_registering_imports_neither_torch_nor_h5py():
    code = "import sys, ssl_plugin_hdf5; sys.exit(bool({'torch', 'h5py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("given", [{"test_images": "images"}, {"test_file": "a.h5"}])
def test_what_is_trained_on_is_not_held_out_too(given, tmp_path, monkeypatch):
    """Seen to fail with the two never compared."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.h5", images=PIXELS, labels=NUMBERS)
    with pytest.raises(DataError, match="is held out, and is among the training images"):
        build("a.h5", **given).open("test")
