"""Features, descriptions and files of ``embed``."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ssl_plugin_embed import embed

import ssl_host
from ssl_host import ArrayImages, DataError, RunError, UserError

SUFFIXES = (".parquet", ".npy", ".safetensors")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_features_of_a_folder_equal_those_of_extract_features(photos, network, suffix, read_output):
    out = Path(f"out{suffix}")
    result = embed(photos, network, out, batch_size=4)
    features, rows = read_output(out)
    with pytest.warns(UserWarning, match="2 images could not be read"):
        names, expected = ssl_host.extract_features(network, photos)
    assert np.allclose(features, expected, atol=1e-6)
    assert features.dtype == np.float32 or suffix == ".parquet"
    assert [path for path, *_ in rows] == [f"{photos}/{name}" for name in names]
    assert [row[1:] for row in rows] == [("train", 0, "cat")] * 6 + [("train", 1, "dog")] * 3
    assert result.shape == (9, 8)
    assert result.num_images == 11
    assert [path for path, _ in result.unreadable] == ["photos/cat/3b.png", "photos/dog/7b.jpg"]
    sidecar = [] if suffix == ".parquet" else [f"{out}.csv"]
    assert sorted(path.name for path in Path().glob("out*")) == [str(out), *sidecar, f"{out}.json"]
    about = json.loads(Path(f"{out}.json").read_text("utf-8"))
    assert about["classes"] == ["cat", "dog"]
    assert about["unreadable"][0] == {"path": "photos/cat/3b.png", "reason": "the file is empty"}


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_tokens_are_those_of_the_network(photos, network, suffix, read_output):
    out = Path(f"out{suffix}")
    assert embed(photos, network, out, tokens=True).shape == (9, 64, 8)
    tokens, _ = read_output(out)
    features = embed(photos, network, "features.npy").file
    assert np.allclose(tokens.mean(axis=1), np.load(features), atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_half_precision_is_close_to_single_precision(photos, network, suffix, read_output):
    single = read_output(embed(photos, network, f"single{suffix}").file)
    half = read_output(embed(photos, network, f"half{suffix}", dtype="float16").file)
    assert np.allclose(single[0], half[0], rtol=1e-3, atol=1e-4)
    assert single[1] == half[1]
    assert suffix == ".parquet" or half[0].dtype == np.float16


def test_features_beyond_half_precision_raise_an_error(photos, network):
    for parameter in network.parameters():
        parameter.data *= 1000
    with pytest.raises(RunError, match=r"not finite in float16; use --dtype float32"):
        embed(photos, network, "out.npy", dtype="float16")
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(RunError, match=r"not finite in float32$"):
        embed(photos, network, "other.npy")


def test_backbone_may_be_the_path_of_a_run(photos, network, run):
    by_path = embed(photos, run, "a.npy").file
    by_network = embed(photos, network, "b.npy").file
    assert by_path.read_bytes() == by_network.read_bytes()


def test_dataset_may_be_given(network, read_output):
    pixels = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    images = ArrayImages(pixels, torch.tensor([0, 1, -1, 1, 0]), ("a", "b"))
    _, rows = read_output(embed(images, network, Path("out.parquet"), batch_size=2).file)
    assert [row[2:] for row in rows] == [(0, "a"), (1, "b"), (-1, ""), (1, "b"), (0, "a")]
    assert rows[4][0] == "image 4"


def test_fit_of_the_backbone_is_used(photos, network):
    cropped = np.load(embed(photos, network, "a.npy").file)
    network.fit = "squash"
    squashed = np.load(embed(photos, network, "b.npy").file)
    option = np.load(embed(photos, network, "c.npy", options=["data.fit=crop"]).file)
    assert not np.allclose(cropped, squashed)
    assert np.array_equal(cropped, option)


@pytest.mark.parametrize(
    ("to", "settings", "message"),
    [
        ("out.txt", {}, r"out\.txt.*\.parquet, \.npy, \.safetensors"),
        ("out", {}, r"use a name that ends in"),
        ("out.parquet", {"tokens": True}, r"tokens need \.npy or \.safetensors"),
        ("nowhere/out.npy", {}, "there is no folder nowhere"),
        ("out.npy", {"dtype": "int8"}, "'int8', expected float32 or float16"),
        ("out.npy", {"batch_size": 0}, "batch_size is 0"),
        ("out.npy", {"device": "nonsense"}, "device nonsense cannot be used"),
    ],
)
def test_invalid_argument_raises_an_error(photos, network, to, settings, message):
    with pytest.raises(UserError, match=message):
        embed(photos, network, to, **settings)
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


def test_images_that_cannot_be_used_raise_an_error_and_leave_no_file(network):
    Path("broken.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 1 images could be read: broken.jpg \(the file"):
        embed("broken.jpg", network, "out.npy")
    with pytest.raises(DataError, match=r"missing\.jpg: no such file"):
        embed("missing.jpg", network, "out.npy")
    with pytest.raises(DataError, match="name a folder or a file, or a data source"):
        embed([], network, "out.npy")
    gray = ArrayImages(torch.zeros(2, 1, 16, 16, dtype=torch.uint8))
    with pytest.raises(DataError, match="have 1 channels, but the backbone needs 3"):
        embed(gray, network, "out.npy")
    assert sorted(path.name for path in Path().iterdir()) == ["broken.jpg"]


@pytest.mark.parametrize(("limit", "value"), [("CHUNK_BYTES", 100), ("CHUNK_ROWS", 3)])
def test_many_rows_are_written_in_several_chunks(
    network, monkeypatch, save_images, read_output, limit, value
):
    save_images(Path("photos"), range(7))
    whole = {s: read_output(embed("photos", network, f"a{s}").file)[0] for s in SUFFIXES}
    monkeypatch.setattr(f"ssl_plugin_embed.partial.{limit}", value)
    for suffix, expected in whole.items():
        features, rows = read_output(embed("photos", network, f"b{suffix}").file)
        assert np.array_equal(features, expected)
        assert len(rows) == 7
