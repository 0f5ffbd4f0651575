"""Packed files as a data source: conformance, whole runs, and files that are damaged."""

import json
import re
from pathlib import Path

import pytest
import torch
from ssl_plugin_ffcv import packing
from ssl_plugin_ffcv.packing import Wanted

import ssl_host
from ssl_host import DataError, UnreadableImage
from ssl_host.testing import conformance
from ssl_host.testing.interruption import stopped_after

pytest.importorskip("ffcv", reason="ffcv is not installed: its system packages are in the README")

SETTINGS = {"num_images": "48", "num_test": "24", "image_size": "16"}
README = Path(__file__).parents[1] / "README.md"


def pack(out):
    packing.pack(out, Wanted("synthetic", SETTINGS, workers=2))
    return out


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("packed") / "small.beton")


@pytest.fixture(autouse=True)
def beside(packed, monkeypatch):
    """The settings of a conformance test are constants, so its path is a relative one."""
    monkeypatch.chdir(packed.parent)


@pytest.fixture
def own(tmp_path):
    """A packed file of the test's own, to damage."""
    return pack(tmp_path / "own.beton")


test_conforms = conformance("data", "ffcv", path="small.beton")


def sections(packed, folder, name):
    return {
        "run": {"name": name, "dir": str(folder), "epochs": 3, "batch_size": 16, "seed": 1},
        "data": {"name": "ffcv", "path": str(packed)},
        "method": {"name": "simclr"},
        "backbone": {"name": "small_conv", "width": 8, "num_stages": 3},
        "head.projector": {"hidden_dim": 32, "output_dim": 16},
        "checkpoint": {"every_minutes": 1e-9},
        "trainer": {"num_threads": 1, "log_every": 1},
        "evaluator.rankme": {"name": "rankme"},
    }


def test_a_run_that_stopped_ends_bit_equal(packed, tmp_path):
    """Three steps an epoch: it stops within the second, with a batch decoded ahead."""
    from safetensors.torch import load_file

    whole = ssl_host.run(sections(packed, tmp_path, "whole"), quiet=True)
    with stopped_after(4):
        ssl_host.run(sections(packed, tmp_path, "torn"), quiet=True)
    again = ssl_host.run(sections(packed, tmp_path, "torn"), quiet=True)
    expected, found = (
        load_file(tmp_path / name / "backbone.safetensors") for name in ("whole", "torn")
    )
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    rows = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "torn")]
    assert rows[0] == rows[1]
    assert again["metrics"]["rankme"] == whole["metrics"]["rankme"]
    assert again["metrics"]["online.top1"] == whole["metrics"]["online.top1"]


def test_packed_without_loss_a_run_is_the_sources_own(tmp_path):
    """Every byte the same, every draw the same: the weights come out the same."""
    from safetensors.torch import load_file

    out = tmp_path / "raw.beton"
    packing.pack(out, Wanted("synthetic", SETTINGS, quality=None))
    ssl_host.run(sections(out, tmp_path, "packed"), quiet=True)
    plain = sections(out, tmp_path, "plain")
    plain["data"] = {"name": "synthetic", **SETTINGS}
    ssl_host.run(plain, quiet=True)
    expected, found = (
        load_file(tmp_path / name / "backbone.safetensors") for name in ("plain", "packed")
    )
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.usefixtures("photos")
def test_the_readmes_commands_work(command, tmp_path):
    """Its text blocks, in their order, in one folder; a run is shortened, nothing else differs."""
    short = ["-o", "run.epochs=1", "-o", "run.batch_size=8", "-o", "evaluator.linear.epochs=1"]
    ran = []
    for text in re.findall(r"^```text\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S):
        title = re.match(r"# (\S+\.ini)\n", text)
        if title:
            (tmp_path / title[1]).write_text(text, encoding="utf-8")
            continue
        for line in text.splitlines():
            if not line.startswith("ssl-host "):
                continue
            words = line.split(" #")[0].split()[1:]
            done = command(*words, *(short if words[0] == "run" else ()))
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            ran.append(words[0])
    assert {"data", "run"} <= set(ran)


@pytest.mark.usefixtures("photos")
def test_the_command_says_what_it_made(command):
    done = command("data", "pack", "flowers", "packed/out.beton", "--size", 32)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0].startswith("packed/out.beton: 24 images of 32 pixels, JPEG of quality 90, ")
    assert told[1].startswith("1 could not be read and are skipped (rose/torn.png: cannot be dec")
    assert told[3:] == ["[data]", "name = ffcv", "path = packed/out.beton"]
    assert done.stderr == ""


def test_the_command_takes_any_source_and_tells_its_other_settings(command):
    pytest.importorskip("sklearn")
    done = command("data", "pack", "d.beton", "--data", "digits", "-o", "image_size=16", "--raw")
    assert done.returncode == 0, done.stderr
    assert "d.beton: 1438 images of 8 pixels, all pixels stored" in done.stdout
    assert "d.test.beton: 359 images of 8 pixels" in done.stdout
    assert done.stdout.endswith("[augmentation]\nname = digits\n")


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out.beton"], "name a folder of images and OUT.beton, or --data NAME and OUT.beton"),
        (["a", "b", "c.beton"], "name a folder of images and OUT.beton"),
        (["flowers", "out.beton", "--raw", "--quality", "80"], "--raw stores all pixels"),
        (["flowers", "out.beton", "-o", "image_size"], "'image_size' should be KEY=VALUE"),
        (["flowers", "out.beton", "--size", "1"], "1 is not in the range 4<=x<=8192"),
        (["flowers", "out.png"], "out.png: the name of a packed file ends in .beton"),
        (["nowhere", "out.beton"], "[data] root = nowhere: no such folder"),
    ],
)
def test_what_the_command_refuses(command, tmp_path, words, message):
    done = command("data", "pack", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["flowers"]


def change(**values):
    """A damage: other values in the sidecar."""

    def damage(path):
        listing = path.with_suffix(".json")
        listing.write_text(json.dumps({**json.loads(listing.read_text()), **values}))

    return damage


def overwrite(at, data):
    """A damage: other bytes in the file, counted from its end where ``at`` is negative."""

    def damage(path):
        content = bytearray(path.read_bytes())
        at_byte = at % len(content)
        content[at_byte : at_byte + len(data)] = data
        path.write_bytes(content)

    return damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def other_fields(path):
    """Another ffcv file under the same name, its length in the sidecar."""
    from ffcv import DatasetWriter
    from ffcv.fields import IntField

    DatasetWriter(str(path), {"number": IntField()}, num_workers=1).from_indexed_dataset([(1,)])
    listing = path.with_suffix(".json")
    about = json.loads(listing.read_text())
    about["splits"]["train"]["bytes"] = path.stat().st_size
    listing.write_text(json.dumps(about))


def fewer_names(path):
    listing = path.with_suffix(".json")
    about = json.loads(listing.read_text())
    about["splits"]["train"]["names"].pop()
    listing.write_text(json.dumps(about))


def fewer_classes(path):
    listing = path.with_suffix(".json")
    about = json.loads(listing.read_text())
    about["splits"]["train"]["classes"].pop()
    listing.write_text(json.dumps(about))


def left_out_nowhere(path):
    listing = path.with_suffix(".json")
    about = json.loads(listing.read_text())
    about["splits"]["train"]["skipped"] = [[49, 0, "49.png", "torn"]]
    listing.write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "own.beton: no such file; `ssl-host data pack` makes it"),
        (lambda p: p.with_suffix(".json").unlink(), "own.json is not beside it"),
        (lambda p: p.with_suffix(".test.beton").unlink(), "own.test.beton: no such file; copy"),
        (lambda p: p.with_suffix(".json").write_text("{"), "own.json: is damaged.*it is no JSON"),
        (lambda p: p.with_suffix(".json").write_text("[]"), "own.json: is damaged, or was not wri"),
        (change(version=1), "is of version 1, and this ssl-plugin-ffcv reads 2"),
        (change(side="wide"), "own.json: is damaged.*: side: "),
        (change(mean=[0.5]), "3 channels have 1 means and 3 deviations"),
        (change(splits={}), "it lists no training images"),
        (cut, "own.beton: is cut off: it has .* bytes, and .* were packed"),
        (lengthen, "own.beton: is another file: it has"),
        (overwrite(0, b"\7\0"), "was not written by this ffcv .*code=2,file=7"),
        (overwrite(2, b"\0\1"), "own.beton: is damaged"),
        (overwrite(8, b"\7"), "is damaged: it has 7 images, and 48 were packed"),
        (overwrite(16, b"\7"), "is damaged: its table of images is not complete"),
        (overwrite(-1, b"\7"), "is damaged: an image lies beyond its end"),
        (overwrite(-48 * 24 + 8, b"\7"), "is damaged: its table of images is not complete"),
        (change(side=20), "is damaged: not all images are of 20 pixels"),
        (other_fields, "is damaged: its fields are number, not image, label"),
        (fewer_names, "is damaged: it has 48 images, and 47 were packed"),
        (left_out_nowhere, "is damaged.*: the train images that were left out have no places"),
        (fewer_classes, "is damaged: a label is not among the classes"),
    ],
)
def test_a_damaged_set_says_what_is_wrong_and_what_to_do(own, damage, message):
    damage(own)
    with pytest.raises(DataError, match=message) as caught:
        ssl_host.build("data", "ffcv", path=own).open("train")
    assert re.search(r"copy|anew|makes it", str(caught.value))


def test_another_name_than_a_packed_files(own):
    with pytest.raises(DataError, match=r"own\.json: is not the name of a \.beton file"):
        ssl_host.build("data", "ffcv", path=own.with_suffix(".json"))


def test_an_image_damaged_within_is_named(own):
    """A batch cannot go on without it; read alone it is one that is left out."""
    images = ssl_host.build("data", "ffcv", path=own).open("train")
    start = int(images._records["start"][5])
    content = bytearray(own.read_bytes())
    content[start : start + 60] = bytes(60)
    own.write_bytes(content)
    images = ssl_host.build("data", "ffcv", path=own).open("train")
    assert images.read(4).shape == (3, 16, 16)
    with pytest.raises(UnreadableImage, match="cannot be decoded: the file is damaged"):
        images.read(5)
    with pytest.raises(DataError, match=r"own\.beton: image 5 \(image 5\) cannot be decoded"):
        images.read_many(torch.tensor([4, 5, 6]))
