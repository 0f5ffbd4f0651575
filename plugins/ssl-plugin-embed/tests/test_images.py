"""All images of all inputs, each once, whatever data source reads them."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from ssl_plugin_embed import embed
from ssl_plugin_embed.images import image_path, open_images

from ssl_host import ConfigError, DataError, ImageDataset


@pytest.fixture
def rows_of(network, catalog):
    """Return a function that opens inputs and returns all rows."""

    def rows(*paths, data=None, options=()):
        images = open_images([Path(p) for p in paths], network, catalog, data, options)
        assert len(images) == len(list(images.rows()))
        return [tuple(row) for row in images.rows()]

    return rows


def test_both_splits_of_a_folder_are_listed_and_nothing_is_held_out(rows_of, save_images):
    save_images(Path("x/train/cat"), range(5))
    save_images(Path("x/val/cat"), [7])
    assert rows_of("x") == [
        *((f"x/train/cat/{i}.png", "train", 0, "cat") for i in range(5)),
        ("x/val/cat/7.png", "test", 0, "cat"),
    ]


def test_unlabelled_held_out_images_are_listed_too(rows_of, save_images):
    Path("x.csv").write_text(
        "path,label,split\nx/1.png,cat,train\nx/2.png,dog,train\nx/3.png,,test\n", "utf-8"
    )
    save_images(Path("x"), [1, 2, 3])
    paths = [str(Path("x").absolute() / f"{i}.png") for i in (1, 2, 3)]
    assert rows_of("x.csv") == [
        (paths[0], "train", 0, "cat"),
        (paths[1], "train", 1, "dog"),
        (paths[2], "test", -1, ""),
    ]


def test_shards_parquet_and_files_are_read_together(rows_of, network, save_images):
    save_images(Path("x/cat"), [1])
    save_images(Path("y"), [2, 3, 4])
    with tarfile.open("a.tar", "w") as shard:
        shard.add("y/2.png", "0001.png")
        label = tarfile.TarInfo("0001.cls")
        label.size = 3
        shard.addfile(label, io.BytesIO(b"dog"))
    table = {"image": [{"bytes": Path("y/3.png").read_bytes(), "path": "3.png"}], "label": ["cat"]}
    pyarrow.parquet.write_table(pyarrow.table(table), "a.parquet")
    inputs = ["x", "y/4.png", "a.tar", "a.parquet", "y/3.png"]
    rows = rows_of(*inputs)
    assert [row[0] for row in rows[:3]] == ["x/cat/1.png", "y/4.png", "a.tar:0001"]
    assert rows[3][0].startswith("a.parquet")
    assert [row[2:] for row in rows] == [(0, "cat"), (-1, ""), (1, "dog"), (0, "cat"), (-1, "")]
    features = np.load(embed(inputs, network, "out.npy").file)
    assert np.allclose(features[3], features[4], atol=1e-6)  # the same image


def test_brace_pattern_is_read(rows_of, save_images):
    save_images(Path("y"), [2, 3])
    for i in (2, 3):
        with tarfile.open(f"a-{i}.tar", "w") as shard:
            shard.add(f"y/{i}.png", f"{i}.png")
    assert [row[0] for row in rows_of("a-{2..3}.tar")] == ["a-2.tar:2", "a-3.tar:3"]


@pytest.mark.parametrize("inputs", [["x", "x/cat"], ["x/cat/1.png", "./x/cat/1.png"]])
def test_image_in_two_inputs_is_refused(network, inputs, save_images):
    save_images(Path("x/cat"), [1, 2])
    with pytest.raises(DataError, match=r"x/cat/1\.png is in two of the inputs"):
        embed(inputs, network, "out.npy")


def test_data_source_may_be_named(rows_of, network, save_images):
    save_images(Path("x/cat"), [1])
    (Path("x") / "a.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"imagefolder, webdataset.*--data"):
        rows_of("x")
    assert len(rows_of("x", data="imagefolder")) == 1
    assert rows_of("x", data="imagefolder", options=["data.labelled=false"])[0][2:] == (-1, "")
    with pytest.raises(DataError, match=r"x: the data source digits does not read it"):
        rows_of("x", data="digits")
    network.in_channels = 1
    rows = rows_of(data="digits")
    assert len(rows) == 1797
    assert {row[1] for row in rows} == {"train", "test"}
    with pytest.raises(ConfigError, match="unknown key"):
        rows_of("x", data="imagefolder", options=["data.colour=red"])


def test_name_that_is_not_utf8_is_escaped(network, save_images, read_output):
    save_images(Path("x"), [1])
    try:
        Path("x/1.png").rename(Path("x", "\udcff.png"))
    except OSError:
        pytest.skip("the file system allows only UTF-8")
    for suffix in (".parquet", ".npy"):
        _, rows = read_output(embed("x", network, f"out{suffix}").file)
        assert rows[0][0] == "x/\\udcff.png"


@pytest.mark.parametrize(
    ("name", "expected"), [("x/a.bin[1]", "x/a.bin[1]"), ("first", "x/a.bin:first")]
)
def test_path_of_an_image_in_a_container_has_the_name_of_the_image(name, expected):
    class Container(ImageDataset):
        def __len__(self):
            return 1

        def read(self, i):
            raise NotImplementedError

        def path(self, i):
            return Path("x/a.bin")

        def name(self, i):
            return name

    assert image_path(Container(), 0) == expected
