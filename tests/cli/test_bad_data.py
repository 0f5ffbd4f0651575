"""Bad folders and images, through the command line."""

import json
import re

import numpy as np
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
        ["none of 3 images", *(f"{i}.jpg (cannot be decoded: cannot identify" for i in range(3))],
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


def coloured(root, count=40):
    for i in range(count):
        picture(root / f"{i:02}.png", (200, i, 30) if i % 2 else (30, i, 200))


def test_partly_labelled_csv_pretrains_on_all_and_probes_the_labelled(ssl_host, tmp_path):
    coloured(tmp_path / "images")
    labels = ["-1" if i % 4 > 1 else "ab"[i % 2] for i in range(40)]
    lines = [f"images/{i:02}.png,{label}" for i, label in enumerate(labels)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    text = folder_config("x").replace("imagefolder", "csv").replace("root = x", "file = t.csv")
    (tmp_path / "run.ini").write_text(text, encoding="utf-8")
    done = ssl_host("run", "run.ini", "-o", "evaluator.knn.k=1", "--json")
    assert done.returncode == 0, done.stderr
    assert "20 of 40 training images have no label" in " ".join(done.stderr.split())
    results = json.loads(done.stdout)
    assert results["images"] == {"train": 36, "probe": 16, "test": 4}
    assert results["classes"] == ["a", "b"]
    assert results["metrics"]["knn.top1"] == 1.0
    assert 0 <= results["metrics"]["online.top1"] <= 1


def test_single_class_has_no_accuracy(ssl_host, tmp_path):
    coloured(tmp_path / "images/photos", 12)
    (tmp_path / "run.ini").write_text(folder_config("images"), encoding="utf-8")
    done = ssl_host("run", "run.ini", "--json", "-o", "evaluator.knn.k=1")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert not [name for name in results["metrics"] if "top1" in name]
    assert any("only one class, photos, so no accuracy" in note for note in results["notes"])
    assert "online_top1" not in (tmp_path / "runs/tiny/metrics.csv").read_text("utf-8")
    assert results["images"] == {"train": 12, "probe": 12, "test": None}


def test_runs_in_the_folder_of_the_images_are_not_trained_on(ssl_host, tmp_path):
    coloured(tmp_path / "cat", 8)
    coloured(tmp_path / "dog", 8)
    text = folder_config(".")
    (tmp_path / "run.ini").write_text(text, encoding="utf-8")
    assert ssl_host("run", "run.ini").returncode == 0
    picture(tmp_path / "runs/tiny/wandb/media/1.png")
    picture(tmp_path / "runs/figure.png")
    (tmp_path / "runs/tiny").rename(tmp_path / "kept")
    done = ssl_host("run", "run.ini", "--json", "-o", "run.name=second")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["classes"] == ["cat", "dog"]
    assert results["images"] == {"train": 12, "probe": 12, "test": 4}
    (note,) = [note for note in results["notes"] if "left out" in note]
    assert "kept (a run folder)" in note
    assert "runs (runs write to this folder)" in note
    assert "left out" in done.stderr


@pytest.mark.parametrize(("value_range", "top1"), [(None, None), ("0, 4095", 1.0)])
def test_twelve_bit_images_give_a_warning_or_are_scaled(value_range, top1, ssl_host, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 200, (16, 16), dtype=np.uint16) + 3000 * (i % 2)
        Image.fromarray(pixels).save(path)
    (tmp_path / "run.ini").write_text(folder_config("images"), encoding="utf-8")
    options = [] if value_range is None else ["-o", f"data.value_range={value_range}"]
    done = ssl_host("run", "run.ini", "-o", "evaluator.knn.k=1", "--json", *options)
    assert done.returncode == 0, done.stderr
    text, results = " ".join(done.stderr.split()), json.loads(done.stdout)
    assert ("warning: the images use only gray levels" in text) == (value_range is None)
    assert any("set [data] value_range" in n for n in results["notes"]) == (value_range is None)
    if top1 is not None:
        assert results["metrics"]["knn.top1"] == top1
    if value_range is None:
        for command in (("evaluate", "runs/tiny"), ("run", "run.ini", "-o", "evaluator.knn.k=1")):
            again = ssl_host(*command)
            assert "images use only gray levels" in " ".join((again.stderr + again.stdout).split())


@pytest.mark.parametrize("value", ["5, 5", "9, 1"])
def test_value_range_in_the_wrong_order_is_refused_with_its_line(value, ssl_host, tmp_path):
    text = folder_config("images").replace("image_size", f"value_range = {value}\nimage_size", 1)
    (tmp_path / "run.ini").write_text(text, encoding="utf-8")
    done = ssl_host("config", "check", "run.ini")
    assert done.returncode == 2
    assert "[data] value_range" in done.stderr + done.stdout
    assert "the smaller one first" in done.stderr + done.stdout


def test_class_at_one_end_of_long_images_needs_fit(ssl_host, tmp_path):
    for i in range(40):
        image = Image.effect_noise((160, 40), 40).convert("RGB")
        image.paste((255, 0, 0) if i % 2 else (0, 0, 255), (0, 0, 30, 40))
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    (tmp_path / "run.ini").write_text(folder_config("images"), encoding="utf-8")
    for fit in ("crop", "squash", "pad"):
        options = ("-o", f"data.fit={fit}", "-o", f"run.name={fit}", "-o", "evaluator.knn.k=1")
        done = ssl_host("run", "run.ini", "--json", *options)
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout)
        assert any("as long as wide" in note for note in results["notes"]) == (fit == "crop")
        if fit != "crop":
            assert results["metrics"]["knn.top1"] == 1.0
