"""Data source webdataset."""

import io
import json
import multiprocessing
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file

import ssl_host
from ssl_host import DataError, UnreadableImage
from ssl_host.config.schema import LoaderSettings
from ssl_host.data.batches import EpochPlan
from ssl_host.data.datasets import open_datasets
from ssl_host.pipeline import run as pipeline
from ssl_host.testing import conformance
from ssl_host.testing.images import COLOURS, encoded, is_picture, label_of
from ssl_host.testing.interruption import stopped_after
from tests.conftest import tiny


def write(path, members, mode="w"):
    """Write a shard of (name, bytes) pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(seeds, form="{i:04}", cls=True):
    for i in seeds:
        yield f"{form.format(i=i)}.png", encoded(i)
        if cls:
            yield f"{form.format(i=i)}.cls", label_of(i).encode()


def shards(folder, split="train", seeds=range(10), each=4, **how):
    seeds = list(seeds)
    for start in range(0, len(seeds), each):
        name = f"{split}-{start // each:03}.tar"
        write(folder / name, samples(seeds[start : start + each], **how))
    return folder


def build(root, **settings):
    return ssl_host.build("data", "webdataset", root=root, image_size=16, **settings)


@pytest.fixture(autouse=True)
def conforming(tmp_path, monkeypatch):
    shards(tmp_path / "conforming")
    shards(tmp_path / "conforming", "val", range(10, 14))
    monkeypatch.chdir(tmp_path)


test_conforms = conformance("data", "webdataset", root="conforming")


def test_open_returns_images_labels_and_names_in_order(tmp_path):
    found = build(shards(tmp_path / "x")).open("train")
    assert len(found) == 10
    assert all(is_picture(found.read(i), i) for i in range(10))
    assert found.classes == COLOURS
    assert [found.classes[k] for k in found.labels] == [label_of(i) for i in range(10)]
    assert [found.name(i) for i in (0, 9)] == ["train-000.tar:0000", "train-002.tar:0009"]
    assert build(tmp_path / "x").open("test") is None


def test_keys_end_at_the_first_dot_and_keep_their_folder(tmp_path):
    members = [
        ("a.b/one.x.json", b'{"label": 9}'),
        ("a.b/one.json", b'{"label": 7, "caption": "a"}'),
        ("a.b/one.PNG", encoded(0)),
        ("a.b/one.mask.png", encoded(5)),
        ("two.jpg", encoded(1, "JPEG")),
        ("two.json", b'{"label": 11}'),
        ("readme.txt", b"no sample"),
        ("three.webp", encoded(2, "WEBP")),
        ("three.cls", b" 7\n"),
    ]
    found = build(write(tmp_path / "x.tar", members)).open("train")
    assert [found.name(i) for i in range(3)] == ["x.tar:a.b/one", "x.tar:two", "x.tar:three"]
    assert is_picture(found.read(0), 0)
    assert found.classes == ("7", "11")
    assert found.labels.tolist() == [0, 1, 0]


def test_shards_without_labels_have_no_labels(tmp_path):
    found = build(shards(tmp_path / "x", cls=False)).open("train")
    assert (found.labels, found.classes, len(found)) == (None, (), 10)


@pytest.mark.parametrize("names", [("train-{}", "val-{}"), ("train/{}", "test/{}"), ("{}", None)])
def test_names_of_shards_and_folders_define_splits(names, tmp_path):
    for name, seeds in zip(names, (range(6), range(6, 10)), strict=True):
        if name is not None:
            write(tmp_path / "x" / f"{name.format('000')}.tar", samples(seeds))
    source = build(tmp_path / "x")
    assert len(source.open("train")) == 6
    test = source.open("test")
    assert (test is None) == (names[1] is None)
    assert test is None or is_picture(test.read(0), 6)
    assert test is None or test.classes == COLOURS


def test_patterns_select_shards_in_their_order(tmp_path):
    folder = shards(tmp_path / "x")
    source = build(folder / "train-{002..001}.tar", test=folder / "train-{000,000}.tar")
    assert [source.open("train").name(i) for i in (0, 2)] == [
        "train-002.tar:0008",
        "train-001.tar:0004",
    ]
    assert len(source.open("test")) == 8
    assert len(build(folder / "train-*.tar").open("train")) == 10
    # Pattern characters in names of folders and files.
    assert len(build(tmp_path / "?" / "train-*.tar").open("train")) == 10
    odd = (folder / "train-000.tar").rename(tmp_path / "one[1].tar")
    assert len(build(odd).open("train")) == 4


def test_loader_follows_the_plan_and_starts_at_a_step(tmp_path):
    source = build(shards(tmp_path / "x"))
    views = ssl_host.build("augmentation", "simclr", image_size=16)
    settings = LoaderSettings(store="files", num_workers=2, holdout=0.01)
    plan = EpochPlan(10, 2, seed=3)
    whole = open_datasets(source, views, settings).make_loader(plan)
    batches = [batch.index.tolist() for batch in whole]
    assert batches == [index.tolist() for index in plan.indices(0)]
    tail = open_datasets(source, views, settings).make_loader(plan)
    tail.start = 2
    assert [batch.index.tolist() for batch in tail] == batches[2:]


def run(root, folder, name):
    """Train on images that two workers decode in every epoch."""
    config = tiny(
        run={"name": name, "dir": str(folder), "epochs": 3, "batch_size": 4},
        loader={"store": "files", "num_workers": 2},
        checkpoint={"every_minutes": 1e-9},
    )
    config["data"] = {"name": "webdataset", "root": str(root), "image_size": 16}
    return ssl_host.run(config, quiet=True)


def test_interrupted_run_ends_bit_equal(tmp_path):
    root = shards(tmp_path / "x", seeds=range(16))
    whole = run(root, tmp_path, "whole")
    with stopped_after(4):
        run(root, tmp_path, "interrupted")
    again = run(root, tmp_path, "interrupted")
    expected, found = (
        load_file(tmp_path / name / "backbone.safetensors") for name in ("whole", "interrupted")
    )
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert again["metrics"]["rankme"] == whole["metrics"]["rankme"]


def test_workers_end_with_the_training(tmp_path, monkeypatch):
    """Left to the garbage collector, each of them is waited for five seconds."""
    running = []
    evaluate = pipeline.evaluate_network

    def count(*arguments, **options):
        running.append(len(multiprocessing.active_children()))
        return evaluate(*arguments, **options)

    monkeypatch.setattr(pipeline, "evaluate_network", count)
    before = len(multiprocessing.active_children())
    run(shards(tmp_path / "x", seeds=range(16)), tmp_path, "whole")
    assert running == [before]


def test_threads_can_read_at_the_same_time(tmp_path):
    found = build(shards(tmp_path / "x")).open("train")
    numbers = list(range(10)) * 20
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(found.read, numbers))
    assert all(is_picture(image, i) for image, i in zip(images, numbers, strict=True))


def test_unreadable_images_are_listed_by_shard_and_key(tmp_path):
    members = [*samples(range(4)), ("torn.png", encoded(4)[:80]), ("torn.cls", b"red")]
    members += [
        ("zero.jpg", b""),
        ("zero.cls", b"red"),
        ("text.jpg", b"hello"),
        ("text.cls", b"red"),
    ]
    write(tmp_path / "x" / "train-000.tar", members)
    views = ssl_host.build("augmentation", "simclr", image_size=16)
    settings = LoaderSettings(cache_dir=tmp_path / "cache", holdout=0.01)
    opened = open_datasets(build(tmp_path / "x"), views, settings)
    skipped = dict(opened.skipped())
    assert sorted(skipped) == [f"train-000.tar:{key}" for key in ("text", "torn", "zero")]
    assert skipped["train-000.tar:zero"] == "the file is empty"
    assert skipped["train-000.tar:text"] == "cannot be decoded: cannot identify image file it"
    assert len(opened.train) == 4


def test_changed_shard_is_packed_again(tmp_path):
    views = ssl_host.build("augmentation", "simclr", image_size=16)
    settings = LoaderSettings(cache_dir=tmp_path / "cache", store_size=20)
    members = [(f"{i}.png", encoded(i)) for i in range(64)]
    path = write(tmp_path / "x.tar", members)
    before = open_datasets(build(path), views, settings).train.images.clone()
    write(path, [members[0], ("1.png", encoded(99)), *members[2:]])
    after = open_datasets(build(path), views, settings).train.images
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def truncate(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    return path


BAD = {
    "text": (lambda p: p.write_text("no tar" * 200), "damaged or not a tar file"),
    "zero": (lambda p: p.write_bytes(b""), "damaged or not a tar file"),
    "cut_in_an_image": (
        lambda p: truncate(write(p, samples(range(9))), 3000),
        "damaged or not a tar",
    ),
    "cut_at_a_header": (lambda p: truncate(write(p, [("a.png", bytes(512))]), 1024), "ends early"),
    "header_overwritten": (
        lambda p: p.write_bytes(
            write(p, samples(range(3))).read_bytes().replace(b"0001.png", b"?")
        ),
        "ends early",
    ),
    "compressed": (
        lambda p: write(p, samples(range(3)), "w:gz"),
        r"compressed \(gzip\)",
    ),
    "no_images": (
        lambda p: write(p, [("a.txt", b"x"), ("b.txt", b"x")]),
        r"x.tar: no image; .*suffixes txt \(2\)",
    ),
    "two_views": (
        lambda p: write(p, [("a.left.png", b"x"), ("a.right.png", b"x"), ("a.cls", b"x")]),
        r"suffixes left\.png \(1\), right\.png \(1\), cls \(1\); .* image_key = left\.png",
    ),
    "two_images": (
        lambda p: write(p, [("a.jpg", b"x"), ("a.png", b"x")]),
        r"x.tar:a has several images: jpg, png; set \[data\] image_key = jpg",
    ),
    "two_labels": (
        lambda p: write(
            p, [*samples([0], cls=False), ("b.txt", b""), ("0000.cls", b"x"), ("0000.cls", b"y")]
        ),
        r"x.tar:0000 has two labels: x in x.tar and y in x.tar",
    ),
    "bad_json": (
        lambda p: write(p, [("a.png", encoded(0)), ("a.json", b"{")]),
        r"x\.tar:a\.json: .*JSON",
    ),
    "label_of_json": (
        lambda p: write(p, [("a.png", encoded(0)), ("a.json", b'{"label": [1]}')]),
        r"x\.tar:a\.json: .*label.*\[1\]",
    ),
    "missing": (lambda p: None, r"x\.tar: no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_shard_raises_data_error_with_its_name(name, tmp_path):
    make, message = BAD[name]
    make(tmp_path / "x.tar")
    with pytest.raises(DataError, match=message) as caught:
        build(tmp_path / "x.tar").open("train")
    assert "x.tar" in str(caught.value)


def test_missing_shards_of_a_pattern_raise_data_error_with_count(tmp_path):
    folder = shards(tmp_path / "x")
    with pytest.raises(DataError, match=r"train-003\.tar: no such file \(2 of 5"):
        build(folder / "train-{000..004}.tar").open("train")


def test_folder_without_training_shards_raises_data_error(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no \.tar.* notes\.txt"):
        build(tmp_path / "x").open("train")
    shards(tmp_path / "x", "test")
    with pytest.raises(DataError, match=r"all shards, such as test-000\.tar, are held out"):
        build(tmp_path / "x").open("train")


def test_shard_truncated_after_opening_raises_unreadable_image(tmp_path):
    found = build(shards(tmp_path / "x")).open("train")
    truncate(tmp_path / "x" / "train-000.tar", 600)
    with pytest.raises(UnreadableImage, match="the shard has been cut off"):
        found.read(0)
    (tmp_path / "x" / "train-001.tar").unlink()
    with pytest.raises(UnreadableImage, match="cannot be read: No such file"):
        found.read(4)


def test_json_without_label_gives_no_labels(tmp_path):
    for content in ({"text": "x"}, [1, 2], "label", None):
        members = [("a.png", encoded(0)), ("a.json", json.dumps(content).encode())]
        assert build(write(tmp_path / "x.tar", members)).open("train").labels is None


def test_image_key_selects_one_image_of_each_sample(tmp_path):
    members = []
    for i in range(3):
        members += [(f"{i}.left.PNG", encoded(i)), (f"{i}.right.png", encoded(i + 5))]
        members += [(f"{i}.cls", b"ab"[i % 2 :][:1])]
    path = write(tmp_path / "x.tar", members)
    for key, first in (("left.png", 0), ("right.png", 5), (".right.PNG", 5)):
        found = build(path, image_key=key).open("train")
        assert all(is_picture(found.read(i), first + i) for i in range(3))
        assert found.labels.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match=r"no image with image_key = top\.png.*left\.png \(3\)"):
        build(path, image_key="top.png").open("train")


def test_only_suffix_with_a_dot_needs_no_image_key(tmp_path):
    path = write(tmp_path / "x.tar", [(f"{i}.photo.png", encoded(i)) for i in range(3)])
    assert len(build(path).open("train")) == 3


@pytest.mark.parametrize("place", ["after", "other_shard", "labels_shard", "before"])
def test_labels_are_joined_wherever_they_are(place, tmp_path):
    images = [*samples(range(4), cls=False)]
    labels = [(f"{i:04}.cls", label_of(i).encode()) for i in range(4)]
    root = tmp_path / "x"
    if place == "after":
        write(root / "train-0.tar", [*images, *labels])
    elif place == "before":
        write(root / "train-0.tar", [*labels[::-1], *images])
    else:
        write(root / "train-0.tar", images)
        write(root / ("train-1.tar" if place == "other_shard" else "labels.tar"), labels)
    source = build(root)
    found = source.open("train")
    assert [found.classes[k] for k in found.labels] == [label_of(i) for i in range(4)]
    assert source.notes == ()


def test_labels_join_images_of_their_shard_if_keys_are_repeated(tmp_path):
    for n in range(2):
        images = [("0.png", encoded(n)), ("1.png", encoded(9))]
        labels = [("0.cls", b"ab"[n : n + 1]), ("1.cls", b"c")]
        write(tmp_path / "x" / f"{n}.tar", [*images, *labels])
    found = build(tmp_path / "x").open("train")
    assert found.labels.tolist() == [0, 2, 1, 2]
    write(tmp_path / "x" / "2.tar", [("7.png", encoded(1)), ("0.json", b"{}")])
    for n in range(2):
        write(tmp_path / "y" / f"{n}.tar", [("0.png", encoded(n))])
    write(tmp_path / "y" / "labels.tar", [("0.cls", b"a")])
    with pytest.raises(DataError, match=r"labels\.tar:0 may belong to 0\.tar:0 or 1\.tar:0"):
        build(tmp_path / "y").open("train")


def test_labels_that_may_belong_to_both_splits_raise_data_error(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / "x" / f"{split}-0.tar", samples(range(3), cls=False))
    labels = [(f"{i:04}.cls", label_of(i).encode()) for i in range(3)]
    write(tmp_path / "x" / "labels.tar", labels)
    for first in ("train", "test"):
        source = build(tmp_path / "x")
        with pytest.raises(DataError, match=r"labels\.tar:0000 may belong to a training.*train-"):
            source.open(first), source.open("test")
    patterns = [tmp_path / "x" / f"{{{split}-0,labels}}.tar" for split in ("train", "val")]
    with pytest.raises(DataError, match=r"labels\.tar:0000 may belong to a training"):
        build(patterns[0], test=patterns[1]).open("test")
    (tmp_path / "x" / "labels.tar").rename(tmp_path / "x" / "train-labels.tar")
    source = build(tmp_path / "x")
    assert source.open("train").labels.tolist() == [1, 0, 2]
    assert source.open("test") is None
    assert any("3 held-out images have no labels" in note for note in source.notes)


def test_labels_of_other_images_in_shards_of_no_split_are_not_joined(tmp_path):
    write(tmp_path / "x" / "train-0.tar", samples(range(3), cls=False))
    write(tmp_path / "x" / "val-0.tar", samples(range(3, 5)))
    write(tmp_path / "x" / "extra-0.tar", samples(range(2)))
    assert build(tmp_path / "x").open("train").labels is None


def test_labels_in_a_shard_that_the_pattern_leaves_out_are_noted(tmp_path):
    write(tmp_path / "x/train-0.tar", samples(range(3), cls=False))
    write(tmp_path / "x/val-0.tar", samples(range(3), cls=False))
    write(tmp_path / "x/labels.tar", [(f"{i:04}.cls", b"a") for i in range(3)])
    source = build(tmp_path / "x/train-{0..0}.tar")
    assert source.open("train").labels is None
    (note,) = source.notes
    assert "the pattern leaves out labels.tar; if they contain the labels" in note
    source = build(tmp_path / "x/{train-0,labels}.tar")
    assert source.open("train").labels.tolist() == [0, 0, 0]


def test_cls_files_are_class_indices_without_a_note(tmp_path):
    members = []
    for i in range(24):
        members += [(f"{i}.png", encoded(i)), (f"{i}.cls", str(i % 12).encode())]
    source = build(write(tmp_path / "x.tar", members))
    assert len(source.open("train").classes) == 12
    assert source.notes == ()


def test_pattern_that_includes_held_out_shards_is_noted(tmp_path):
    for name in ("in-train-0", "in-val-0"):
        write(tmp_path / f"{name}.tar", [(f"{name}.png", encoded(1)), (f"{name}.cls", b"a")])
    source = build(tmp_path / "*.tar")
    assert len(source.open("train")) == 2
    (note,) = source.notes
    assert "in-val-0.tar is among the training files" in note


def test_names_with_dots_are_reported_with_advice_to_rename(tmp_path):
    members = [(f"img.v1.{i:04}.png", encoded(i)) for i in range(6)]
    with pytest.raises(DataError, match=r"6 images belong to 1 sample such as img: rename") as e:
        build(write(tmp_path / "x.tar", members)).open("train")
    assert "image_key" not in str(e.value)


def test_empty_cls_leaves_the_label_to_json(tmp_path):
    members = [("a.png", encoded(0)), ("a.cls", b""), ("a.json", b'{"label": "x"}')]
    assert build(write(tmp_path / "x.tar", members)).open("train").classes == ("x",)


def test_names_with_and_without_a_leading_dot_are_equal(tmp_path):
    write(tmp_path / "x" / "train-0.tar", samples(range(3), form="./{i:04}", cls=False))
    write(tmp_path / "x" / "labels.tar", [(f"{i:04}.cls", label_of(i).encode()) for i in range(3)])
    found = build(tmp_path / "x").open("train")
    assert found.labels.tolist() == [1, 0, 2]
    assert found.name(0) == "train-0.tar:0000"


def test_labels_without_image_and_unused_suffixes_are_reported(tmp_path):
    members = [*samples(range(3)), ("x.cls", b"red"), ("y.cls", b"red")]
    source = build(write(tmp_path / "x.tar", members))
    source.open("train")
    assert any(
        "2 labels do not belong to an image; the first is x.tar:x" in n for n in source.notes
    )
    write(tmp_path / "z" / "train-0.tar", samples(range(3)))
    write(tmp_path / "z" / "labels.tar", [("9.cls", b"red")])
    source = build(tmp_path / "z")
    source.open("train")
    assert any("the first is labels.tar:9" in note for note in source.notes)
    members = [*samples(range(3), cls=False), ("0002.class", b"red")]
    source = build(write(tmp_path / "y.tar", members))
    assert source.open("train").labels is None
    assert any("no labels" in note and "class (1)" in note for note in source.notes)


def test_partly_labelled_shards_have_images_without_label(tmp_path):
    members = [*samples([0]), *samples([1], cls=False), ("a.png", encoded(2)), ("a.cls", b"-1")]
    members += [("b.png", encoded(3)), ("b.json", b'{"label": NaN}')]
    found = build(write(tmp_path / "x.tar", members)).open("train")
    assert found.labels.tolist() == [0, -1, -1, -1]


def test_list_as_label_is_ignored_without_labels(tmp_path):
    path = write(tmp_path / "x.tar", [("a.png", encoded(0)), ("a.json", b'{"label": ["a"]}')])
    assert build(path, labelled=False).open("train").labels is None


def test_held_out_training_shard_raises_data_error_for_any_spelling(tmp_path):
    root = shards(tmp_path / "both" / "deep").parent
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "hard.tar").hardlink_to(root / "deep" / "train-001.tar")
    for test in (
        root / "deep" / "train-002.tar",
        tmp_path / "link" / "deep",
        tmp_path / "hard.tar",
    ):
        with pytest.raises(DataError, match=r"is held out.*training images"):
            build(root, test=test).open("test")
