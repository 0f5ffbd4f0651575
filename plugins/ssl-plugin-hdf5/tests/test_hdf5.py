"""Tests of reading valid and invalid HDF5 files of arrays and of encoded images."""

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
"""Ten images, N H W C."""


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


def equal_pixels(images, pixels):
    """Return True if the images of a dataset equal an array N H W C or N H W."""
    expected = torch.from_numpy(np.ascontiguousarray(pixels))
    expected = expected[:, None] if expected.ndim == 3 else expected.permute(0, 3, 1, 2)
    return all(torch.equal(images.read(i), image) for i, image in enumerate(expected))


@pytest.fixture(autouse=True)
def cells_file(tmp_path, monkeypatch):
    """Write cells.h5 into the current folder, a temporary one."""
    groups = {"train__images": PIXELS[:7], "test__images": PIXELS[7:]}
    write(tmp_path / "cells.h5", **groups, train__labels=NUMBERS[:7], test__labels=NUMBERS[7:])
    monkeypatch.chdir(tmp_path)


test_conforms = conformance("data", "hdf5", file="cells.h5")


def test_encoded_images_are_read(tmp_path):
    path = write_encoded(tmp_path / "x.h5", [encoded(i) for i in range(10)], LABELS)
    images = build(path).open("train")
    assert len(images) == 10
    assert all(is_picture(images.read(i), i) for i in range(10))
    assert images.classes == COLOURS
    assert [images.classes[k] for k in images.labels] == LABELS
    assert images.name(7) == "x.h5:images[7]"
    assert build(path).open("test") is None


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_arrays_of_both_layouts_are_read(axes, tmp_path):
    path = write(tmp_path / "x.h5", images=PIXELS.transpose(axes), labels=NUMBERS)
    images = build(path).open("train")
    assert len(images) == 10
    assert equal_pixels(images, PIXELS)
    assert images.labels.tolist() == NUMBERS
    assert images.classes == ("0", "1", "2")


@pytest.mark.parametrize("shape", [(10, 20, 24), (10, 20, 24, 1), (10, 1, 20, 24)])
def test_gray_arrays_are_read_with_1_or_3_channels(shape, tmp_path):
    gray = PIXELS[..., 0]
    path = write(tmp_path / "x.h5", images=gray.reshape(shape))
    assert equal_pixels(build(path, num_channels=1).open("train"), gray)
    assert equal_pixels(build(path).open("train"), np.stack([gray] * 3, axis=3))


def test_colour_arrays_are_converted_to_gray_and_alpha_is_dropped(tmp_path):
    four = np.concatenate([PIXELS, PIXELS[..., :1]], axis=3)
    path = write(tmp_path / "x.h5", images=four)
    assert equal_pixels(build(path).open("train"), PIXELS)
    gray = np.stack([np.array(picture(i).resize((24, 20)).convert("L")) for i in range(10)])
    assert equal_pixels(
        build(write(tmp_path / "y.h5", images=PIXELS), num_channels=1).open("train"), gray
    )


def test_groups_become_splits(tmp_path):
    source = build(tmp_path / "cells.h5")
    train, test = source.open("train"), source.open("test")
    assert equal_pixels(train, PIXELS[:7])
    assert equal_pixels(test, PIXELS[7:])
    assert test.labels.tolist() == NUMBERS[7:]
    assert test.name(0) == "cells.h5:test/images[0]"


def test_validation_group_has_priority_over_test(tmp_path):
    content = {"Train__images": PIXELS[:6], "validation__images": PIXELS[6:9]}
    source = build(write(tmp_path / "x.h5", **content, test__images=PIXELS[9:]))
    assert equal_pixels(source.open("train"), PIXELS[:6])
    assert equal_pixels(source.open("test"), PIXELS[6:9])


def test_labels_outside_of_the_group_are_not_used(tmp_path):
    content = {"train__images": PIXELS[:7], "test__images": PIXELS[7:], "labels": NUMBERS}
    images = build(write(tmp_path / "x.h5", **content)).open("train")
    assert images.labels is None


def test_datasets_are_found_by_configured_names(tmp_path):
    content = {"x_train": PIXELS[:7], "y_train": NUMBERS[:7], "x_test": PIXELS[7:]}
    path = write(tmp_path / "x.h5", **content, y_test=np.array(NUMBERS[7:])[:, None])
    names = {"images": "x_train", "labels": "y_train", "test_images": "x_test"}
    source = build(path, **names, test_labels="y_test")
    assert equal_pixels(source.open("train"), PIXELS[:7])
    assert equal_pixels(source.open("test"), PIXELS[7:])
    assert source.open("test").labels.tolist() == NUMBERS[7:]
    assert build(path, images="x_train", labels="y_train").open("test") is None


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint16, 4095), (np.float32, 1.0), (np.int16, 1000), (np.uint8, 255)]
)
def test_value_range_accepts_pixels_of_any_type(dtype, top, tmp_path):
    values = (PIXELS.astype(np.float64) * (top / 255)).astype(dtype)
    path = write(tmp_path / "x.h5", images=values)
    image = build(path, value_range=(0, top)).open("train").read(3)
    assert np.abs(image.permute(1, 2, 0).numpy().astype(float) - PIXELS[3]).max() <= 1
    if dtype != np.uint8:
        with pytest.raises(DataError, match=r"images cannot be read from .* value_range"):
            build(path).open("train")


def test_labels_with_the_name_of_a_quantity_raise_data_error(tmp_path):
    path = write(tmp_path / "x.h5", images=PIXELS, age=list(range(10)))
    with pytest.raises(DataError, match="column 'age' is named like a quantity"):
        build(path, labels="age").open("train")


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([2, -1, 0, 2, -1, 0, 0, 0, 0, 0], ("0", "2"), [1, -1, 0, 1, -1, 0, 0, 0, 0, 0]),
        ([2.0, np.nan, *[0.0] * 8], ("0", "2"), [1, -1, *[0] * 8]),
        (["b", "", *["a"] * 8], ("a", "b"), [1, -1, *[0] * 8]),
    ],
)
def test_rows_without_label_are_unlabelled(labels, classes, expected, tmp_path):
    path = write(tmp_path / "x.h5", images=PIXELS, labels=labels)
    images = build(path).open("train")
    assert (images.classes, images.labels.tolist()) == (classes, expected)
    assert build(path, labelled=False).open("train").labels is None


def test_labels_of_training_images_are_not_used_for_test_images(tmp_path):
    content = {"images": PIXELS[:5], "labels": NUMBERS[:5], "held_out": PIXELS[5:]}
    source = build(write(tmp_path / "x.h5", **content), test_images="held_out")
    with pytest.raises(DataError, match=r"labels 'labels' .* training images.* test_labels"):
        source.open("test")


def test_test_file_provides_test_images(tmp_path):
    train = write(tmp_path / "a.h5", images=PIXELS[:7], labels=NUMBERS[:7])
    test = write(tmp_path / "b.h5", images=PIXELS[7:], labels=NUMBERS[7:])
    source = build(train, test_file=test)
    assert equal_pixels(source.open("test"), PIXELS[7:])
    assert source.open("test").name(0) == "b.h5:images[0]"


def test_void_rows_with_padding_are_read(tmp_path):
    """NumPy's void rows have one length; zeros follow the image."""
    contents = [encoded(i) for i in range(10)]
    longest = max(map(len, contents))
    rows = np.array([content.ljust(longest, b"\0") for content in contents], f"V{longest}")
    images = build(write(tmp_path / "x.h5", images=rows)).open("train")
    assert all(is_picture(images.read(i), i) for i in range(10))
    assert (images.labels, images.classes) == (None, ())


def test_threads_forks_and_copies_read_equal_images(tmp_path):
    """Each process opens the file itself, and pickling drops the handle."""
    contents = [encoded(i) for i in range(10)]
    images = build(write_encoded(tmp_path / "x.h5", contents)).open("train")
    numbers = list(range(10)) * 10
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(images.read, numbers))
    assert all(is_picture(image, i) for image, i in zip(decoded, numbers, strict=True))
    copy = pickle.loads(pickle.dumps(images))
    assert all(is_picture(copy.read(i), i) for i in range(10))
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os._exit(not all(is_picture(images.read(i), i) for i in numbers))
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ended == [0, 0]


def content_with_errors(number):
    return {1: encoded(1)[:70], 2: b"", 3: b"no image"}.get(number, encoded(number))


def test_run_skips_and_lists_unreadable_images(ssl_host_command, tmp_path):
    """The command runs with worker processes and a path relative to the INI file."""
    labels = [label_of(i) for i in range(20)]
    write_encoded(tmp_path / "x.h5", [content_with_errors(i) for i in range(20)], labels)
    (tmp_path / "run.ini").write_text(
        "[run]\nepochs = 1\nbatch_size = 4\n[data]\nname = hdf5\nfile = x.h5\nimage_size = 16\n"
        "[method]\nname = simclr\n[backbone]\nname = small_conv\nwidth = 8\nnum_stages = 3\n"
        "[evaluator.knn]\nk = 1\n[loader]\nstore = files\nnum_workers = 2\n"
    )
    done = ssl_host_command("run", "run.ini", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["classes"] == list(COLOURS)
    skipped = {item["image"]: item["reason"] for item in results["skipped"]}
    assert sorted(skipped) == [f"x.h5:images[{i}]" for i in (1, 2, 3)]
    assert skipped["x.h5:images[2]"] == "the file is empty"
    assert results["images"]["train"] + results["images"]["test"] == 20


def write_text(path):
    path.write_text("no HDF5 file")


def write_truncated(path):
    write(path, images=PIXELS)
    path.write_bytes(path.read_bytes()[:-5000])


def writer(**datasets):
    """Return a function that writes datasets into a file."""
    return lambda path: write(path, **datasets)


INVALID = {
    "text": (write_text, {}, "is damaged or is not an HDF5 file"),
    "torn": (write_truncated, {}, "is damaged or is not an HDF5 file"),
    "missing": (lambda p: None, {}, "no such file"),
    "nothing": (writer(), {}, "the file has no datasets"),
    "another": (
        writer(x=PIXELS, y=NUMBERS),
        {},
        r"no dataset 'images'; set \[data\] images to one of x, y",
    ),
    "no_labels": (
        writer(images=PIXELS),
        {"labels": "y"},
        r"no dataset 'y'; set \[data\] labels to one of images",
    ),
    "floats": (
        writer(images=PIXELS / 255),
        {},
        r"images: images cannot be read from float64 of shape \(10, 20, 24, 3\)",
    ),
    "two_channels": (writer(images=PIXELS[..., :2]), {}, "C is 1, 3 or 4"),
    "text_rows": (writer(images=["a", "b"]), {}, "contains text"),
    "records": (
        writer(images=np.zeros(3, [("a", "u1"), ("b", "f4")])),
        {},
        r"use uint8 of shape \(N, H, W\)",
    ),
    "no_rows": (writer(images=PIXELS[:0]), {}, "images: has no rows"),
    "few_labels": (
        writer(images=PIXELS, labels=NUMBERS[:9]),
        {},
        r"labels: has the shape \(9,\), but there are 10 images",
    ),
    "float_labels": (
        writer(images=PIXELS, labels=np.linspace(0, 1, 10)),
        {},
        r"x\.h5:images: the labels look like numbers",
    ),
    "complex_labels": (writer(images=PIXELS, labels=1j * np.ones(10)), {}, "labels: is complex"),
    "no_test": (
        writer(images=PIXELS, labels=LABELS),
        {"test_images": "t"},
        r"no dataset 't'; set \[data\] test_images to",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_file_raises_data_error_with_its_name(name, tmp_path):
    make, settings, message = INVALID[name]
    make(tmp_path / "x.h5")
    source = build(tmp_path / "x.h5", **settings)
    with pytest.raises(DataError, match=message) as caught:
        source.open("test" if name == "no_test" else "train")
    assert "x.h5" in str(caught.value)


def test_file_with_random_damage_raises_only_data_errors(tmp_path):
    path = write_encoded(tmp_path / "valid.h5", [encoded(i) for i in range(4)], LABELS[:4])
    check_corrupted_copies(path, build)


def test_damaged_chunk_raises_unreadable_image(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("images", data=PIXELS, chunks=(1, 20, 24, 3), fletcher32=True)
        offset = rows.id.get_chunk_info(4).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 50] = bytes(50)
    path.write_bytes(content)
    images = build(path).open("train")
    assert torch.equal(images.read(3), torch.from_numpy(PIXELS[3]).permute(2, 0, 1))
    with pytest.raises(UnreadableImage, match="the file is damaged"):
        images.read(4)


def test_replaced_file_is_opened_again(tmp_path):
    path = write(tmp_path / "x.h5", images=PIXELS)
    first = build(path).open("train").read(0)
    path.unlink()
    write(path, images=PIXELS[::-1])
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert not torch.equal(build(path).open("train").read(0), first)


def test_without_h5py_the_error_names_it_in_one_line(tmp_path):
    """Lists of components do not need h5py."""
    (tmp_path / "x.ini").write_text("[method]\nname = simclr\n[data]\nname = hdf5\nfile = x\n")
    done = command_without("h5py", "config", "check", "x.ini", folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "No module named 'h5py'" in done.stderr
    assert "upgrade ssl-plugin-hdf5" in done.stderr
    done = command_without("h5py", "component", "list", "data", folder=tmp_path)
    assert "images in the datasets of HDF5 files" in done.stdout


def test_plugin_import_does_not_import_torch_or_h5py():
    code = "import sys, ssl_plugin_hdf5; sys.exit(bool({'torch', 'h5py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("settings", [{"test_images": "images"}, {"test_file": "a.h5"}])
def test_training_images_as_test_images_raise_data_error(settings, tmp_path):
    write(tmp_path / "a.h5", images=PIXELS, labels=NUMBERS)
    with pytest.raises(DataError, match="training images"):
        build("a.h5", **settings).open("test")
