"""Tests of packed files as a data source: conformance, runs, the command, damaged files."""

import json
import re
from pathlib import Path

import pytest
import torch
from ssl_plugin_ffcv import packing
from ssl_plugin_ffcv.packing import PackOptions

import ssl_host
from ssl_host import DataError, UnreadableImage
from ssl_host.testing import conformance
from ssl_host.testing.interruption import stopped_after

pytest.importorskip("ffcv", reason="ffcv is not installed: its system packages are in the README")

SETTINGS = {"num_images": "48", "num_test": "24", "image_size": "16"}
README = Path(__file__).parents[1] / "README.md"


def pack(out):
    packing.pack(out, PackOptions("synthetic", SETTINGS, workers=2))
    return out


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("packed") / "small.beton")


@pytest.fixture(autouse=True)
def current_folder(packed, monkeypatch):
    """Change to the folder of the packed file: conformance tests use a relative path."""
    monkeypatch.chdir(packed.parent)


@pytest.fixture
def private_file(tmp_path):
    """Return a packed file that a test may damage."""
    return pack(tmp_path / "private.beton")


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


def test_resumed_run_ends_bit_equal(packed, tmp_path):
    """It stops in the second epoch of three steps, with a batch already decoded."""
    from safetensors.torch import load_file

    uninterrupted = ssl_host.run(sections(packed, tmp_path, "uninterrupted"), quiet=True)
    with stopped_after(4):
        ssl_host.run(sections(packed, tmp_path, "resumed"), quiet=True)
    resumed = ssl_host.run(sections(packed, tmp_path, "resumed"), quiet=True)
    expected, actual = (
        load_file(tmp_path / name / "backbone.safetensors") for name in ("uninterrupted", "resumed")
    )
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    rows = [(tmp_path / name / "metrics.csv").read_text() for name in ("uninterrupted", "resumed")]
    assert rows[0] == rows[1]
    assert resumed["metrics"]["rankme"] == uninterrupted["metrics"]["rankme"]
    assert resumed["metrics"]["online.top1"] == uninterrupted["metrics"]["online.top1"]


def test_run_on_raw_packed_images_equals_run_on_source(tmp_path):
    """The images and the random numbers are equal, so the weights are."""
    from safetensors.torch import load_file

    out = tmp_path / "raw.beton"
    packing.pack(out, PackOptions("synthetic", SETTINGS, quality=None))
    ssl_host.run(sections(out, tmp_path, "packed"), quiet=True)
    plain = sections(out, tmp_path, "plain")
    plain["data"] = {"name": "synthetic", **SETTINGS}
    ssl_host.run(plain, quiet=True)
    expected, actual = (
        load_file(tmp_path / name / "backbone.safetensors") for name in ("plain", "packed")
    )
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


@pytest.mark.usefixtures("photos")
def test_commands_of_readme_work(command, tmp_path):
    """Runs the text blocks in order, in one folder, with a shortened run."""
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
            arguments = line.split(" #")[0].split()[1:]
            done = command(*arguments, *(short if arguments[0] == "run" else ()))
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            ran.append(arguments[0])
    assert {"data", "run"} <= set(ran)


@pytest.mark.usefixtures("photos")
def test_pack_prints_files_and_configuration(command):
    done = command("data", "pack", "flowers", "packed/out.beton", "--size", 32)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("packed/out.beton: 24 images of 32 pixels, JPEG of quality 90, ")
    assert re.match(r"1 of \d+ images could not be read \(rose/torn\.png: cannot be dec", lines[1])
    assert lines[3:] == ["[data]", "name = ffcv", "path = packed/out.beton"]
    assert done.stderr == ""


def test_pack_prints_settings_that_the_source_recommends(command):
    pytest.importorskip("sklearn")
    done = command("data", "pack", "d.beton", "--data", "digits", "-o", "image_size=16", "--raw")
    assert done.returncode == 0, done.stderr
    assert "d.beton: 1438 images of 8 pixels, uncompressed" in done.stdout
    assert "d.test.beton: 359 images of 8 pixels" in done.stdout
    assert done.stdout.endswith("[augmentation]\nname = digits\n")


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.beton"], "give a folder of images and OUT.beton, or --data NAME and OUT.beton"),
        (["a", "b", "c.beton"], "give a folder of images and OUT.beton"),
        (["flowers", "out.beton", "--raw", "--quality", "80"], "--raw stores uncompressed pixels"),
        (["flowers", "out.beton", "-o", "image_size"], "-o image_size: expected KEY=VALUE"),
        (
            ["flowers", "out.beton", "-o", "num_channels=2"],
            "-o num_channels=2: [data] num_channels",
        ),
        (["flowers", "out.beton", "-o", "num_chanels=1"], "did you mean 'num_channels'?"),
        (["flowers", "out.beton", "--size", "1"], "1 is not in the range 4<=x<=8192"),
        (["flowers", "out.png"], "out.png: the name of a packed file must end in .beton"),
        (["nowhere", "out.beton"], "[data] root = nowhere: no such folder"),
    ],
)
def test_pack_with_invalid_arguments_fails(command, tmp_path, arguments, message):
    done = command("data", "pack", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["flowers"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("option", ["num_channels=1", "data.num_channels=1@int"])
def test_options_of_pack_are_read_as_those_of_run(command, tmp_path, option):
    arguments = ("-o", option, "-o", "labelled=no", "-o", 'root="flowers"')
    done = command("data", "pack", "out.beton", "--data", "imagefolder", *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["channels"] == 1


def change(**values):
    """Return a function that changes values in the sidecar file."""

    def damage(path):
        sidecar = path.with_suffix(".json")
        sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **values}))

    return damage


def overwrite(offset, data):
    """Return a function that overwrites bytes; a negative offset counts from the end."""

    def damage(path):
        content = bytearray(path.read_bytes())
        start = offset % len(content)
        content[start : start + len(data)] = data
        path.write_bytes(content)

    return damage


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def other_fields(path):
    """Replace the file by another ffcv file, with its size in the sidecar file."""
    from ffcv import DatasetWriter
    from ffcv.fields import IntField

    DatasetWriter(str(path), {"number": IntField()}, num_workers=1).from_indexed_dataset([(1,)])
    sidecar = path.with_suffix(".json")
    info = json.loads(sidecar.read_text())
    info["splits"]["train"]["bytes"] = path.stat().st_size
    sidecar.write_text(json.dumps(info))


def fewer_names(path):
    sidecar = path.with_suffix(".json")
    info = json.loads(sidecar.read_text())
    info["splits"]["train"]["names"].pop()
    sidecar.write_text(json.dumps(info))


def fewer_classes(path):
    sidecar = path.with_suffix(".json")
    info = json.loads(sidecar.read_text())
    info["splits"]["train"]["classes"].pop()
    sidecar.write_text(json.dumps(info))


def invalid_index(path):
    sidecar = path.with_suffix(".json")
    info = json.loads(sidecar.read_text())
    info["splits"]["train"]["skipped"] = [
        {"index": 49, "label": 0, "name": "49.png", "reason": "truncated"}
    ]
    sidecar.write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "private.beton: no such file; write it with `ssl-host data pack`"),
        (lambda p: p.with_suffix(".json").unlink(), "private.json is missing in the same"),
        (lambda p: p.with_suffix(".test.beton").unlink(), "private.test.beton: no such file; copy"),
        (
            lambda p: p.with_suffix(".json").write_text("{"),
            "private.json: is damaged.*it is not valid JSON",
        ),
        (
            lambda p: p.with_suffix(".json").write_text("[]"),
            "private.json: is damaged, or was not written",
        ),
        (change(version=1), "has version 1, but this ssl-plugin-ffcv reads version 3"),
        (change(side="wide"), r"private.json: is damaged.* \(side: "),
        (change(mean=[0.5]), "3 channels have 1 means and 3 standard deviations"),
        (change(splits={}), "it lists no training images"),
        (truncate, r"private.beton: is incomplete \(it has .* bytes, but .* were packed"),
        (lengthen, r"private.beton: is a different file \(it has"),
        (overwrite(0, b"\7\0"), "written by a different version of ffcv .*code=2,file=7"),
        (overwrite(2, b"\0\1"), "private.beton: is damaged"),
        (overwrite(8, b"\7"), r"is damaged \(it has 7 images, but 48 were packed"),
        (overwrite(16, b"\7"), r"is damaged \(its table of images is incomplete"),
        (overwrite(-1, b"\7"), r"is damaged \(an image .*extends beyond the end"),
        (overwrite(-48 * 24 + 8, b"\7"), r"is damaged \(its table of images is incomplete"),
        (change(side=20), r"is damaged \(not all images are 20 pixels wide and high"),
        (other_fields, r"is damaged \(its fields are number instead of image, label"),
        (fewer_names, r"is damaged \(it has 48 images, but 47 were packed"),
        (invalid_index, r"is damaged.*\(the skipped train images have invalid indices"),
        (fewer_classes, r"is damaged \(a label does not belong to any class"),
    ],
)
def test_damaged_file_raises_data_error_with_reason_and_fix(private_file, damage, message):
    damage(private_file)
    with pytest.raises(DataError, match=message) as caught:
        ssl_host.build("data", "ffcv", path=private_file).open("train")
    assert re.search(r"copy|again|write it", str(caught.value))


def test_path_with_other_suffix_raises_data_error(private_file):
    with pytest.raises(DataError, match=r"private\.json: not a \.beton file"):
        ssl_host.build("data", "ffcv", path=private_file.with_suffix(".json"))


def test_damaged_image_is_named(private_file):
    """A batch with it raises a DataError; reading it alone raises UnreadableImage."""
    images = ssl_host.build("data", "ffcv", path=private_file).open("train")
    start = int(images._records["start"][5])
    content = bytearray(private_file.read_bytes())
    content[start : start + 60] = bytes(60)
    private_file.write_bytes(content)
    images = ssl_host.build("data", "ffcv", path=private_file).open("train")
    assert images.read(4).shape == (3, 16, 16)
    with pytest.raises(UnreadableImage, match="cannot be decoded, because the file is damaged"):
        images.read(5)
    with pytest.raises(DataError, match=r"private\.beton: image 5 \(image 5\) cannot be decoded"):
        images.read_many(torch.tensor([4, 5, 6]))
