"""Bad folders and images, through the command line."""

import json
import re

import pytest
from PIL import Image

from tests.conftest import as_ini, tiny


def picture(path, colour=(200, 30, 30), size=(20, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def folder_config(root):
    config = tiny(run={"batch_size": 4, "epochs": 1})
    config["data"] = {"name": "imagefolder", "root": root, "image_size": 16}
    config["loader"] = {"cache_dir": "cache"}
    return as_ini(config)


def empty(root):
    root.mkdir()


def only_text(root):
    root.mkdir()
    (root / "notes.txt").write_text("no image")


def all_corrupt(root):
    root.mkdir()
    for i in range(3):
        (root / f"{i}.jpg").write_bytes(b"not a jpeg at all")


def too_few(root):
    for i in range(3):
        picture(root / f"{i}.png")


def file_instead_of_folder(root):
    root.write_text("I am a file")


def class_only_in_val(root):
    picture(root / "train" / "cat" / "1.png")
    picture(root / "train" / "dog" / "1.png")
    picture(root / "val" / "cow" / "1.png")


CASES = {
    "missing": (lambda root: None, ["root = {root}", "no such folder"]),
    "file_instead_of_folder": (file_instead_of_folder, ["root = {root}", "is a file"]),
    "empty": (empty, ["{root}: no images (.jpg, .jpeg, .png,", "empty"]),
    "only_text": (only_text, ["{root}: no images (.jpg, .jpeg, .png,", "notes.txt"]),
    "all_corrupt": (
        all_corrupt,
        ["none of 3 images", *(f"{i}.jpg: cannot be decoded: cannot identify" for i in range(3))],
    ),
    "too_few": (too_few, ["[run] batch_size = 4", "3 training images", "smaller batch_size"]),
    "class_only_in_val": (
        class_only_in_val,
        ["{root}/val: class cow of cow/1.png", "training classes (cat, dog)"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_folder_ends_with_one_line_and_exit_code_2(name, ssl_host, tmp_path):
    make, parts = CASES[name]
    root = tmp_path / "images"
    make(root)
    (tmp_path / "run.ini").write_text(folder_config("images"), encoding="utf-8")
    done = ssl_host("run", "run.ini")
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(rf"run\.ini:\d+: \[{'run' if name == 'too_few' else 'data'}\] ", last)
    for part in parts:
        assert part.format(root=root) in last
    assert "Traceback" not in done.stderr


def test_unreadable_image_is_skipped_and_listed(ssl_host, tmp_path):
    for i in range(9):
        picture(tmp_path / "images" / f"photo {i} é.png", (20 * i, 90, 30))
    (tmp_path / "images" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0torn")
    (tmp_path / "images" / "zero.png").write_bytes(b"")
    (tmp_path / "run.ini").write_text(folder_config("images"), encoding="utf-8")
    done = ssl_host("run", "run.ini")
    assert done.returncode == 0, done.stderr
    assert "2 images cannot be read and are skipped" in done.stderr
    results = json.loads((tmp_path / "runs" / "tiny" / "results.json").read_text("utf-8"))
    assert [item["image"] for item in results["skipped"]] == ["torn.jpg", "zero.png"]
    assert results["skipped"][1]["reason"] == "the file is empty"
    assert results["images"] == {"train": 9, "probe": 9, "test": None}
    assert "<code>torn.<wbr>jpg</code>" in (tmp_path / "runs/tiny/report.html").read_text("utf-8")


def test_labelled_folder_without_test_split_holds_out_images(ssl_host, tmp_path):
    for i in range(20):
        picture(tmp_path / "images" / ("red" if i % 2 else "blue") / f"{i}.png", (i * 9, 9, 99))
    (tmp_path / "run.ini").write_text(folder_config("images"), encoding="utf-8")
    done = ssl_host("run", "run.ini", "-o", "evaluator.knn.k=1", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["images"] == {"train": 16, "probe": 16, "test": 4}
    assert results["classes"] == ["blue", "red"]
    assert any("4 of 20 images were held out, by class" in note for note in results["notes"])
    assert "knn.top1" in results["metrics"]
